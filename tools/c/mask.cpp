// A recipe's mask as PyTorch's BlockMask arrays, pair by pair, or as a picture.

#include "call.hpp"
#include "karat/case/memory.hpp"
#include "karat/layout/layout.hpp"
#include "karat/mask/density.hpp"
#include "karat/mask/picture.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

video::Extent3 grid_of(const int32_t grid[3]) {
  required(grid, "grid");
  for (int axis = 0; axis < 3; ++axis)
    if (grid[axis] < 1)
      throw Error(ErrorKind::usage, "grid", "has an extent below 1", "give T,H,W tokens");
  return {grid[0], grid[1], grid[2]};
}

files::Tensor pairs(const mask::Mask& mask) {
  const auto rows = static_cast<std::size_t>(mask.queries());
  const auto columns = static_cast<std::size_t>(mask.keys());
  files::Tensor keep = files::make_tensor(files::DType::boolean, {rows, columns});
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      keep.bytes[i * columns + j] = static_cast<std::byte>(
          mask.keeps(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)));
  return keep;
}

std::string picture(const recipe::Recipe& recipe, video::Extent3 grid, int query_tile) {
  const layout::Layout layout = layout::make_layout(recipe, grid, 1);
  const mask::Caption caption{.title = recipe.name + ", grid " + video::to_string(grid),
                              .lines = {"tile " + video::to_string(recipe.mask.tile) + ", window " +
                                        video::to_string(recipe.mask.window)}};
  if (query_tile < 0) return mask::draw_matrix(*layout.mask, layout.order, caption);
  return mask::draw_window(*layout.mask, video::Tiling(grid, recipe.mask.tile), layout.order,
                           query_tile, caption);
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_mask(const karat_recipe* recipe, const int32_t grid[3], int32_t query_block,
                        int32_t key_block, int keep, karat_tensors** result, karat_error* error) {
  return c::guarded(error, [&] {
    const recipe::Recipe& of = c::required(recipe, "recipe")->recipe;
    c::required(result, "result");
    const layout::Layout layout = layout::make_layout(of, c::grid_of(grid), 1);
    files::TensorFile file =
        cases::block_mask_tensors(layout, query_block == 0 ? of.block.q : query_block,
                                  key_block == 0 ? of.block.k : key_block);
    const auto& token_at = layout.order.token_at;
    file.tensors["token_at_position"] =
        files::make_tensor(files::DType::i32, {token_at.size()}, token_at);
    const mask::Density density =
        mask::density(*layout.mask, layout.order, layout.blocks, of.block.q, of.block.k);
    file.metadata["density"] = files::Json(density.tokens).dump();
    if (keep != 0) file.tensors["keep"] = c::pairs(*layout.mask);
    *result = c::handed_out(std::move(file));
  });
}

karat_status karat_mask_picture(const karat_recipe* recipe, const int32_t grid[3],
                                int32_t query_tile, char** svg, karat_error* error) {
  return c::guarded(error, [&] {
    const recipe::Recipe& of = c::required(recipe, "recipe")->recipe;
    c::required(svg, "svg");
    *svg = c::handed_out(c::picture(of, c::grid_of(grid), query_tile));
  });
}
