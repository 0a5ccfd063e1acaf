// Which tiles the next denoising step visits, where a recipe leaves small ones out of it
// (skip.rule next_step: LiteAttention).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/case/given_mask.hpp"
#include "karat/files/tensor.hpp"

namespace karat::cases {

/// Tiles of every step, whatever a step finds: those in which a mask keeps a pair. Null: none.
struct StandingTiles {
  std::shared_ptr<const GivenMask> must_do, must_skip;
};

/// How many batch entries and heads masks tell apart.
struct HeadCount {
  std::size_t batch = 1, heads = 1;
};

/// One head's tiles, query blocks x key blocks: 1 where the tile is visited.
struct VisitedTiles {
  std::size_t query_blocks = 0, key_blocks = 0;
  std::vector<std::uint8_t> visited;

  std::uint8_t& at(std::size_t query_block, std::size_t key_block) {
    return visited[query_block * key_blocks + key_block];
  }
};
/// Those that a layout visits.
VisitedTiles visited_tiles(const layout::Layout& layout);

/// Of the tiles visited those that are not small (HeadResult::small_blocks), and must_do; never
/// must_skip. Without a result: the first step's, of which nothing is small.
/// @throws Error(usage) where a tile must be both done and skipped, the standing masks do not fit
///   the case, or the layout keeps other pairs of a tile than a list of it does
VisitedTiles next_tiles(const recipe::Recipe& recipe, const layout::Setting& setting,
                        const layout::Layout& layout, const attention::HeadResult* result,
                        const StandingTiles& standing, std::size_t batch, std::size_t head);

/// Before the first head is computed: the standing masks fit these heads and the case, and no tile
/// must be both done and skipped.
/// @throws Error(usage)
void require_standing(const recipe::Recipe& recipe, const layout::Setting& setting,
                      const StandingTiles& standing, HeadCount heads);

/// @throws Error(usage) unless the recipe's tiles can be listed: blocks along the sequence
/// @param subject  what was asked for
void require_listable(const recipe::Recipe& recipe, const std::string& subject);

/// The most of these masks, of which some may be null.
/// @throws Error(usage) when a mask has neither one nor this many
HeadCount heads_of(std::initializer_list<const GivenMask*> masks);

/// A head's tiles as `mask_id` [Q,K] of u8, for append_head().
files::Tensor tile_tensor(const VisitedTiles& tiles);
/// What stands beside mask_id in a file that --mask reads: block_size, and that blocks are over
/// positions.
files::Tensor tile_size(const recipe::Recipe& recipe);
files::Metadata tile_metadata();

}  // namespace karat::cases
