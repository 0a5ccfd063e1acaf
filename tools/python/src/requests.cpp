// See requests.hpp.
#include "requests.hpp"

#include <utility>

namespace karat_python {

Heads::Heads(py::array q, py::array k, py::array v, std::string type, std::string layout,
             const Shape& shape, const Grid& grid, int text)
    : q_(std::move(q)),
      k_(std::move(k)),
      v_(std::move(v)),
      type_(std::move(type)),
      layout_(std::move(layout)) {
  const auto& [batch, heads, kv_heads, tokens, channels] = shape;
  const std::size_t size = type_ == "f32" ? 4 : 2;
  require(kv_heads > 0, "kv_heads", "must be at least 1");
  const std::size_t shared = product({batch, kv_heads, tokens, channels}, "k");
  given_ = {.type = nullptr,
            .layout = nullptr,
            .batch = batch,
            .heads = heads,
            .kv_heads = kv_heads,
            .tokens = tokens,
            .channels = channels,
            .grid = {grid[0], grid[1], grid[2]},
            .text = text,
            .q = bytes(q_, product({batch, heads, tokens, channels}, "q"), size, "q"),
            .k = bytes(k_, shared, size, "k"),
            .v = bytes(v_, shared, size, "v")};
}

karat_heads Heads::get() const {
  karat_heads made = given_;
  made.type = type_.c_str();
  made.layout = layout_.c_str();
  return made;
}

std::size_t Heads::count() const { return static_cast<std::size_t>(q_.size()); }
std::size_t Heads::rows() const {
  return given_.channels == 0 ? 0 : count() / static_cast<std::size_t>(given_.channels);
}

Mask::Mask(Array kv_num_blocks, Array kv_indices, Array full_kv_num_blocks, Array full_kv_indices,
           std::array<int, 2> block_size, Array keep, const std::string& order)
    : order_(order == "positions" ? KARAT_POSITIONS : KARAT_TOKENS) {
  require(order == "positions" || order == "tokens", "order", "is neither tokens nor positions");
  if (kv_num_blocks || kv_indices) {
    require(kv_indices && kv_indices->ndim() == 2, "kv_indices",
            "is no matrix [query blocks, key blocks]");
    const auto rows = static_cast<std::size_t>(kv_indices->shape(0));
    const auto all = static_cast<std::size_t>(kv_indices->size());
    blocks_ = karat_block_mask{
        .query_block = block_size[0],
        .key_block = block_size[1],
        .query_blocks = static_cast<int32_t>(rows),
        .key_blocks = static_cast<int32_t>(kv_indices->shape(1)),
        .kv_num_blocks = values<int32_t>(kv_num_blocks, rows, "kv_num_blocks"),
        .kv_indices = values<int32_t>(kv_indices, all, "kv_indices"),
        .full_kv_num_blocks = values<int32_t>(full_kv_num_blocks, rows, "full_kv_num_blocks"),
        .full_kv_indices = values<int32_t>(full_kv_indices, all, "full_kv_indices")};
  }
  if (keep) {
    require(keep->ndim() == 2 && keep->shape(0) == keep->shape(1), "keep", "is no square matrix");
    extent_ = keep->shape(0);
    pairs_ = values<std::uint8_t>(keep, static_cast<std::size_t>(keep->size()), "keep");
  }
  kept_alive_ = {std::move(kv_num_blocks), std::move(kv_indices), std::move(full_kv_num_blocks),
                 std::move(full_kv_indices), std::move(keep)};
}

}  // namespace karat_python
