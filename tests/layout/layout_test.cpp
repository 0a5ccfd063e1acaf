// Orders, masks and visits that recipes and workloads ask for, pair by pair from their definitions.
#include "karat/layout/layout.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::layout {
namespace {

using recipe::Recipe;
using video::Extent3;

/// Whether one axis of tiles keeps (query, key), tile units.
bool axis_keeps(int q, int k, int tokens, int tile, int window, const recipe::Mask& m) {
  const int count = (tokens + tile - 1) / tile, r = window / 2;
  int from = q / tile, to = k / tile;
  if (m.centre == mask::Centre::key) std::swap(from, to);
  if (m.border == mask::Border::clamp)
    from = 2 * r + 1 >= count ? to : std::min(std::max(from, r), count - 1 - r);
  return std::abs(from - to) <= r;
}

/// Whether token `key` is kept for token `query`, by original numbers and positions.
bool keeps(const Recipe& recipe, const Setting& setting, const video::TokenOrder& order, int query,
           int key) {
  const int video = static_cast<int>(setting.grid.volume());
  const int q = order.position_of[query], k = order.position_of[key];
  if (recipe.mask.causal == recipe::Causal::on && k > q) return false;
  if (query >= video || key >= video) return true;
  const recipe::Mask& m = recipe.mask;
  const int frame = setting.grid.h * setting.grid.w;
  if (m.kind == recipe::MaskKind::band) {
    const double width = m.band_unit == recipe::BandUnit::frames
                             ? m.band * frame
                             : video * (1 - std::sqrt(1 - double{m.band}));
    return k < frame * m.band_first || std::abs(q - k) <= std::ceil(width / 128) * 128;
  }
  if (m.kind != recipe::MaskKind::window) return true;
  const Extent3 a = video::token_coordinate(setting.grid, query);
  const Extent3 b = video::token_coordinate(setting.grid, key);
  return axis_keeps(a.t, b.t, setting.grid.t, m.tile.t, m.window.t, m) &&
         axis_keeps(a.h, b.h, setting.grid.h, m.tile.h, m.window.h, m) &&
         axis_keeps(a.w, b.w, setting.grid.w, m.tile.w, m.window.w, m);
}

Recipe random_recipe(std::mt19937& random) {
  const auto from = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<unsigned>(high - low + 1));
  };
  Recipe recipe;
  recipe::Mask& m = recipe.mask;
  m.kind = static_cast<recipe::MaskKind>(from(0, 2));
  m.order = static_cast<recipe::TokenSequence>(from(0, 1));
  m.tile = {from(1, 3), from(1, 4), from(1, 4)};
  m.window = {from(1, 5), from(1, 5), from(1, 5)};
  m.border = static_cast<mask::Border>(from(0, 1));
  m.centre = static_cast<mask::Centre>(from(0, 1));
  m.ragged = m.order == recipe::TokenSequence::tiles ? static_cast<video::Ragged>(from(0, 1))
                                                     : video::Ragged::partial;
  if (m.kind == recipe::MaskKind::band) m.ragged = video::Ragged::partial;
  m.band_unit = static_cast<recipe::BandUnit>(from(0, 1));
  m.band = m.band_unit == recipe::BandUnit::frames ? 0.25f * from(1, 12) : 0.1f * from(1, 6);
  m.band_first = from(0, 2);
  m.causal = static_cast<recipe::Causal>(from(0, 1));
  recipe.block = {.q = from(1, 40), .k = from(1, 40), .align = static_cast<video::Align>(from(0, 1))};
  return recipe;
}

/// Positions and blocks of a layout keep exactly the pairs that keeps() names.
void expect_matrix(const Layout& layout, const Recipe& recipe, const Setting& setting) {
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < layout.blocks.rows.size(); ++i) {
    std::vector<std::int64_t> wanted(layout.blocks.key_blocks.size(), 0);
    for (std::size_t j = 0; j < wanted.size(); ++j) {
      const auto queries = layout.blocks.query_blocks[i], keys = layout.blocks.key_blocks[j];
      for (auto q = queries.begin; q < queries.end; ++q)
        for (auto k = keys.begin; k < keys.end; ++k) {
          const int query = layout.order.token_at[q], key = layout.key_order.token_at[k];
          const bool keep =
              query >= 0 && key >= 0 && keeps(recipe, setting, layout.order, query, key);
          ASSERT_EQ(layout.mask->keeps(q, k), keep) << query << " -> " << key;
          wanted[j] += keep;
        }
      kept += wanted[j];
    }
    for (const auto& entry : layout.blocks.rows[i]) {
      const auto size = layout.blocks.query_blocks[i].size() *
                        layout.blocks.key_blocks[entry.key_block].size();
      ASSERT_EQ(entry.cover, wanted[entry.key_block] == size ? mask::Cover::full
                                                             : mask::Cover::partial);
      ASSERT_GT(wanted[entry.key_block], 0);
      wanted[entry.key_block] = 0;
    }
    for (const std::int64_t left : wanted) ASSERT_EQ(left, 0) << "a block with pairs is missing";
  }
  ASSERT_EQ(layout.mask->kept_pairs(), kept);
}

TEST(Layout, MasksOfRandomRecipesEqualTheBooleanMatrix) {
  std::mt19937 random(7);
  for (int i = 0; i < 300; ++i) {
    const Recipe recipe = random_recipe(random);
    Setting setting{.grid = {1 + static_cast<int>(random() % 5), 1 + static_cast<int>(random() % 8),
                             1 + static_cast<int>(random() % 9)},
                    .channels = 8};
    if (random() % 2) setting.text = 1 + static_cast<int>(random() % 20);
    SCOPED_TRACE(to_json(recipe, recipe::JsonStyle::line) + " grid " + to_string(setting.grid) +
                 " text " + std::to_string(setting.text));
    expect_matrix(make_layout(recipe, setting), recipe, setting);
    if (HasFatalFailure()) return;
  }
}

TEST(Layout, BandsAreAsWideAsSparseVideoGensDensityAsks) {
  const Recipe spatial = recipe::preset("svg1_spatial"), temporal = recipe::preset("svg1_temporal");
  const Setting setting{.grid = {6, 16, 20}, .channels = 8};
  for (const Recipe& recipe : {spatial, temporal})
    expect_matrix(make_layout(recipe, setting), recipe, setting);
}

TEST(Layout, TokenMajorOrderPutsAllFramesOfAPlaceTogether) {
  const Layout layout = make_layout(recipe::preset("svg1_temporal"), {3, 1, 2}, 8);
  EXPECT_EQ(layout.order.token_at, (std::vector<std::int32_t>{0, 2, 4, 1, 3, 5}));
}

/// FlexAttention sorts 128 x 128 blocks but visits 64 keys at a time: the full half of a partial
/// block comes with the partial ones, and the last, short block is partial.
TEST(Layout, PartialThenFullSortsByTheListedBlocks) {
  Recipe recipe;
  recipe.mask.tile = {1, 1, 1};
  recipe.mask.kind = recipe::MaskKind::given;
  recipe.block = {.q = 128, .k = 64, .align = video::Align::sequence,
                  .order = recipe::KeyOrder::partial_then_full, .listed = 128};
  Setting setting{.grid = {1, 1, 400}, .channels = 8};
  setting.given_mask = [](const video::TokenOrder& order) {
    const auto n = static_cast<std::size_t>(order.positions());
    std::vector<std::uint8_t> keep(n * n, 1);
    keep[140] = 0;  // query 0 misses a key of block 2, so of listed block 1
    return mask::boolean_matrix(keep, order.positions(), order.positions());
  };
  const auto visits = [&](std::size_t row) {
    std::vector<int> blocks;
    const Layout layout = make_layout(recipe, setting);
    for (const auto& entry : layout.blocks.rows[row]) blocks.push_back(entry.key_block);
    return blocks;
  };
  EXPECT_THAT(visits(0), testing::ElementsAre(2, 3, 6, 0, 1, 4, 5));
  EXPECT_THAT(visits(1), testing::ElementsAre(6, 0, 1, 2, 3, 4, 5));
  EXPECT_THAT(visits(3), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6)) << "short queries: all partial";
  recipe.block.listed = 0;
  EXPECT_THAT(visits(0), testing::ElementsAre(2, 0, 1, 3, 4, 5, 6));
}

TEST(Layout, VisitsFollowAGivenList) {
  Recipe recipe;
  recipe.mask.tile = {1, 1, 1};
  recipe.mask.kind = recipe::MaskKind::given;
  recipe.block = {.q = 8, .k = 4, .align = video::Align::sequence,
                  .order = recipe::KeyOrder::given};
  Setting setting{.grid = {1, 1, 16}, .channels = 8};
  setting.given_mask = [](const video::TokenOrder& order) {
    return mask::boolean_matrix(std::vector<std::uint8_t>(256, 1), order.positions(), 16);
  };
  setting.given_order = {{3, 0, 2, 1}, {1, 0, 3, 2}};
  const Layout layout = make_layout(recipe, setting);
  EXPECT_EQ(layout.blocks.rows[0][0].key_block, 3);
  EXPECT_EQ(layout.blocks.rows[1][3].key_block, 2);
  setting.given_order[1] = {1, 0, 3, 3};
  EXPECT_THROW(make_layout(recipe, setting), Error) << "key block 2 is kept but not listed";
  setting.given_order.pop_back();
  EXPECT_THROW(make_layout(recipe, setting), Error);
}

TEST(Layout, AGivenMaskMustComeWithTheWorkloadAndFitIt) {
  Recipe recipe;
  recipe.mask.kind = recipe::MaskKind::given;
  EXPECT_THROW(make_layout(recipe, {1, 1, 16}, 8), Error);
  Setting setting{.grid = {1, 1, 16}, .channels = 8};
  setting.given_mask = [](const video::TokenOrder&) {
    return mask::boolean_matrix(std::vector<std::uint8_t>(9, 1), 3, 3);
  };
  EXPECT_THROW(make_layout(recipe, setting), Error);
}

}  // namespace
}  // namespace karat::layout
