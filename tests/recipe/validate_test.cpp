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

TEST(Validate, GroupsOfPWithoutAPlace) {
  const auto grouped = [](Recipe& r) { r.p = {.format = FormatId::e4m3, .group = Group::token}; };
  Recipe recipe = preset("fpsattention");
  grouped(recipe);
  EXPECT_TRUE(problems(recipe).empty());
  refused("p.scale", "no meaning with p.group tensor",
          [](Recipe& r) { r.p.scale = ScaleFormat::e4m3; });
  refused("p.enters", "no meaning with p.group tensor", [](Recipe& r) {
    r.p.enters = Enters::bf16;
    r.pv.instruction = "hopper.wgmma.bf16.f32";
  });
  refused("p.multiplier", "their own scales", [&](Recipe& r) {
    grouped(r);
    r.p.multiplier = 448;
  });
  refused("p.apply", "their own scales", [&](Recipe& r) {
    grouped(r);
    r.p.apply = PApply::exponent_offset;
  });
  refused("p.enters", "scales of 16 cannot leave the sum", [&](Recipe& r) {
    grouped(r);
    r.p.group = Group::channels_16;
  });
  refused("pv.promote_every", "no place for the scales of P's rows", [&](Recipe& r) {
    grouped(r);
    r.pv.promote_every = 0;
  });
  refused("p.group", "plain values of P have no scales", [&](Recipe& r) {
    grouped(r);
    r.p.format = FormatId::bf16;
    r.pv.instruction = "hopper.wgmma.bf16.f32";
  });
  refused("p.enters", "no tensor core reads E2M1", [&](Recipe& r) {
    grouped(r);
    r.p.format = FormatId::e2m1;
  });
  refused("finish.multiplier", "no place for it behind the cast", [](Recipe& r) {
    r.finish.multiplier = 2;
    r.finish.cast = Cast::before_scale;
  });
  Recipe int8 = preset("sage_bwd_int8");
  EXPECT_TRUE(problems(int8).empty()) << "rows of P give INT32 sums a scale to be added with";
}

std::string first_problem(std::string_view preset_name,
                          const std::vector<std::pair<std::string, Value>>& values) {
  Recipe recipe = preset(preset_name);
  for (const auto& [path, value] : values) recipe = edited(recipe, path, value);
  const std::vector<Problem> found = problems(recipe);
  return found.empty() ? "" : found.front().path + " " + found.front().why;
}

TEST(Validate, FieldsOfTheBackwardThatDecideNothing) {
  const auto name = [](const char* choice) { return Value(std::string(choice)); };
  EXPECT_EQ(first_problem("fps_ste_bf16", {{"backward.ds_multiplier", 3.0}}),
            "backward.ds_multiplier decides nothing here: its format has no scales");
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.p_guard", name("add_1e-7")}}),
            "backward.p_guard decides nothing here: its scale is given");
  EXPECT_EQ(first_problem("sage_bwd_int8", {{"backward.ds_multiplier", 3.0}}),
            "backward.ds_multiplier decides nothing here: its scale is not given");
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.smooth_term", name("omitted")}}),
            "backward.smooth_term decides nothing here: k is not smoothed");
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.s", name("f32.fma")}}), "") << "the default";
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.s", name("exact")}}),
            "backward.s decides nothing here: scores are the forward's");
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.p_rounding", name("toward_zero")}}), "");
  EXPECT_EQ(first_problem("cudnn_fp8_hopper", {{"backward.plain", name("bf16")}}),
            "backward.plain decides nothing here: every operand is read as coded");
}

// What an edit leaves without effect goes back to its default, so that the rest stays valid.
TEST(Validate, EditsTakeAlongWhatLosesItsEffect) {
  const Recipe recipe = edited(preset("fps_qat_fp8"), "backward.p_format", std::string("bf16"));
  EXPECT_TRUE(problems(recipe).empty());
  EXPECT_EQ(recipe.backward.p.multiplier, 1);
  EXPECT_EQ(recipe.backward.p.scale_rule, ScaleRule::divide);
  const Recipe forward = edited(preset("fps_qat_fp8"), "backward.loop", std::string("none"));
  EXPECT_TRUE(problems(forward).empty());
  EXPECT_TRUE(diff(forward, preset("fpsattention")).empty());
}

TEST(Validate, InstructionsOfTheBackwardFollowTheFormatsThatAnEditChanges) {
  const Recipe sage = preset("sage_bwd_int8");
  EXPECT_EQ(edited(sage, "backward.ds_multiplier", 1.0).backward.dp, "ampere.mma.f16.f32");
  EXPECT_EQ(edited(sage, "p.format", std::string("e4m3")).backward.dv, "ampere.mma.s8.s32");
  const Recipe changed = edited(sage, "backward.ds_format", std::string("bf16"));
  EXPECT_EQ(changed.backward.dq, "hopper.wgmma.bf16.f32") << "BF16 holds INT8";
  EXPECT_EQ(changed.backward.dv, "ampere.mma.s8.s32");
}

// Each piece of advice, followed, helps.
TEST(Validate, AdviceOnScalesOfTheBackwardHelps) {
  const auto name = [](const char* choice) { return Value(std::string(choice)); };
  const std::vector<std::pair<std::string, Value>> coded{{"backward.do_format", name("e4m3")}};
  const auto with = [&](std::vector<std::pair<std::string, Value>> more) {
    more.insert(more.begin(), coded.begin(), coded.end());
    return more;
  };
  Recipe recipe = preset("fps_qat_fp8");
  for (const auto& [path, value] : with({{"backward.do_group", name("token")}}))
    recipe = edited(recipe, path, value);
  ASSERT_FALSE(problems(recipe).empty());
  EXPECT_EQ(problems(recipe).front().path, "backward.do_group");
  EXPECT_EQ(problems(recipe).front().action, "give tensor or block, or backward.do_enters bf16");
  EXPECT_EQ(first_problem("fps_qat_fp8", with({{"backward.do_group", name("tensor")}})), "");
  EXPECT_EQ(first_problem("fps_qat_fp8", with({{"backward.do_group", name("token")},
                                               {"backward.do_enters", name("bf16")}})),
            "");
  recipe = preset("fps_qat_fp8");
  set(recipe, "backward.p_group", name("token"));
  EXPECT_EQ(problems(recipe).front().path, "backward.p_group");
  EXPECT_EQ(problems(recipe).front().action, "give tensor, block or channels_16");
  recipe = edited(recipe, "backward.p_group", std::string("tensor"));
  EXPECT_TRUE(problems(recipe).empty());
  EXPECT_EQ(first_problem("fps_qat_fp8", {{"backward.p_overflow", name("infinity")}}),
            "backward.p_overflow its format has no infinity");
  EXPECT_EQ(first_problem("sage_bwd_int8", {{"backward.ds_overflow", name("nan")}}),
            "backward.ds_overflow its format has no NaN");
  EXPECT_EQ(first_problem("attn_qat_nvfp4", {{"backward.p_enters", name("codes")}}),
            "backward.p_enters no tensor core reads E2M1 codes without their scales");
  EXPECT_EQ(
      first_problem("sage_bwd_int8", {{"backward.ds_code_rule", name("inverse_scale")},
                                      {"backward.ds_scale", name("ue8m0_up")}}),
      "backward.ds_code_rule inverse_scale codes x*(M/amax) and never sees the rounded scale");
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

TEST(Validate, ExponentsFromAccumulatorsNeedOneFactorOfThem) {
  const auto from = [](auto edit) {
    return [edit](Recipe& r) {
      r.softmax.exponent = Exponent::accumulator;
      edit(r);
    };
  };
  Recipe recipe = preset("fpsattention");
  recipe.softmax.exponent = Exponent::accumulator;
  EXPECT_TRUE(problems(recipe).empty());
  refused("softmax.exponent", "fuses the exponent already",
          from([](Recipe& r) { r.qk.scale_order = ScaleOrder::scaled_then_fused; }));
  refused("softmax.exponent", "needs one factor",
          from([](Recipe& r) { r.qk.scale_order = ScaleOrder::sequential; }));
  refused("softmax.exponent", "needs one factor",
          from([](Recipe& r) { r.qk.score_scale = ScoreScale::omitted; }));
  refused("softmax.exponent", "no place in it", from([](Recipe& r) { r.q.smooth = Smooth::mean; }));
  refused("qk.scale_order", "leaves accumulators to the exponent",
          [](Recipe& r) { r.qk.scale_order = ScaleOrder::folded_until_last; });
}

TEST(Validate, OffsetsEnterWhereThereIsAPlace) {
  const auto enters = [](OffsetEnters place, auto edit) {
    return [place, edit](Recipe& r) {
      r.p.apply = PApply::exponent_offset;
      r.p.multiplier = 1;
      r.p.offset_enters = place;
      edit(r);
    };
  };
  const auto nothing = [](Recipe&) {};
  refused("p.offset_enters", "no factor to fuse", enters(OffsetEnters::fused, nothing));
  refused("p.offset_enters", "not what exponents start from",
          enters(OffsetEnters::scores, nothing));
  refused("p.offset_enters", "there is no offset",
          [](Recipe& r) { r.p.offset_enters = OffsetEnters::fused; });
  refused("finish.divisor", "no multiplier", enters(OffsetEnters::separate, [](Recipe& r) {
            r.finish.divisor = Divisor::multiplied;
          }));
}

TEST(Validate, TheUnitsExp2StandsInKernelsThatKeepSubnormals) {
  Recipe recipe = preset("fpsattention");
  recipe.subnormals = numerics::Subnormals::keep;
  recipe.finish.reciprocal = Reciprocal::rounded;
  recipe.finish.logarithm = Logarithm::exact;
  EXPECT_TRUE(problems(recipe).empty());
  refused("finish.reciprocal", "mufu flushes subnormals", [](Recipe& r) {
    r.subnormals = numerics::Subnormals::keep;
    r.finish.logarithm = Logarithm::exact;
  });
}

}  // namespace
}  // namespace karat::recipe
