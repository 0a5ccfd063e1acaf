#include "cases.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "karat/attention/attend.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/recipe/json.hpp"

namespace karat::kernels {
namespace {

using files::DType;
using mask::Cover;

const float kFactor = static_cast<float>(1.4426950408889634 / std::sqrt(double{kChannels}));
constexpr std::int32_t kAnywhere = 1023;  ///< a window's half that spans an axis

std::vector<float> normal_numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> list(count);
  for (float& each : list)
    each = numerics::decode(numerics::encode(normal(random), numerics::FormatId::bf16),
                            numerics::FormatId::bf16);
  return list;
}

/// Rows of tokens as rows of positions.
void append_positions(const Case& of, const std::vector<float>& tokens, std::size_t width,
                      std::vector<float>& to) {
  for (const std::int32_t token : of.layout.order.token_at) {
    const auto begin = tokens.begin() + token * static_cast<std::ptrdiff_t>(width);
    to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
  }
}

using Operand = quant::Quantised attention::QuantisedHead::*;

std::vector<float> all_values(const Case& of, Operand operand) {
  std::vector<float> all;
  for (const attention::QuantisedHead& head : of.heads) {
    const std::vector<float>& values = (head.*operand).values;
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<float> all_scales(const Case& of, Operand operand) {
  std::vector<float> all;
  for (const attention::QuantisedHead& head : of.heads) {
    const std::vector<float>& scales = (head.*operand).scales;
    all.insert(all.end(), scales.begin(), scales.end());
  }
  return all;
}

ptx::LaunchTensor all_codes(const Case& of, Operand operand) {
  std::vector<std::uint8_t> all;
  for (const attention::QuantisedHead& head : of.heads)
    all.insert(all.end(), (head.*operand).codes.begin(), (head.*operand).codes.end());
  return codes({of.heads.size() * of.positions(), kChannels}, all);
}

/// Codes of v, channels by positions; rows are padded to 16 bytes, as tensor maps want them.
ptx::LaunchTensor transposed_codes(const Case& of) {
  const std::size_t width = (of.positions() + 15) / 16 * 16;
  std::vector<std::uint8_t> all(of.heads.size() * kChannels * width);
  for (std::size_t h = 0; h < of.heads.size(); ++h)
    for (std::size_t p = 0; p < of.positions(); ++p)
      for (std::size_t c = 0; c < kChannels; ++c)
        all[(h * kChannels + c) * width + p] = of.heads[h].v.codes[p * kChannels + c];
  return codes({of.heads.size() * kChannels, width}, all);
}

using Rows = std::vector<std::vector<std::int32_t>>;

std::size_t longest_of(const Rows& rows) {
  return std::max<std::size_t>(1, std::ranges::max(rows, {}, &Rows::value_type::size).size());
}

/// Block lists: how many blocks each block visits, and which, in order, `width` places a row.
void add_visits(const Rows& rows, const std::string& prefix, std::size_t width, Arguments& to) {
  std::vector<std::int32_t> counts, indices;
  for (auto row : rows) {
    counts.push_back(static_cast<std::int32_t>(row.size()));
    row.resize(width);
    indices.insert(indices.end(), row.begin(), row.end());
  }
  to[prefix + "counts"] = integers(counts);
  to[prefix + "indices"] = integers(indices);
  to["MAXB"] = static_cast<std::int32_t>(width);
}

/// Where blocks begin, how many positions they hold and, where asked for, whose scales they have.
void add_blocks(const std::vector<video::Range>& blocks, const quant::Grouping* groups,
                const std::string& prefix, Arguments& to) {
  std::vector<std::int32_t> start, rows, tile;
  for (const video::Range& block : blocks) {
    start.push_back(static_cast<std::int32_t>(block.begin));
    rows.push_back(static_cast<std::int32_t>(block.size()));
    if (groups != nullptr) tile.push_back(groups->row_part[static_cast<std::size_t>(block.begin)]);
  }
  to[prefix + "start"] = integers(start);
  to[prefix + "rows"] = integers(rows);
  if (groups != nullptr) to[prefix + "tile"] = integers(tile);
}

Rows visits_of(const mask::BlockMap& blocks) {
  Rows rows;
  for (const auto& row : blocks.rows) {
    rows.emplace_back();
    for (const auto& entry : row) rows.back().push_back(entry.key_block);
  }
  return rows;
}

void add_outputs(const Case& of, Arguments& to) {
  to["out"] = output(DType::bf16, {of.heads.size(), of.positions(), kChannels});
  to["lse"] = output(DType::f32, {of.heads.size(), of.positions()});
}

ptx::Dimensions grid_of(std::size_t blocks, const Case& of) {
  return {static_cast<std::uint32_t>(blocks), static_cast<std::uint32_t>(of.heads.size()), 1};
}

/// Tiles of each position: of the window's centre for a query, its own for a key; and how far a
/// window reaches. Written from the words of docs/recipes/operations.md, not from src/mask.
void add_window(const Case& of, Arguments& to) {
  const recipe::Recipe& recipe = of.recipe;
  const int grid[] = {of.layout.grid.t, of.layout.grid.h, of.layout.grid.w};
  const int tile[] = {recipe.mask.tile.t, recipe.mask.tile.h, recipe.mask.tile.w};
  const int wide[] = {recipe.mask.window.t, recipe.mask.window.h, recipe.mask.window.w};
  const char* halves[] = {"half_t", "half_h", "half_w"};
  std::vector<std::int32_t> own(of.positions()), centre(of.positions());
  for (int axis = 0; axis < 3; ++axis) {
    const int count = (grid[axis] + tile[axis] - 1) / tile[axis];
    const int window = wide[axis], half = window / 2;
    const bool clamped = recipe.mask.border == mask::Border::clamp;
    to[halves[axis]] = clamped && count <= window ? kAnywhere : half;
    for (std::size_t p = 0; p < of.positions(); ++p) {
      const int token = of.layout.order.token_at[p];
      const int at[] = {token / (grid[1] * grid[2]), token / grid[2] % grid[1], token % grid[2]};
      const int u = at[axis] / tile[axis];
      own[p] = own[p] << 10 | u;
      centre[p] =
          centre[p] << 10 | (clamped && count > window ? std::clamp(u, half, count - 1 - half) : u);
    }
  }
  to["tile"] = integers(own);
  to["centre"] = integers(centre);
}

struct Lists {
  Rows partial, full;
};

void add_lists(const Lists& lists, Arguments& to) {
  const std::size_t width = std::max(longest_of(lists.partial), longest_of(lists.full));
  add_visits(lists.partial, "partial_", width, to);
  add_visits(lists.full, "full_", width, to);
}

}  // namespace

Case make_case(std::string_view recipe, video::Extent3 grid, std::size_t heads) {
  Case made{.recipe = recipe.front() == '{' ? recipe::parse_recipe(recipe, "kernel")
                                            : recipe::preset(recipe)};
  made.layout = layout::make_layout(made.recipe, grid, kChannels);
  const auto count = static_cast<std::size_t>(grid.volume()) * kChannels;
  for (unsigned h = 0; h < heads; ++h) {
    const auto q = normal_numbers(count, 10 * h + 1), k = normal_numbers(count, 10 * h + 2),
               v = normal_numbers(count, 10 * h + 3);
    made.heads.push_back(attention::quantise_head(made.recipe, made.layout,
                                                  {.q = q, .k = k, .v = v}, numerics::Path::fast));
    made.d_o.push_back(normal_numbers(count, 10 * h + 4));
  }
  return made;
}

Outputs expected(const Case& of) {
  Outputs all;
  for (const attention::QuantisedHead& head : of.heads) {
    const auto result = attention::attend(of.recipe, of.layout, head, {.threads = 1});
    append_positions(of, result.o, kChannels, all.out);
    append_positions(of, result.lse, 1, all.lse);
  }
  return all;
}

Gradients expected_gradients(const Case& of, const Outputs& forward) {
  const std::size_t tokens = of.positions();
  Gradients all;
  for (std::size_t h = 0; h < of.heads.size(); ++h) {
    std::vector<float> o(tokens * kChannels), lse(tokens);
    for (std::size_t p = 0; p < tokens; ++p) {
      const auto token = static_cast<std::size_t>(of.layout.order.token_at[p]);
      lse[token] = forward.lse[h * tokens + p];
      std::copy_n(&forward.out[(h * tokens + p) * kChannels], kChannels, &o[token * kChannels]);
    }
    const attention::BackwardHead head{.head = &of.heads[h], .o = o, .lse = lse, .d_o = of.d_o[h]};
    const auto result =
        attention::attend_backward(of.recipe, of.layout, {&head, 1}, {.threads = 1});
    append_positions(of, result.dq[0], kChannels, all.dq);
    append_positions(of, result.dk, kChannels, all.dk);
    append_positions(of, result.dv, kChannels, all.dv);
    append_positions(of, result.delta[0], 1, all.delta);
  }
  return all;
}

ptx::Launch fpsattention_launch(const Case& of) {
  using Head = attention::QuantisedHead;
  Arguments given;
  given["q"] = all_codes(of, &Head::q);
  given["k"] = all_codes(of, &Head::k);
  given["vt"] = transposed_codes(of);
  std::vector<float> v_scale = all_scales(of, &Head::v);
  for (float& each : v_scale) each /= 448.0f;
  const auto tiles = static_cast<std::size_t>(of.heads[0].q.grouping.count());
  given["q_scale"] = numbers({of.heads.size(), tiles}, all_scales(of, &Head::q));
  given["k_scale"] = numbers({of.heads.size(), tiles}, all_scales(of, &Head::k));
  given["v_scale"] = numbers({of.heads.size(), kChannels}, v_scale);
  add_blocks(of.layout.blocks.query_blocks, &of.heads[0].q.grouping, "q_", given);
  add_blocks(of.layout.blocks.key_blocks, &of.heads[0].k.grouping, "k_", given);
  const Rows visits = visits_of(of.layout.blocks);
  add_visits(visits, "", longest_of(visits), given);
  add_outputs(of, given);
  given["S"] = static_cast<std::int32_t>(of.positions());
  given["TILES"] = static_cast<std::int32_t>(tiles);
  given["factor"] = kFactor;
  return compiled_launch("fpsattention", grid_of(of.layout.blocks.query_blocks.size(), of),
                         std::move(given));
}

ptx::Launch sta_launch(const Case& of) {
  using Head = attention::QuantisedHead;
  Arguments given;
  const std::vector<std::size_t> shape{of.heads.size(), of.positions(), kChannels};
  given["q"] = bf16(shape, all_values(of, &Head::q));
  given["k"] = bf16(shape, all_values(of, &Head::k));
  given["v"] = bf16(shape, all_values(of, &Head::v));
  add_blocks(of.layout.blocks.query_blocks, nullptr, "q_", given);
  add_blocks(of.layout.blocks.key_blocks, nullptr, "k_", given);
  const Rows visits = visits_of(of.layout.blocks);
  add_visits(visits, "", longest_of(visits), given);
  add_outputs(of, given);
  given["S"] = static_cast<std::int32_t>(of.positions());
  given["factor"] = kFactor;
  return compiled_launch("sta_bf16", grid_of(of.layout.blocks.query_blocks.size(), of),
                         std::move(given));
}

ptx::Launch flex_launch(const Case& of) {
  using Head = attention::QuantisedHead;
  Arguments given;
  const std::vector<std::size_t> shape{of.heads.size(), of.positions(), kChannels};
  given["q"] = bf16(shape, all_values(of, &Head::q));
  given["k"] = bf16(shape, all_values(of, &Head::k));
  given["v"] = bf16(shape, all_values(of, &Head::v));
  add_window(of, given);
  constexpr int kListed = 128;
  const auto blocks = video::cut_blocks(of.layout.order, kListed, video::Align::sequence);
  Lists lists;
  for (const video::Range& queries : blocks) {
    lists.partial.emplace_back();
    lists.full.emplace_back();
    for (std::size_t k = 0; k < blocks.size(); ++k) {
      const Cover cover = of.layout.mask->cover(queries, blocks[k]);
      const bool whole = queries.size() == kListed && blocks[k].size() == kListed;
      if (cover == Cover::none) continue;
      auto& row = cover == Cover::full && whole ? lists.full.back() : lists.partial.back();
      row.push_back(static_cast<std::int32_t>(k));
    }
  }
  add_lists(lists, given);
  add_outputs(of, given);
  given["S"] = static_cast<std::int32_t>(of.positions());
  given["factor"] = kFactor;
  return compiled_launch("flex_bf16", grid_of(blocks.size(), of), std::move(given));
}

namespace {

/// What dq, and dk with dv, are both given; lists of key blocks, or of query blocks.
enum class Along { keys, queries };
Arguments backward_arguments(const Case& of, const Outputs& forward,
                             const std::vector<float>& delta, Along along) {
  using Head = attention::QuantisedHead;
  Arguments given;
  const std::vector<std::size_t> shape{of.heads.size(), of.positions(), kChannels};
  given["q"] = bf16(shape, all_values(of, &Head::q));
  given["k"] = bf16(shape, all_values(of, &Head::k));
  given["v"] = bf16(shape, all_values(of, &Head::v));
  std::vector<float> d_o;
  for (const std::vector<float>& each : of.d_o) append_positions(of, each, kChannels, d_o);
  given["d_out"] = bf16(shape, d_o);
  given["lse"] = numbers({of.heads.size(), of.positions()}, forward.lse);
  given["delta"] = numbers({of.heads.size(), of.positions()}, delta);
  add_window(of, given);
  const mask::BlockMap blocks = attention::backward_blocks(of.recipe, of.layout);
  const std::size_t rows =
      along == Along::keys ? blocks.query_blocks.size() : blocks.key_blocks.size();
  Lists lists{.partial = Rows(rows), .full = Rows(rows)};
  for (std::size_t q = 0; q < blocks.rows.size(); ++q)
    for (const auto& entry : blocks.rows[q]) {
      const auto k = static_cast<std::size_t>(entry.key_block);
      auto& list = entry.cover == Cover::full ? lists.full : lists.partial;
      list[along == Along::keys ? q : k].push_back(
          static_cast<std::int32_t>(along == Along::keys ? k : q));
    }
  add_lists(lists, given);
  given["S"] = static_cast<std::int32_t>(of.positions());
  given["factor"] = kFactor;
  given["softmax_scale"] = static_cast<float>(1 / std::sqrt(double{kChannels}));
  return given;
}

}  // namespace

ptx::Launch delta_launch(const Case& of, const Outputs& forward) {
  const std::vector<std::size_t> shape{of.heads.size(), of.positions(), kChannels};
  std::vector<float> d_o;
  for (const std::vector<float>& each : of.d_o) append_positions(of, each, kChannels, d_o);
  Arguments given;
  given["out"] = bf16(shape, forward.out);
  given["d_out"] = bf16(shape, d_o);
  given["delta"] = output(DType::f32, {of.heads.size(), of.positions()});
  given["S"] = static_cast<std::int32_t>(of.positions());
  return compiled_launch("flex_delta", grid_of((of.positions() + 63) / 64, of), std::move(given));
}

ptx::Launch dq_launch(const Case& of, const Outputs& forward, const std::vector<float>& delta) {
  Arguments given = backward_arguments(of, forward, delta, Along::keys);
  given["dq"] = output(DType::bf16, {of.heads.size(), of.positions(), kChannels});
  return compiled_launch("flex_dq", grid_of((of.positions() + 63) / 64, of), std::move(given));
}

ptx::Launch dkv_launch(const Case& of, const Outputs& forward, const std::vector<float>& delta) {
  Arguments given = backward_arguments(of, forward, delta, Along::queries);
  for (const char* name : {"dk", "dv"})
    given[name] = output(DType::bf16, {of.heads.size(), of.positions(), kChannels});
  return compiled_launch("flex_dkv", grid_of((of.positions() + 63) / 64, of), std::move(given));
}

std::vector<float> values_of(const files::Tensor& tensor) {
  if (tensor.dtype == DType::f32) {
    const auto words = tensor.as<float>();
    return {words.begin(), words.end()};
  }
  const auto words = tensor.as<std::uint16_t>();
  std::vector<float> values(words.size());
  numerics::decode(words, values, numerics::FormatId::bf16);
  return values;
}

std::size_t differing(const std::vector<float>& a, const std::vector<float>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    count += std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]);
  return count;
}

}  // namespace karat::kernels
