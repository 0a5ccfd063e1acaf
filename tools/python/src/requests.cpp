// See requests.hpp.
#include "requests.hpp"

#include <utility>

namespace karat_python {

Heads::Heads(py::array q, py::array k, py::array v, std::string type, std::string layout,
             const Shape& shape, const Grid& grid, int text, Texts scale_types, Scales scales)
    : q_(std::move(q)),
      k_(std::move(k)),
      v_(std::move(v)),
      type_(std::move(type)),
      layout_(std::move(layout)),
      scale_types_(std::move(scale_types)),
      scales_(std::move(scales)) {
  const auto& [batch, heads, kv_heads, tokens, channels] = shape;
  const std::size_t size = scales_ ? 1 : type_ == "f32" ? 4 : 2;
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
            .v = bytes(v_, shared, size, "v"),
            .scales = nullptr};
  if (!scales_) return;
  require(scale_types_.has_value(), "scale_types", "are missing");
  const auto groups = [&](int operand, std::int64_t of) {
    const py::array& array = (*scales_)[operand];
    require(array.ndim() == 3 && array.shape(0) == batch && array.shape(1) == of, "scales",
            "are not [batch, heads, groups]");
    return static_cast<std::int64_t>(array.shape(2));
  };
  const auto of = [&](int operand) {
    const py::array& array = (*scales_)[operand];
    return static_cast<const float*>(
        bytes(array, static_cast<std::size_t>(array.size()), 4, "scales"));
  };
  given_.scales = &given_scales_;
  given_scales_ = {.q_type = (*scale_types_)[0].c_str(),
                   .k_type = (*scale_types_)[1].c_str(),
                   .v_type = (*scale_types_)[2].c_str(),
                   .q = of(0),
                   .k = of(1),
                   .v = of(2),
                   .q_groups = groups(0, heads),
                   .k_groups = groups(1, kv_heads),
                   .v_groups = groups(2, kv_heads)};
}

karat_heads Heads::get() const {
  karat_heads made = given_;
  made.type = type_.c_str();
  made.layout = layout_.c_str();
  return made;
}

std::size_t Heads::count() const { return static_cast<std::size_t>(q_.size()); }
std::size_t Heads::kv_count() const { return static_cast<std::size_t>(k_.size()); }
std::size_t Heads::rows() const {
  return given_.channels == 0 ? 0 : count() / static_cast<std::size_t>(given_.channels);
}

Mask::Mask(Array kv_num_blocks, Array kv_indices, Array full_kv_num_blocks, Array full_kv_indices,
           Array matrix, std::array<int, 2> block_size, Array keep, const std::string& order)
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
  if (matrix) {
    require(matrix->ndim() == 4, "matrix", "is not [batch, heads, query blocks, key blocks]");
    const auto extent = [&](int axis) { return static_cast<int32_t>(matrix->shape(axis)); };
    matrix_ = karat_block_matrix{
        .query_block = block_size[0],
        .key_block = block_size[1],
        .batch = extent(0),
        .heads = extent(1),
        .query_blocks = extent(2),
        .key_blocks = extent(3),
        .kept = values<std::uint8_t>(matrix, static_cast<std::size_t>(matrix->size()), "matrix")};
  }
  if (keep) {
    require(keep->ndim() == 2 && keep->shape(0) == keep->shape(1), "keep", "is no square matrix");
    extent_ = keep->shape(0);
    pairs_ = values<std::uint8_t>(keep, static_cast<std::size_t>(keep->size()), "keep");
  }
  kept_alive_ = {std::move(kv_num_blocks),   std::move(kv_indices), std::move(full_kv_num_blocks),
                 std::move(full_kv_indices), std::move(matrix),     std::move(keep)};
}

}  // namespace karat_python
