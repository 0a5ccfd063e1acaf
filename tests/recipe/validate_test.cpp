// Recipes without meaning are refused with the field's path and why.
#include "karat/recipe/validate.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "../../src/recipe/implied.hpp"
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

TEST(Validate, OperandsThatTheInstructionCannotTake) {
  refused("p.format", "f32 values do not fit hopper.wgmma.e4m3.f32, which takes e4m3",
          [](Recipe& r) { r.p.format = FormatId::f32; });
  refused("q.format", "bf16 values do not fit", [](Recipe& r) { r.q.format = FormatId::bf16; });
  refused("v.format", "e5m2 values do not fit", [](Recipe& r) { r.v.format = FormatId::e5m2; });
  refused("k.format", "int8 values do not fit", [](Recipe& r) { r.k.format = FormatId::int8; });
}

TEST(Validate, NarrowerOperandsFitAWiderInstruction) {
  for (const char* instruction :
       {"f32.fma", "exact", "hopper.wgmma.bf16.f32", "hopper.wgmma.f16.f32"}) {
    Recipe recipe = preset("fpsattention");
    recipe.qk.instruction = instruction;
    EXPECT_TRUE(problems(recipe).empty()) << instruction;
  }
}

TEST(Validate, PromotionThatSplitsAKGroup) {
  refused("pv.promote_every", "no multiple of the 32 keys",
          [](Recipe& r) { r.pv.promote_every = 100; });
  Recipe recipe = preset("dense_f32");
  recipe.pv.promote_every = 100;
  EXPECT_TRUE(problems(recipe).empty()) << "f32.fma sums one key at a time";
}

TEST(Validate, IntegerSumsOfPv) {
  const auto int8 = [](Recipe& r) {
    r.p.format = r.v.format = FormatId::int8;
    r.p.multiplier = 127;
    r.pv.instruction = "hopper.wgmma.s8.s32";
  };
  refused("pv.promote_every", "promoting them to FP32 has no meaning", int8);
  refused("pv.instruction", "cannot hold the rescaled O", [&](Recipe& r) {
    int8(r);
    r.pv.promote_every = 0;
  });
}

/// Every instruction takes exactly the formats whose every code it represents: by enumeration.
TEST(Validate, AFormatFitsWhenEveryCodeDoes) {
  constexpr FormatId kSmall[] = {FormatId::e4m3, FormatId::e5m2, FormatId::f16,
                                 FormatId::bf16, FormatId::int8, FormatId::int4};
  for (const FormatId inner : kSmall) {
    for (const FormatId outer : kSmall) {
      bool every = true;
      for (std::uint32_t code = 0; code <= numerics::format(inner).mask() && every; ++code) {
        const float value = numerics::decode(code, inner);
        if (!std::isfinite(value) || (value == 0 && std::signbit(value))) continue;
        every = numerics::decode(numerics::encode(value, outer), outer) == value;
      }
      EXPECT_EQ(holds(outer, inner), every)
          << numerics::format(outer).name << " holds " << numerics::format(inner).name;
    }
  }
}

TEST(Validate, ScalesThatCannotLeaveTheSum) {
  refused("q.group", "sums over channels", [](Recipe& r) { r.q.group = Group::channel; });
  refused("k.group", "sums over channels", [](Recipe& r) { r.k.group = Group::channel; });
  refused("v.group", "sums over tokens", [](Recipe& r) { r.v.group = Group::token; });
  refused("pv.promote_every", "no place for scales of v that vary along the keys", [](Recipe& r) {
    r.v.group = Group::tile;
    r.pv.promote_every = 0;
  });
}

TEST(Validate, RowGroupsDivideTheirBlock) {
  refused("q.rows", "do not divide block.q 64", [](Recipe& r) {
    r.q.group = Group::rows;
    r.q.rows = 48;
  });
  refused("k.rows", "repeat every 8", [](Recipe& r) {
    r.k.group = Group::row_pairs_stride_8;
    r.k.rows = 4;
  });
}

TEST(Validate, RotationsThatLoseTheProduct) {
  refused("k.rotate", "rotated differently", [](Recipe& r) { r.q.rotate = Rotate::hadamard; });
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
  refused("v.code_rule", "never sees the power of two", [](Recipe& r) {
    r.v.code_rule = CodeRule::inverse_scale;
    r.v.scale_rule = ScaleRule::exponent;
  });
  refused("v.code_rule", "never sees what add_1e-7 adds", [](Recipe& r) {
    r.v.code_rule = CodeRule::inverse_scale;
    r.v.guard = Guard::add_1e_7;
  });
}

TEST(Validate, MultiplierAndOffsetExcludeEachOther) {
  refused("p.multiplier", "no meaning", [](Recipe& r) { r.p.apply = PApply::exponent_offset; });
  refused("p.offset", "no meaning", [](Recipe& r) { r.p.offset = 8; });
  Recipe recipe = preset("fpsattention");
  recipe.p = {.format = FormatId::e4m3, .offset = 8, .apply = PApply::exponent_offset};
  EXPECT_TRUE(problems(recipe).empty());
}

TEST(Validate, PredictorsWithoutAMaskToPredict) {
  refused("predict.rule", "does not go with this mask.kind",
          [](Recipe& r) { r.predict.rule = PredictRule::similarity; });
  const auto svg2 = [](auto edit) {
    Recipe recipe = preset("svg2");
    edit(recipe);
    const auto found = problems(recipe);
    return found.empty() ? std::string() : found.front().path;
  };
  EXPECT_EQ(svg2([](Recipe& r) { r.mask.causal = Causal::on; }), "mask.causal");
  EXPECT_EQ(svg2([](Recipe& r) { r.block.align = video::Align::sequence; }), "block.align");
  EXPECT_EQ(svg2([](Recipe& r) { r.mask.ragged = video::Ragged::pad; }), "mask.ragged");
  EXPECT_EQ(svg2([](Recipe& r) {
              r.q.format = r.k.format = FormatId::int8;
              r.q.overflow = r.k.overflow = numerics::Overflow::saturate;
              r.qk.instruction = "hopper.wgmma.s8.s32";
              r.q.group = Group::rows;
              r.q.rows = 16;
            }),
            "q.group");
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
