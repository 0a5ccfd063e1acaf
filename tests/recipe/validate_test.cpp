// Recipes without meaning are refused with the field's path and why.
#include "karat/recipe/validate.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "expect_error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

using numerics::FormatId;
using testing::HasSubstr;

/// fpsattention with some fields edited in place has exactly one problem, at this path.
void refused(std::string_view path, std::string_view why, auto edit) {
  Recipe recipe = preset("fpsattention");
  edit(recipe);
  const auto found = problems(recipe);
  ASSERT_EQ(found.size(), 1u) << path;
  EXPECT_EQ(found[0].path, path);
  EXPECT_THAT(found[0].why, HasSubstr(std::string(why)));
  EXPECT_FALSE(found[0].action.empty());
  expect_error(ErrorKind::usage, HasSubstr("r.json: " + found[0].path + ": " + found[0].why),
               [&] { validate(recipe, "r.json"); });
}

TEST(Validate, SingleFieldsOutOfRange) {
  refused("block.k", "0 is not a value", [](Recipe& r) { r.block.k = 0; });
  refused("block.q", "-1 is not a value", [](Recipe& r) { r.block.q = -1; });
  refused("mask.tile", "[0, 8, 8]", [](Recipe& r) { r.mask.tile.t = 0; });
  refused("mask.window", "[3, -3, 3]", [](Recipe& r) { r.mask.window.h = -3; });
  refused("q.tile", "[6, 8, 0]", [](Recipe& r) { r.q.tile.w = 0; });
  refused("p.multiplier", "0 is not", [](Recipe& r) { r.p.multiplier = 0; });
  refused("p.multiplier", "nan", [](Recipe& r) { r.p.multiplier = std::nanf(""); });
  refused("output", "is not a value", [](Recipe& r) { r.output = FormatId::int8; });
}

TEST(Validate, ScalesThatCannotLeaveTheSum) {
  refused("q.group", "sums over channels", [](Recipe& r) { r.q.group = Group::channel; });
  refused("k.group", "sums over channels", [](Recipe& r) { r.k.group = Group::channel; });
  refused("v.group", "sums over tokens", [](Recipe& r) { r.v.group = Group::token; });
  refused("pv.promote_every", "no place for the scales of v.group tile", [](Recipe& r) {
    r.v.group = Group::tile;
    r.pv.promote_every = 0;
  });
}

TEST(Validate, OverflowToWhatTheFormatLacks) {
  refused("k.overflow", "no infinity",
          [](Recipe& r) { r.k.overflow = numerics::Overflow::infinity; });
  refused("p.overflow", "no infinity",
          [](Recipe& r) { r.p.overflow = numerics::Overflow::infinity; });
}

TEST(Validate, CodesThatNeverSeeTheirRoundedScale) {
  refused("q.code_rule", "never sees the rounded scale", [](Recipe& r) {
    r.q.code_rule = CodeRule::inverse_scale;
    r.q.scale = ScaleFormat::ue8m0_up;
  });
}

TEST(Validate, MultiplierAndOffsetExcludeEachOther) {
  refused("p.multiplier", "no meaning", [](Recipe& r) { r.p.apply = PApply::exponent_offset; });
  refused("p.offset", "no meaning", [](Recipe& r) { r.p.offset = 8; });
  Recipe recipe = preset("fpsattention");
  recipe.p = {.format = FormatId::e4m3, .offset = 8, .apply = PApply::exponent_offset};
  EXPECT_TRUE(problems(recipe).empty());
}

TEST(Validate, OneFusedFactorNeedsOneScale) {
  refused("qk.scale_order", "one scale for all of q",
          [](Recipe& r) { r.qk.scale_order = ScaleOrder::fused; });
  Recipe recipe = preset("sta_bf16");
  recipe.qk.scale_order = ScaleOrder::fused;
  EXPECT_TRUE(problems(recipe).empty()) << "no scales, one factor";
}

}  // namespace
}  // namespace karat::recipe
