// Implementation of case/memory.hpp.
#include "karat/case/memory.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "karat/attention/operations/cast.hpp"
#include "karat/files/box.hpp"
#include "karat/mask/blockmask.hpp"

namespace karat::cases {

files::Tensor box_of(files::DType dtype, const files::Shape& shape,
                     std::span<const std::byte> bytes, const files::Shape& offset,
                     const files::Shape& count) {
  files::Tensor box = files::make_tensor(dtype, count);
  files::for_each_run(dtype, shape, offset, count,
                      [&](std::size_t from, std::size_t to, std::size_t size) {
                        std::memcpy(&box.bytes[to], &bytes[from], size);
                      });
  return box;
}

files::TensorFile block_mask_tensors(const layout::Layout& layout, int query_block, int key_block) {
  const mask::BlockMask made = mask::sequence_blockmask(*layout.mask, query_block, key_block);
  const auto rows = static_cast<std::size_t>(made.query_blocks);
  const auto columns = static_cast<std::size_t>(made.key_blocks);
  const auto tensor = [](files::Shape shape, const std::vector<std::int32_t>& values) {
    return files::make_tensor(files::DType::i32, std::move(shape), values);
  };
  const std::vector<std::int32_t>& position_of = layout.order.position_of;
  return {
      .tensors = {{"kv_num_blocks", tensor({1, 1, rows}, made.kv_num_blocks)},
                  {"kv_indices", tensor({1, 1, rows, columns}, made.kv_indices)},
                  {"full_kv_num_blocks", tensor({1, 1, rows}, made.full_kv_num_blocks)},
                  {"full_kv_indices", tensor({1, 1, rows, columns}, made.full_kv_indices)},
                  {"position_of_token", tensor({position_of.size()}, position_of)}},
      .metadata = {{"BLOCK_SIZE", std::to_string(query_block) + "," + std::to_string(key_block)},
                   {"grid", video::to_string(layout.grid)}}};
}

void set_tokens(InputShape& shape, std::optional<video::Extent3> grid, int text, std::size_t rows,
                const std::string& holder) {
  if (text < 0 || static_cast<std::size_t>(text) >= rows)
    throw Error(ErrorKind::usage, "text",
                std::to_string(text) + " of " + std::to_string(rows) + " tokens",
                "give how many stand behind the video's: from 0, and fewer than there are");
  constexpr auto kMost = std::numeric_limits<std::int32_t>::max();
  if (rows > kMost || (grid && double{1} * grid->t * grid->h * grid->w > kMost))
    throw Error(ErrorKind::usage, grid ? "grid " + video::to_string(*grid) : "the input",
                "has more than 2^31 - 1 tokens", "give fewer");
  shape.grid = grid.value_or(video::Extent3{1, 1, static_cast<int>(rows) - text});
  shape.grid_origin = grid ? GridOrigin::said : GridOrigin::assumed;
  shape.text = text;
  if (shape.grid.t < 1 || shape.grid.h < 1 || shape.grid.w < 1)
    throw Error(ErrorKind::usage, "grid " + video::to_string(shape.grid), "has an extent below 1",
                "give T,H,W tokens");
  if (shape.tokens() != rows)
    throw Error(ErrorKind::usage, "grid " + video::to_string(shape.grid),
                "has " + std::to_string(shape.grid.volume()) + " tokens" +
                    (text > 0 ? " and " + std::to_string(text) + " of text" : "") + " where " +
                    holder + " " + std::to_string(rows),
                "give the grid of these tokens, the text behind them, or the other layout (BHSD, "
                "BSHD)");
}

std::size_t kv_heads_of(std::size_t heads, std::int64_t kv_heads) {
  if (kv_heads == 0) return heads;
  if (kv_heads > 0 && heads % static_cast<std::size_t>(kv_heads) == 0)
    return static_cast<std::size_t>(kv_heads);
  throw Error(ErrorKind::usage, "kv_heads",
              std::to_string(kv_heads) + " of k and v do not divide " + std::to_string(heads) +
                  " heads of q",
              "give a divisor, or 0 for as many");
}

void require_finite(std::span<const float> values, std::size_t channels, ErrorKind kind,
                    const std::string& subject, const std::string& row) {
  const auto bad = std::ranges::find_if(values, [](float x) { return !std::isfinite(x); });
  if (bad == values.end()) return;
  const auto at = static_cast<std::size_t>(bad - values.begin());
  throw Error(kind, subject,
              (std::isnan(*bad) ? "NaN at " : "Inf at ") + row + " " +
                  std::to_string(at / channels) + ", channel " + std::to_string(at % channels),
              "attention of it has no value; mend the input");
}

void require_outputs(const GivenOutputs& given, std::size_t channels, numerics::FormatId format,
                     ErrorKind kind, const std::string& row, const std::string& o_subject,
                     const std::string& lse_subject) {
  std::vector<float> stored(channels);
  for (std::size_t token = 0; token < given.lse.size(); ++token) {
    const float lse = given.lse[token];
    if (std::isnan(lse) || lse == std::numeric_limits<float>::infinity())
      throw Error(kind, lse_subject,
                  (std::isnan(lse) ? "NaN at " : "Inf at ") + row + " " + std::to_string(token),
                  "no forward leaves it; only -Inf has a meaning, a row without keys");
    if (std::isinf(lse)) continue;
    const std::span<const float> o(&given.o[token * channels], channels);
    std::ranges::copy(o, stored.begin());
    attention::cast(stored, format, numerics::kAsComputed, numerics::Path::fast);
    for (std::size_t j = 0; j < channels; ++j) {
      if (o[j] == stored[j] && std::isfinite(o[j])) continue;
      const std::string place =
          " at " + row + " " + std::to_string(token) + ", channel " + std::to_string(j);
      if (!std::isfinite(o[j]))
        throw Error(kind, o_subject, (std::isnan(o[j]) ? "NaN" : "Inf") + place,
                    "its gradient has no value; mend the input");
      throw Error(kind, o_subject,
                  "the value" + place + " is none of " +
                      std::string(numerics::format(format).name) + ", the recipe's output",
                  "give o as the forward stored it, or a recipe with that output");
    }
  }
}

void require_output_codes(std::optional<numerics::FormatId> said, numerics::FormatId format,
                          const std::string& subject) {
  const std::string name(numerics::format(format).name);
  if (!quant::has_scale(format))
    throw Error(ErrorKind::usage, subject, "holds codes where the recipe's output is " + name,
                "give o as the forward stored it, or a recipe with that output");
  if (said.value_or(format) != format)
    throw Error(ErrorKind::usage, subject,
                "holds " + std::string(numerics::format(*said).name) +
                    " codes where the recipe's output is " + name,
                "give o as the forward stored it, or a recipe with that output");
}

std::string rows_of(std::size_t batch, std::size_t head) {
  return "batch " + std::to_string(batch) + ", head " + std::to_string(head) + ", token";
}

}  // namespace karat::cases
