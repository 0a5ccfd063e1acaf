// A recipe that needs no grid is laid out alike on all grids of as many tokens; one that needs it
// is not, somewhere.
#include <gtest/gtest.h>

#include "karat/layout/layout.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/grid.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

constexpr video::Extent3 kGrid{7, 9, 16}, kRow{1, 1, 7 * 9 * 16};

bool same(const quant::Grouping& a, const quant::Grouping& b) {
  return a.row_part == b.row_part && a.row_parts == b.row_parts && a.channels == b.channels;
}

bool laid_out_alike(const Recipe& recipe) {
  const layout::Layout a = layout::make_layout(recipe, kGrid, 64);
  const layout::Layout b = layout::make_layout(recipe, kRow, 64);
  return a.order.token_at == b.order.token_at && same(a.q_groups, b.q_groups) &&
         same(a.k_groups, b.k_groups) && same(a.v_groups, b.v_groups) &&
         a.blocks.query_blocks == b.blocks.query_blocks &&
         a.mask->kept_pairs() == b.mask->kept_pairs();
}

TEST(GridReason, IsThereWhereLayoutsDiffer) {
  std::size_t needing = 0;
  for (const std::string_view name : preset_names()) {
    const Recipe recipe = preset(name);
    const bool needed = grid_reason(recipe).has_value();
    if (recipe.predict.rule == PredictRule::never) {
      EXPECT_EQ(needed, !laid_out_alike(recipe)) << name;
    }
    needing += needed;
  }
  EXPECT_EQ(needing, 17u);
}

TEST(GridReason, NamesTheFieldAndItsValue) {
  const auto reason = [](const std::string& fields) {
    const Recipe recipe = parse_recipe(R"({"base": "deepseek_fp8", )" + fields + "}", "test");
    if (recipe.predict.rule == PredictRule::never) {
      EXPECT_FALSE(laid_out_alike(recipe)) << fields;
    }
    return grid_reason(recipe).value_or("none");
  };
  EXPECT_EQ(reason(R"("mask": {"tile": [2, 3, 4]})"), "mask.tile 2,3,4 orders the tokens by it");
  EXPECT_EQ(reason(R"("mask": {"kind": "window", "window": [3, 3, 3]})"),
            "mask.window 3,3,3 lies in it");
  EXPECT_EQ(reason(R"("mask": {"kind": "band", "band_first": 1})"), "mask.kind band counts its frames");
  EXPECT_EQ(reason(R"("mask": {"order": "token_major"})"),
            "mask.order token_major takes all frames of a place together");
  EXPECT_EQ(reason(R"("q": {"group": "tile", "tile": [2, 3, 4]})"),
            "q.tile 2,3,4 shares a scale by it");
  EXPECT_EQ(reason(R"("v": {"group": "tile_channel"}, "pv": {"promote_every": 128})"),
            "v.tile 6,8,8 shares a scale by it");
  EXPECT_EQ(grid_reason(preset("svg1")), "mask.kind band counts its frames");
}

TEST(GridReason, OperandsWithoutScaleHaveNoTiles) {
  Recipe recipe = preset("fa2_bf16");
  recipe.k.group = Group::tile;
  EXPECT_FALSE(grid_reason(recipe));
  EXPECT_TRUE(laid_out_alike(preset("fa2_bf16")));
}

TEST(GridReason, IsWhatIsSaidWhereNoGridIs) {
  EXPECT_NO_THROW(require_grid_free(preset("fa3_fp8"), 512));
  try {
    require_grid_free(preset("fpsattention"), 512);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_STREQ(error.what(),
                 "grid: is missing, but mask.tile 6,8,8 orders the tokens by it; give T,H,W of the "
                 "video's tokens, or 1,1,512 where they are one row");
  }
}

}  // namespace
}  // namespace karat::recipe
