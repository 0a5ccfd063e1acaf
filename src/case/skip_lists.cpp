// Small tiles into the next step's mask.
#include "karat/case/skip_lists.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "mask_arrays.hpp"

namespace karat::cases {
namespace {

VisitedTiles tiles_of(const GivenMask& mask, recipe::Recipe recipe, const layout::Setting& setting,
                      std::size_t batch, std::size_t head) {
  recipe.mask.kind = recipe::MaskKind::given;
  mask.require_pairs();
  const video::TokenOrder order = layout::make_order(recipe.mask, setting);
  mask.require_order(order);
  return visited_tiles(mask.by_token(order).layout(recipe, setting, batch, head));
}

/// What the next step reads where every tile is listed.
layout::Layout all_tiles(recipe::Recipe recipe, const layout::Setting& setting,
                         const mask::BlockMap& blocks) {
  recipe.mask.kind = recipe::MaskKind::given;
  const files::Shape shape{blocks.query_blocks.size(), blocks.key_blocks.size()};
  files::Tensors arrays;
  arrays["mask_id"] = files::make_tensor(files::DType::u8, shape,
                                         std::vector<std::uint8_t>(shape[0] * shape[1], 1));
  arrays["block_size"] = tile_size(recipe);
  const GivenMask listed(std::move(arrays), "--skip-lists",
                         {.pairs = MaskOrder::positions, .blocks = MaskOrder::positions});
  listed.require_order(layout::make_order(recipe.mask, setting));
  return listed.layout(recipe, setting, 0, 0);
}

/// Flags of the tiles that a standing mask names, for one head; empty without a mask.
struct Standing {
  Standing(const recipe::Recipe& recipe, const layout::Setting& setting,
           const StandingTiles& standing, std::size_t batch, std::size_t head) {
    if (standing.must_do) done = tiles_of(*standing.must_do, recipe, setting, batch, head);
    if (standing.must_skip) skipped = tiles_of(*standing.must_skip, recipe, setting, batch, head);
    if (done.visited.empty() || skipped.visited.empty()) return;
    for (std::size_t tile = 0; tile < done.visited.size(); ++tile)
      if (done.visited[tile] != 0 && skipped.visited[tile] != 0)
        throw Error(ErrorKind::usage, "--must-skip",
                    "the tile of query block " + std::to_string(tile / done.key_blocks) +
                        " and key block " + std::to_string(tile % done.key_blocks) +
                        " must be both done and skipped",
                    "leave it out of one list");
  }
  VisitedTiles done, skipped;
};

bool keep_the_same(const mask::Mask& a, const mask::Mask& b, video::Range queries,
                   video::Range keys) {
  for (std::int64_t q = queries.begin; q < queries.end; ++q)
    for (std::int64_t k = keys.begin; k < keys.end; ++k)
      if (a.keeps(q, k) != b.keeps(q, k)) return false;
  return true;
}

/// A list says nothing within a tile: causality and padding are there in every step, pairs that a
/// mask leaves out would come back in the next.
void require_whole_tiles(const recipe::Recipe& recipe, const layout::Setting& setting,
                         const layout::Layout& layout) {
  const mask::BlockMap& blocks = layout.blocks;
  std::optional<layout::Layout> listed;
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i]) {
      if (entry.cover == mask::Cover::full) continue;
      if (!listed) listed = all_tiles(recipe, setting, blocks);
      const auto j = static_cast<std::size_t>(entry.key_block);
      if (keep_the_same(*layout.mask, *listed->mask, blocks.query_blocks[i], blocks.key_blocks[j]))
        continue;
      throw Error(ErrorKind::usage, "--skip-lists",
                  "the mask keeps a part of the tile of query block " + std::to_string(i) +
                      " and key block " + std::to_string(j) +
                      ", and a list would have the next step compute all of it",
                  "give a mask of whole tiles: mask_id of " + std::to_string(recipe.block.q) +
                      " x " + std::to_string(recipe.block.k));
    }
}

}  // namespace

HeadCount heads_of(std::initializer_list<const GivenMask*> masks) {
  HeadCount most;
  for (const GivenMask* mask : masks) {
    if (mask == nullptr) continue;
    for (const auto& [name, tensor] : mask->arrays()) {
      if (name == "block_size") continue;
      const auto [batch, heads] = heads_in_front(tensor, mask_array_rank(name));
      most = {std::max(most.batch, batch), std::max(most.heads, heads)};
    }
  }
  for (const GivenMask* mask : masks)
    if (mask != nullptr) mask->require_heads(most.batch, most.heads);
  return most;
}

VisitedTiles visited_tiles(const layout::Layout& layout) {
  const mask::BlockMap& blocks = layout.blocks;
  VisitedTiles tiles{.query_blocks = blocks.query_blocks.size(),
                     .key_blocks = blocks.key_blocks.size(),
                     .visited = {}};
  tiles.visited.assign(tiles.query_blocks * tiles.key_blocks, 0);
  for (std::size_t i = 0; i < blocks.rows.size(); ++i)
    for (const auto& entry : blocks.rows[i]) tiles.at(i, entry.key_block) = 1;
  return tiles;
}

VisitedTiles next_tiles(const recipe::Recipe& recipe, const layout::Setting& setting,
                        const layout::Layout& layout, const attention::HeadResult* result,
                        const StandingTiles& standing, std::size_t batch, std::size_t head) {
  require_whole_tiles(recipe, setting, layout);
  VisitedTiles next = visited_tiles(layout);
  if (result != nullptr)
    for (std::size_t i = 0; i < result->small_blocks.size(); ++i)
      for (const std::int32_t block : result->small_blocks[i]) next.at(i, block) = 0;
  const auto [done, skipped] = Standing(recipe, setting, standing, batch, head);
  for (std::size_t tile = 0; tile < next.visited.size(); ++tile) {
    if (!done.visited.empty() && done.visited[tile] != 0) next.visited[tile] = 1;
    if (!skipped.visited.empty() && skipped.visited[tile] != 0) next.visited[tile] = 0;
  }
  return next;
}

void require_standing(const recipe::Recipe& recipe, const layout::Setting& setting,
                      const StandingTiles& standing, HeadCount heads) {
  const HeadCount told_apart = heads_of({standing.must_do.get(), standing.must_skip.get()});
  for (const auto& mask : {standing.must_do, standing.must_skip})
    if (mask) mask->require_heads(heads.batch, heads.heads);
  for (std::size_t batch = 0; batch < told_apart.batch; ++batch)
    for (std::size_t head = 0; head < told_apart.heads; ++head)
      Standing(recipe, setting, standing, batch, head);
}

void require_listable(const recipe::Recipe& recipe, const std::string& subject) {
  if (recipe.skip.rule != recipe::SkipRule::next_step)
    throw Error(ErrorKind::usage, subject, "recipe " + recipe.name + " leaves the next step alone",
                "give one with skip.rule next_step, for example lite_fp8");
  if (recipe.block.align != video::Align::sequence)
    throw Error(ErrorKind::usage, subject, "blocks that follow tiles have no one size",
                "give a recipe with block.align sequence");
}

files::Tensor tile_tensor(const VisitedTiles& tiles) {
  return files::make_tensor(files::DType::u8, {tiles.query_blocks, tiles.key_blocks},
                            tiles.visited);
}

files::Tensor tile_size(const recipe::Recipe& recipe) {
  return files::make_tensor(files::DType::i32, {2},
                            std::vector<std::int32_t>{recipe.block.q, recipe.block.k});
}

files::Metadata tile_metadata() { return {{"mask_order", "positions"}}; }

}  // namespace karat::cases
