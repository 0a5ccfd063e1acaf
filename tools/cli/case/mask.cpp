// karat mask: what a window leaves of the full attention, in numbers, as a picture, for PyTorch.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "case/skip_lists.hpp"
#include "interrupt.hpp"
#include "karat/case/mask_mod.hpp"
#include "karat/case/memory.hpp"
#include "karat/case/stages.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/layout/layout.hpp"
#include "karat/mask/density.hpp"
#include "karat/mask/picture.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "options.hpp"

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

/// The file's mask by token; null: the recipe's own counts.
std::shared_ptr<const cases::GivenMask> mask_of(const cxxopts::ParseResult& given,
                                                recipe::Recipe recipe,
                                                const layout::Setting& setting) {
  std::optional<cases::MaskOrder> order;
  if (const auto name = text_of(given, "mask-order"))
    order = cases::parse_mask_order(*name, "--mask-order");
  const auto mask = cases::mask_file(text_of(given, "mask"), order);
  if (!mask) return nullptr;
  recipe.mask.kind = recipe::MaskKind::given;
  mask->require_pairs();
  return std::make_shared<const cases::GivenMask>(
      mask->by_token(layout::make_order(recipe.mask, setting)));
}

/// --head, one of the file's where it tells heads apart.
std::size_t head_of(const cxxopts::ParseResult& given, const cases::GivenMask* mask) {
  const auto head = static_cast<std::size_t>(whole(given, "head", 0, 0));
  const std::size_t heads = cases::heads_of({mask}).heads;
  if (mask != nullptr && heads > 1 && head >= heads)
    throw Error(ErrorKind::usage, "--head", std::to_string(head) + " is not among the mask's heads",
                "give one from 0 to " + std::to_string(heads - 1));
  return head;
}

/// The recipe's mask, or a head's of the one in a file.
layout::Layout layout_of(recipe::Recipe recipe, const layout::Setting& setting,
                         const cases::GivenMask* mask, std::size_t batch, std::size_t head) {
  if (mask == nullptr) return layout::make_layout(recipe, setting);
  recipe.mask.kind = recipe::MaskKind::given;
  return mask->layout(recipe, setting, batch, head);
}

/// The first step's lists, of every head that the masks tell apart.
files::Tensors first_lists(const recipe::Recipe& recipe, const layout::Setting& setting,
                           const cases::GivenMask* mask, const cases::StandingTiles& standing) {
  cases::require_listable(recipe, "--skip-lists");
  const cases::HeadCount count =
      cases::heads_of({mask, standing.must_do.get(), standing.must_skip.get()});
  files::Tensors lists;
  for (std::size_t batch = 0; batch < count.batch; ++batch)
    for (std::size_t head = 0; head < count.heads; ++head)
      cases::append_head(lists, "mask_id", count.batch, count.heads,
                         cases::tile_tensor(cases::next_tiles(
                             recipe, setting, layout_of(recipe, setting, mask, batch, head),
                             nullptr, standing, batch, head)));
  return lists;
}

}  // namespace

int run_mask(int argc, char** argv) {
  CommandLine line("mask",
                   "Blocks and densities of a 3-D tile mask; a picture; PyTorch's BlockMask.");
  line.add(
      {{"grid", "T,H,W or TxHxW tokens"},
       {"tile", "tokens of a mask tile, T,H,W or TxHxW"},
       {"window", "extent of the window, T,H,W or TxHxW"},
       {"unit", "of the window: tiles (default), tokens_by_tile, tokens_exact"},
       {"border", "clamp (default) or truncate"},
       {"centre", "query (default) or key"},
       {"ragged", "edge tiles: partial (default) or pad"},
       {"recipe", "take mask and blocks from a recipe; options above edit it"},
       {"block", "positions of a query and a key block; 128,128"},
       {"align", "of the counted blocks: tile (default) or sequence"},
       {"mask", "a mask from a file instead: mask [S,S], mask_id or BlockMask arrays"},
       {"mask-order", "what its rows count: tokens (default) or positions of the recipe's order"},
       {"head", "of the file's mask, for densities and pictures; --skip-lists writes all"},
       {"text", "tokens of text behind the video's"},
       {"svg", "draw the mask into a file"},
       {"query-tile", "draw this tile's window in the video instead"},
       {"blockmask",
        "write kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices as safetensors "
        "(blocks along the tiled sequence), and beside them FILE.py, the mask_mod that "
        "FlexAttention is given with them"}});
  add_skip_lists(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const recipe::Recipe recipe = masked_recipe(*given);
  const video::Extent3 grid = parse_grid(required(*given, "grid"), "--grid");
  const layout::Setting setting{.grid = grid, .channels = 1, .text = whole(*given, "text", 0, 0)};
  NothingHalfWritten computing;
  const auto mask = mask_of(*given, recipe, setting);
  const layout::Layout layout =
      layout_of(recipe, setting, mask.get(), 0, head_of(*given, mask.get()));
  recipe::Recipe masked = recipe;
  if (given->count("mask") > 0) masked.mask.kind = recipe::MaskKind::given;
  const mask::Density density =
      mask::density(*layout.mask, layout.order, layout.blocks, recipe.block.q, recipe.block.k);
  const SkipListFiles lists = read_skip_lists(*given);
  files::Tensors first;
  if (lists.next) first = first_lists(recipe, setting, mask.get(), lists.standing);
  computing.over();
  if (const auto path = text_of(*given, "svg")) {
    files::write_file(*path, picture(*given, recipe, layout, density));
    say(narration, "wrote " + *path);
  }
  if (const auto path = text_of(*given, "blockmask")) {
    const auto file = cases::block_mask_tensors(layout, recipe.block.q, recipe.block.k);
    const std::filesystem::path source = std::filesystem::path(*path).replace_extension(".py");
    const std::optional<std::string> text =
        cases::mask_mod_source(masked, layout, recipe.block.q, recipe.block.k,
                               std::filesystem::path(*path).filename().string());
    files::write_safetensors(*path, file.tensors, file.metadata);
    if (text) {
      files::write_file(source, *text);
      say(narration, "wrote " + *path + " and " + source.string());
    } else {
      say(narration, "wrote " + *path +
                         "; no formula says which pairs of its blocks are kept, so "
                         "that no mask_mod stands beside it");
    }
    say(narration, cases::kMaskModWarning);
  }
  if (lists.next) {
    write_skip_lists(*lists.next, std::move(first), recipe);
    say(narration, "wrote " + *lists.next);
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
