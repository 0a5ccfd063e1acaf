// karat mask: what a window leaves of the full attention, in numbers, as a picture, for PyTorch.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "command.hpp"
#include "commands.hpp"
#include "interrupt.hpp"
#include "karat/case/given_mask.hpp"
#include "karat/case/metadata.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/layout/layout.hpp"
#include "karat/mask/blockmask.hpp"
#include "karat/mask/density.hpp"
#include "karat/mask/picture.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "terminal.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

/// Options that edit one field of the recipe, by the same names and values.
constexpr const char* kFields[] = {"unit", "border", "centre", "ragged"};

/// A recipe of which only mask and block matter.
recipe::Recipe masked_recipe(const cxxopts::ParseResult& given) {
  recipe::Recipe recipe;
  if (const auto name = text_of(given, "recipe")) {
    recipe = recipe::load_recipe(*name);
  } else if (given.count("mask") > 0) {
    recipe.mask.tile = {1, 1, 1};
    recipe.block = {.q = 128, .k = 128, .align = video::Align::sequence};
  } else {
    recipe.mask.kind = recipe::MaskKind::window;
    recipe.block.q = recipe.block.k = 128;
    required(given, "tile");
    required(given, "window");
  }
  if (const auto tile = text_of(given, "tile")) recipe.mask.tile = parse_extent(*tile, "--tile");
  if (const auto window = text_of(given, "window"))
    recipe.mask.window = parse_extent(*window, "--window");
  for (const char* field : kFields)
    if (const auto value = text_of(given, field))
      recipe::set(recipe, std::string("mask.") + field, *value, "--");
  if (const auto block = text_of(given, "block")) {
    const auto sizes = parse_integers(*block, "--block", 1);
    if (sizes.size() != 2)
      throw Error(ErrorKind::usage, "--block", "takes two numbers", "give query,key: 128,128");
    recipe.block.q = static_cast<int>(sizes[0]);
    recipe.block.k = static_cast<int>(sizes[1]);
  }
  if (const auto align = text_of(given, "align")) recipe::set(recipe, "block.align", *align, "--");
  return recipe;
}

void write_blockmask(const std::string& path, const layout::Layout& layout,
                     const recipe::Recipe& recipe) {
  const mask::BlockMask arrays =
      mask::sequence_blockmask(*layout.mask, recipe.block.q, recipe.block.k);
  const auto rows = static_cast<std::size_t>(arrays.query_blocks);
  const auto columns = static_cast<std::size_t>(arrays.key_blocks);
  const auto tensor = [](files::Shape shape, const std::vector<std::int32_t>& values) {
    return files::make_tensor(files::DType::i32, std::move(shape), values);
  };
  files::write_safetensors(
      path,
      {{"kv_num_blocks", tensor({1, 1, rows}, arrays.kv_num_blocks)},
       {"kv_indices", tensor({1, 1, rows, columns}, arrays.kv_indices)},
       {"full_kv_num_blocks", tensor({1, 1, rows}, arrays.full_kv_num_blocks)},
       {"full_kv_indices", tensor({1, 1, rows, columns}, arrays.full_kv_indices)},
       {"position_of_token", tensor({layout.order.position_of.size()}, layout.order.position_of)}},
      {{"BLOCK_SIZE", std::to_string(recipe.block.q) + "," + std::to_string(recipe.block.k)},
       {"grid", video::to_string(layout.grid)}});
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

std::string picture(const cxxopts::ParseResult& given, const recipe::Recipe& recipe,
                    const layout::Layout& layout, const mask::Density& density) {
  const recipe::Mask& m = recipe.mask;
  const mask::Caption caption{.title = "grid " + video::to_string(layout.grid) + ", tile " +
                                       video::to_string(m.tile) + ", window " +
                                       video::to_string(m.window),
                              .lines = {percent(density.tokens) + " of the token pairs, " +
                                        percent(density.tiles) + " of the tile pairs"}};
  const auto tile = text_of(given, "query-tile");
  if (!tile) return mask::draw_matrix(*layout.mask, layout.order, caption);
  const video::Tiling tiling(layout.grid, m.tile);
  const auto number =
      static_cast<int>(parse_integer(*tile, "--query-tile", 0, tiling.tile_count() - 1));
  return mask::draw_window(*layout.mask, tiling, layout.order, number, caption);
}

int text_tokens(const cxxopts::ParseResult& given) {
  const auto text = text_of(given, "text");
  return text ? static_cast<int>(parse_integer(*text, "--text", 0)) : 0;
}

/// The recipe's mask, or head --head of the one in a file.
layout::Layout layout_of(const cxxopts::ParseResult& given, recipe::Recipe recipe,
                         const layout::Setting& setting) {
  const auto mask = mask_file(given);
  if (!mask) return layout::make_layout(recipe, setting);
  const auto head = parse_integer(text_of(given, "head").value_or("0"), "--head", 0);
  recipe.mask.kind = recipe::MaskKind::given;
  mask->require_pairs();
  return mask->by_token(layout::make_order(recipe.mask, setting))
      .layout(recipe, setting, 0, static_cast<std::size_t>(head));
}

}  // namespace

int run_mask(int argc, char** argv) {
  using cxxopts::value;
  CommandLine line("mask",
                   "Blocks and densities of a 3-D tile mask; a picture; PyTorch's BlockMask.");
  line.add()("grid", "T,H,W tokens", value<std::string>())(
      "tile", "tokens of a mask tile", value<std::string>())("window", "extent of the window",
                                                             value<std::string>())(
      "unit", "of the window: tiles (default), tokens_by_tile, tokens_exact", value<std::string>())(
      "border", "clamp (default) or truncate", value<std::string>())(
      "centre", "query (default) or key", value<std::string>())(
      "ragged", "edge tiles: partial (default) or pad", value<std::string>())(
      "recipe", "take mask and blocks from a recipe; options above edit it", value<std::string>())(
      "block", "positions of a query and a key block; 128,128", value<std::string>())(
      "align", "of the counted blocks: tile (default) or sequence", value<std::string>())(
      "mask", "a mask from a file instead: mask [S,S], mask_id or BlockMask arrays",
      value<std::string>())(
      "mask-order", "what its rows count: tokens (default) or positions of the recipe's order",
      value<std::string>())("head", "of the file's mask", value<std::string>())(
      "text", "tokens of text behind the video's", value<std::string>())(
      "svg", "draw the mask into a file", value<std::string>())(
      "query-tile", "draw this tile's window in the video instead", value<std::string>())(
      "blockmask",
      "write kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices as "
      "safetensors (blocks along the tiled sequence)",
      value<std::string>());
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const recipe::Recipe recipe = masked_recipe(*given);
  const video::Extent3 grid = parse_grid(required(*given, "grid"), "--grid");
  const layout::Setting setting{.grid = grid, .channels = 1, .text = text_tokens(*given)};
  NothingHalfWritten computing;
  const layout::Layout layout = layout_of(*given, recipe, setting);
  const mask::Density density =
      mask::density(*layout.mask, layout.order, layout.blocks, recipe.block.q, recipe.block.k);
  computing.over();
  if (const auto path = text_of(*given, "svg")) {
    files::write_file(*path, picture(*given, recipe, layout, density));
    say(narration, "wrote " + *path);
  }
  if (const auto path = text_of(*given, "blockmask")) {
    write_blockmask(*path, layout, recipe);
    say(narration, "wrote " + *path);
  }
  if (given->count("json") > 0) {
    print_json("mask", 1,
               {{"grid", {grid.t, grid.h, grid.w}},
                {"tokens", setting.tokens()},
                {"density", density.tokens},
                {"tile_density", density.tiles},
                {"block_density", density.blocks},
                {"kept_pairs", layout.mask->kept_pairs()},
                {"block", {recipe.block.q, recipe.block.k}},
                {"query_blocks", layout.blocks.query_blocks.size()},
                {"key_blocks", layout.blocks.key_blocks.size()},
                {"full_blocks", density.full_blocks},
                {"partial_blocks", density.partial_blocks}});
    return match;
  }
  std::printf("tokens          %lld\n", static_cast<long long>(setting.tokens()));
  std::printf("density         %.6f  kept token pairs / L^2\n", density.tokens);
  std::printf("tile density    %.6f  kept tile pairs / all\n", density.tiles);
  std::printf("block density   %.6f  kept blocks of %d x %d, padded, / L^2\n", density.blocks,
              recipe.block.q, recipe.block.k);
  std::printf("full blocks     %lld\npartial blocks  %lld\n",
              static_cast<long long>(density.full_blocks),
              static_cast<long long>(density.partial_blocks));
  return match;
}

}  // namespace karat::cli
