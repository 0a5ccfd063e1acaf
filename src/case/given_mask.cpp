// Arrays into masks over a recipe's order of positions.
#include "karat/case/given_mask.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "karat/case/tensor_source.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/mask/compose.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"
#include "mask_arrays.hpp"

namespace karat::cases {

using files::DType;
using files::Tensor;

MaskOrder parse_mask_order(std::string_view name, const std::string& subject) {
  for (const MaskOrder order : {MaskOrder::tokens, MaskOrder::positions})
    if (mask_order_name(order) == name) return order;
  throw Error(ErrorKind::usage, subject, "\"" + std::string(name) + "\" is no order of a mask",
              "give tokens or positions");
}

std::string_view mask_order_name(MaskOrder order) {
  return order == MaskOrder::tokens ? "tokens" : "positions";
}

GivenMask::GivenMask(files::Tensors arrays, std::string subject, MaskReading reading)
    : arrays_(read_mask_arrays(std::move(arrays), subject)),
      subject_(std::move(subject)),
      reading_(reading) {}

GivenMask GivenMask::open(const std::filesystem::path& path, std::optional<MaskOrder> order) {
  const auto source = TensorSource::open(path);
  files::Tensors arrays;
  for (const files::TensorInfo& tensor : source->list()) {
    const std::string leaf = tensor.name.substr(tensor.name.rfind('/') + 1);
    const bool alone = source->list().size() == 1 && tensor.shape.size() >= 2;
    const bool known = is_mask_array(leaf) || leaf == "block_size" || leaf == "position_of_token";
    if (!alone && !known) continue;
    const std::string stem = path.stem().string();  // mask_id.npy
    const std::string name = !alone || is_mask_array(leaf) ? leaf
                             : is_mask_array(stem)         ? stem
                                                           : "mask";
    arrays[name] = source->read(tensor.name);
  }
  const files::Metadata metadata = source->metadata();
  int q = 0, k = 0;
  if (const auto size = metadata.find("BLOCK_SIZE");
      size != metadata.end() && std::sscanf(size->second.c_str(), "%d,%d", &q, &k) == 2)
    arrays["block_size"] = files::make_tensor(DType::i32, {2}, std::vector<std::int32_t>{q, k});
  const auto stated = metadata.find("mask_order");
  if (!order && stated != metadata.end())
    order = parse_mask_order(stated->second, path.string() + ": mask_order");
  MaskReading reading;
  if (order)
    reading = {.pairs = *order, .blocks = *order};
  else if (arrays.contains("position_of_token"))
    reading.blocks = MaskOrder::positions;
  return GivenMask(std::move(arrays), path.string(), reading);
}

GivenMask GivenMask::of_strategy(const mask::WindowStrategy& strategy, int step, int layer,
                                 std::size_t first_head, std::size_t heads) {
  std::vector<std::int32_t> windows;
  for (std::size_t head = 0; head < heads; ++head) {
    const video::Extent3 w = strategy.window(step, layer, static_cast<int>(first_head + head));
    windows.insert(windows.end(), {w.t, w.h, w.w});
  }
  files::Tensors arrays;
  arrays["window"] = files::make_tensor(DType::i32, {1, heads, 3}, windows);
  return GivenMask(std::move(arrays), "mask strategy");
}

bool GivenMask::per_head() const {
  return std::ranges::any_of(arrays_, [](const auto& array) {
    if (array.first == "block_size") return false;
    const auto [batch, heads] = heads_in_front(array.second, mask_array_rank(array.first));
    return batch > 1 || heads > 1;
  });
}

void GivenMask::require_heads(std::size_t batch, std::size_t heads) const {
  for (const auto& [name, tensor] : arrays_) {
    if (name == "block_size") continue;
    const auto [b, h] = heads_in_front(tensor, mask_array_rank(name));
    if ((b != 1 && b != batch) || (h != 1 && h != heads))
      throw Error(ErrorKind::usage, subject_ + ": " + name,
                  "is of " + std::to_string(b) + " x " + std::to_string(h) +
                      " heads, the case of " + std::to_string(batch) + " x " +
                      std::to_string(heads),
                  "give one mask for all, or one for each");
  }
}

std::vector<std::int64_t> GivenMask::row(const std::string& name, std::size_t rank,
                                         std::size_t batch, std::size_t head) const {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) return {};
  const Tensor& tensor = found->second;
  const auto [batches, heads] = heads_in_front(tensor, rank);
  const std::size_t count = tensor.element_count() / (batches * heads);
  const std::size_t at = (batches > 1 ? batch : 0) * heads + (heads > 1 ? head : 0);
  return integers(tensor, at * count, count, subject_ + ": " + name);
}

std::span<const std::uint8_t> GivenMask::matrix_of(std::size_t batch, std::size_t head) const {
  const Tensor& tensor = arrays_.at("mask");
  const auto [batches, heads] = heads_in_front(tensor, 2);
  const std::size_t count = tensor.element_count() / (batches * heads);
  const std::size_t at = (batches > 1 ? batch : 0) * heads + (heads > 1 ? head : 0);
  return tensor.as<std::uint8_t>().subspan(at * count, count);
}

mask::BlockMask GivenMask::blocks_of(std::size_t batch, std::size_t head) const {
  const auto narrow = [&](const char* name) {
    const auto values = row(name, mask_array_rank(name), batch, head);
    return std::vector<std::int32_t>(values.begin(), values.end());
  };
  mask::BlockMask blocks;
  if (const auto size = arrays_.find("block_size"); size != arrays_.end()) {
    const auto sizes = integers(size->second, 0, 2, subject_ + ": block_size");
    blocks.query_block = static_cast<int>(sizes[0]);
    blocks.key_block = static_cast<int>(sizes[1]);
  }
  blocks.kv_num_blocks = narrow("kv_num_blocks");
  blocks.kv_indices = narrow("kv_indices");
  blocks.full_kv_num_blocks = narrow("full_kv_num_blocks");
  blocks.full_kv_indices = narrow("full_kv_indices");
  blocks.query_blocks = static_cast<int>(blocks.kv_num_blocks.size());
  blocks.key_blocks =
      blocks.query_blocks == 0
          ? 0
          : static_cast<int>(blocks.kv_indices.size() / blocks.kv_num_blocks.size());
  const auto fits = [&](const std::vector<std::int32_t>& full,
                        const std::vector<std::int32_t>& partial) {
    return full.empty() || full.size() == partial.size();
  };
  if (!fits(blocks.full_kv_num_blocks, blocks.kv_num_blocks) ||
      !fits(blocks.full_kv_indices, blocks.kv_indices) ||
      blocks.full_kv_num_blocks.empty() != blocks.full_kv_indices.empty())
    throw Error(ErrorKind::usage, subject_,
                "the arrays of full and of partial blocks differ in size",
                "give full_kv_num_blocks and full_kv_indices like the other two");
  if (blocks.full_kv_num_blocks.empty()) {
    blocks.full_kv_num_blocks.assign(blocks.kv_num_blocks.size(), 0);
    blocks.full_kv_indices.assign(blocks.kv_indices.size(), 0);
  }
  return blocks;
}

void GivenMask::require_order(const video::TokenOrder& order) const {
  if (!has_blocks()) return;
  const bool by_token = reading_.blocks == MaskOrder::tokens;
  const std::int64_t extent = by_token ? order.tokens() : order.positions();
  const mask::BlockMask blocks = blocks_of(0, 0);
  const auto fits = [&](int size, int count) {
    return size > 0 && count > 0 && (extent - 1) / size + 1 == count;
  };
  if (fits(blocks.query_block, blocks.query_blocks) && fits(blocks.key_block, blocks.key_blocks))
    return;
  throw Error(ErrorKind::usage, subject_,
              std::to_string(blocks.query_blocks) + " x " + std::to_string(blocks.key_blocks) +
                  " blocks of " + std::to_string(blocks.query_block) + " x " +
                  std::to_string(blocks.key_block) + " are not those of " + std::to_string(extent) +
                  (by_token ? " tokens" : " positions"),
              "give this workload's mask with its block size");
}

void GivenMask::require_pairs() const {
  if (!has_blocks() || arrays_.contains("mask")) return;
  const Tensor& counts = arrays_.at("kv_num_blocks");
  const auto all = integers(counts, 0, counts.element_count(), subject_ + ": kv_num_blocks");
  if (std::ranges::all_of(all, [](std::int64_t count) { return count <= 0; })) return;
  throw Error(ErrorKind::usage, subject_,
              "lists partial blocks, but no pairs say what is kept of them",
              "give the pairs beside them, or list blocks that are kept whole as full ones");
}

GivenMask GivenMask::by_token(const video::TokenOrder& order) const {
  GivenMask made = *this;
  made.reading_.pairs = MaskOrder::tokens;
  const auto found = arrays_.find("mask");
  if (found == arrays_.end() || reading_.pairs == MaskOrder::tokens) return made;
  const Tensor& given = found->second;
  const auto positions = static_cast<std::size_t>(order.positions());
  const auto tokens = static_cast<std::size_t>(order.tokens());
  files::Shape shape = given.shape;
  const std::size_t rank = shape.size();
  if (shape[rank - 2] != positions || shape[rank - 1] != positions)
    throw Error(ErrorKind::usage, subject_ + ": mask",
                "is of " + std::to_string(shape[rank - 2]) + " x " +
                    std::to_string(shape[rank - 1]) + " positions, the workload of " +
                    std::to_string(positions),
                "give the mask of this workload's positions");
  shape[rank - 2] = shape[rank - 1] = tokens;
  Tensor& keep = made.arrays_["mask"] = files::make_tensor(given.dtype, shape);
  std::byte* to = keep.bytes.data();
  for (std::size_t head = 0; head < given.bytes.size(); head += positions * positions)
    for (std::size_t i = 0; i < tokens; ++i)
      for (std::size_t j = 0; j < tokens; ++j)
        *to++ = given.bytes[head + order.position_of[i] * positions + order.position_of[j]];
  return made;
}

std::unique_ptr<mask::Mask> GivenMask::mask_of(const video::TokenOrder& order, std::size_t batch,
                                               std::size_t head) const {
  std::unique_ptr<mask::Mask> pairs;
  if (arrays_.contains("mask")) {
    const std::span<const std::uint8_t> keep = matrix_of(batch, head);
    const auto side = static_cast<std::size_t>(order.tokens());
    if (keep.size() != side * side)
      throw Error(ErrorKind::usage, subject_ + ": mask",
                  "holds " + std::to_string(keep.size()) + " pairs where " + std::to_string(side) +
                      " tokens have " + std::to_string(side * side),
                  "give a row and a column per token, or name a matrix of blocks mask_id");
    pairs = mask::boolean_matrix(keep, order.tokens(), order.tokens());
  }
  if (!has_blocks()) return mask::over_positions(std::move(pairs), order);
  const mask::BlockMask blocks = blocks_of(batch, head);
  if (reading_.blocks == MaskOrder::tokens)
    return mask::over_positions(
        mask::listed_blocks(blocks, order.tokens(), order.tokens(), std::move(pairs)), order);
  if (pairs) pairs = mask::over_positions(std::move(pairs), order);
  return mask::without_padding(
      mask::listed_blocks(blocks, order.positions(), order.positions(), std::move(pairs)), order);
}

std::vector<std::vector<std::int32_t>> GivenMask::lists_of(std::size_t batch,
                                                           std::size_t head) const {
  const mask::BlockMask blocks = blocks_of(batch, head);
  const auto columns = static_cast<std::size_t>(blocks.key_blocks);
  std::vector<std::vector<std::int32_t>> lists(blocks.kv_num_blocks.size());
  for (std::size_t i = 0; i < lists.size(); ++i) {
    const auto append = [&](const std::vector<std::int32_t>& indices, std::int32_t count) {
      const auto first = indices.begin() + static_cast<std::ptrdiff_t>(i * columns);
      lists[i].insert(lists[i].end(), first,
                      first + std::clamp<std::ptrdiff_t>(count, 0, blocks.key_blocks));
    };
    append(blocks.kv_indices, blocks.kv_num_blocks[i]);
    append(blocks.full_kv_indices, blocks.full_kv_num_blocks[i]);
  }
  return lists;
}

layout::Layout GivenMask::layout(recipe::Recipe recipe, layout::Setting setting, std::size_t batch,
                                 std::size_t head) const {
  if (has_windows()) {
    if (recipe.mask.kind != recipe::MaskKind::window)
      throw Error(ErrorKind::usage, "mask.kind", "is no window, but the mask gives windows",
                  "choose a recipe with a window, for example sta_bf16");
    const auto window = row("window", 1, batch, head);
    recipe.mask.window = {static_cast<int>(window[0]), static_cast<int>(window[1]),
                          static_cast<int>(window[2])};
    return layout::make_layout(recipe, setting);
  }
  setting.given_mask = [this, batch, head](const video::TokenOrder& order) {
    return mask_of(order, batch, head);
  };
  if (recipe.block.order == recipe::KeyOrder::given) {
    if (reading_.blocks == MaskOrder::tokens &&
        !video::is_own_order(layout::make_order(recipe.mask, setting)))
      throw Error(ErrorKind::usage, "block.order",
                  "follows lists of the kernel's own blocks, but those of " + subject_ +
                      " are of tokens in their own order",
                  "give lists over positions and say so");
    setting.given_order = lists_of(batch, head);
  }
  return layout::make_layout(recipe, setting);
}

}  // namespace karat::cases
