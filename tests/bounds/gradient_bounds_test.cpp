// Ranges of gradients: the engine's own values where nothing is free, and around legal kernels.
#include "karat/bounds/gradient_bounds.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "backward/backward_case.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::bounds {
namespace {

using attention::BackwardCase;
using attention::BackwardResult;
using attention::Flavour;

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}
void expect_all(const LegalValues& values, const std::vector<float>& golden, const char* what) {
  ASSERT_EQ(values.golden.size(), golden.size()) << what;
  for (std::size_t e = 0; e < golden.size(); ++e) {
    ASSERT_TRUE(same(values.golden[e], golden[e])) << what << " " << e;
    ASSERT_TRUE(same(values.low[e], golden[e])) << what << " low " << e;
    ASSERT_TRUE(same(values.high[e], golden[e])) << what << " high " << e;
    for (const auto& kernel : values.kernels)
      ASSERT_TRUE(same(kernel[e], golden[e])) << what << " kernel " << e;
  }
}

std::vector<int> all_of(std::size_t count) {
  std::vector<int> blocks(count);
  std::iota(blocks.begin(), blocks.end(), 0);
  return blocks;
}
/// Rows of tokens at the positions of a block; what stands at padding is the block's own.
std::vector<float> rows_at(const std::vector<float>& tokens, const LegalValues& own,
                           const video::TokenOrder& order, video::Range range, std::size_t width) {
  std::vector<float> rows = own.golden;
  for (std::int64_t at = range.begin; at < range.end; ++at)
    if (const std::int32_t token = order.token_at[at]; token >= 0)
      std::copy_n(&tokens[token * width], width, &rows[(at - range.begin) * width]);
  return rows;
}

/// Presets, and what none of them has: smoothed k, and scales that follow from a visit's values.
std::vector<recipe::Recipe> recipes() {
  std::vector<recipe::Recipe> list;
  for (const std::string& preset : attention::backward_presets())
    list.push_back(attention::small_preset(preset));
  recipe::Recipe& smoothed = list.emplace_back(attention::small_preset("fps_ste_bf16"));
  smoothed.name = "smoothed";
  smoothed.k.smooth = quant::Smooth::mean;
  recipe::Recipe& grouped = list.emplace_back(attention::small_preset("cudnn_fp8_hopper"));
  grouped.name = "grouped";
  for (quant::Rule* rule : {&grouped.backward.p, &grouped.backward.ds}) {
    rule->group = quant::Group::block;
    rule->scale_rule = quant::ScaleRule::divide;
    rule->multiplier = 1;
  }
  return list;
}

BackwardCase case_of(const recipe::Recipe& recipe, Flavour flavour, int heads = 1) {
  return {recipe, {.grid = {3, 5, 4}, .channels = 16}, flavour, 7, heads};
}

struct Blocks {
  std::vector<int> queries, keys;
  explicit Blocks(const BackwardCase& of) {
    const mask::BlockMap map = attention::backward_blocks(of.recipe, *of.layout);
    queries = all_of(map.query_blocks.size());
    keys = all_of(map.key_blocks.size());
  }
};

// The propagation repeats the engine's arithmetic.
TEST(GradientBounds, WithoutFreedomTheyAreTheGoldenValues) {
  for (const recipe::Recipe& recipe : recipes())
    for (const Flavour flavour : {Flavour::one_hot}) {
      SCOPED_TRACE(recipe.name + " " + std::to_string(static_cast<int>(flavour)));
      const BackwardCase of = case_of(recipe, flavour, 2);
      const Blocks blocks(of);
      const BackwardResult result = of.run(numerics::Path::fast);
      const auto heads = of.backward_heads();
      GradientBounds bounds(of.recipe, *of.layout, heads, kNoFreedom, 1);
      const std::size_t d = of.layout->channels;
      const auto queries = bounds.of_queries(0, blocks.queries, Detail::stages);
      for (std::size_t b = 0; b < queries.size(); ++b) {
        const attention::BackwardTap& tap = result.query_taps[b];
        if (!tap.s.empty()) {
          expect_all(queries[b].p, tap.p, "p");
          expect_all(queries[b].p_operand, tap.p_operand, "p operand");
          expect_all(queries[b].ds, tap.ds, "ds");
          expect_all(queries[b].ds_operand, tap.ds_operand, "ds operand");
        }
        expect_all(queries[b].dq_by_visit, tap.dq, "dq by visit");
        expect_all(queries[b].dq,
                   rows_at(result.dq[0], queries[b].dq, of.layout->order, tap.queries, d), "dq");
        expect_all(queries[b].delta,
                   rows_at(result.delta[0], queries[b].delta, of.layout->order, tap.queries, 1),
                   "delta");
      }
      const auto keys = bounds.of_keys(blocks.keys, Detail::stages);
      for (std::size_t b = 0; b < keys.size(); ++b) {
        const attention::KeyBlockTap& tap = result.key_taps[b];
        expect_all(keys[b].dk_by_visit, tap.dk, "dk by visit");
        expect_all(keys[b].dv_by_visit, tap.dv, "dv by visit");
        const auto& order = of.layout->key_order;
        expect_all(keys[b].dk, rows_at(result.dk, keys[b].dk, order, tap.keys, d), "dk");
        expect_all(keys[b].dv, rows_at(result.dv, keys[b].dv, order, tap.keys, d), "dv");
      }
    }
}

/// exp2 within 2 ulp, another way for every argument.
float another_exp2(std::uint64_t seed, float x, float p) {
  if (!(p > 0) || x == 0) return p;
  const auto word = numerics::random_bits(seed, 1, std::bit_cast<std::uint32_t>(x));
  return p +
         static_cast<float>(static_cast<int>(word % 3) - 1) * std::ldexp(1.0f, std::ilogb(p) - 23);
}

std::int64_t outside(const LegalValues& values, const std::vector<float>& found) {
  std::int64_t count = 0;
  for (std::size_t e = 0; e < found.size(); ++e)
    count += !inside(found[e], values.low[e], values.high[e]);
  return count;
}
std::int64_t outside(const LegalValues& values) {
  std::int64_t count = 0;
  for (const auto& kernel : values.kernels) count += outside(values, kernel);
  return count;
}
std::int64_t moved(const LegalValues& values, const std::vector<float>& found) {
  std::int64_t count = 0;
  for (std::size_t e = 0; e < found.size(); ++e) count += !same(values.golden[e], found[e]);
  return count;
}

// A forward with another exp2 of the table, then a backward whose exp2 errs by itself.
TEST(GradientBounds, LegalKernelsStayInside) {
  for (const recipe::Recipe& recipe : recipes()) {
    std::int64_t differing = 0;
    for (const Flavour flavour : {Flavour::normal, Flavour::tails}) {
      SCOPED_TRACE(recipe.name + " " + std::to_string(static_cast<int>(flavour)));
      const BackwardCase of = case_of(recipe, flavour, 2);
      recipe::Recipe other = recipe;
      other.softmax.exp2 = recipe::Exp2::rounded;
      const BackwardCase legal(other, {.grid = {3, 5, 4}, .channels = 16}, flavour, 7, 2);
      const Blocks blocks(of);
      attention::BackwardOptions options{
          .threads = 1, .tapped_queries = blocks.queries, .tapped_keys = blocks.keys};
      options.errors.emplace().exp2 = [](float x, float p) { return another_exp2(3, x, p); };
      const BackwardResult result =
          attention::attend_backward(other, *legal.layout, legal.backward_heads(), options);
      const auto heads = of.backward_heads();
      GradientBounds bounds(of.recipe, *of.layout, heads, {}, 1);
      const std::size_t d = of.layout->channels;
      const auto& order = of.layout->order;
      for (const auto& b : bounds.of_queries(0, blocks.queries, Detail::stages)) {
        const attention::BackwardTap& tap = result.query_taps[b.query_block];
        EXPECT_EQ(outside(b.p, tap.p), 0);
        EXPECT_EQ(outside(b.p_operand, tap.p_operand), 0);
        EXPECT_EQ(outside(b.ds, tap.ds), 0);
        EXPECT_EQ(outside(b.ds_operand, tap.ds_operand), 0);
        EXPECT_EQ(outside(b.dq_by_visit, tap.dq), 0);
        EXPECT_EQ(outside(b.dq, rows_at(result.dq[0], b.dq, order, b.queries, d)), 0);
        EXPECT_EQ(outside(b.delta, rows_at(result.delta[0], b.delta, order, b.queries, 1)), 0);
        for (const auto* values : {&b.p, &b.p_operand, &b.ds, &b.ds_operand, &b.dq_by_visit, &b.dq,
                                   &b.delta, &b.o_unquantised_p})
          EXPECT_EQ(outside(*values), 0);
        differing += moved(b.p, tap.p);
      }
      const auto& key_order = of.layout->key_order;
      for (const auto& b : bounds.of_keys(blocks.keys, Detail::stages)) {
        EXPECT_EQ(outside(b.dk, rows_at(result.dk, b.dk, key_order, b.keys, d)), 0);
        EXPECT_EQ(outside(b.dv, rows_at(result.dv, b.dv, key_order, b.keys, d)), 0);
        for (const auto* values : {&b.dk, &b.dv, &b.dk_by_visit, &b.dv_by_visit})
          EXPECT_EQ(outside(*values), 0);
      }
    }
    EXPECT_GT(differing, 0) << recipe.name;  // the freedom was used
  }
}

// What a visit's own scale codes has a finite range, whatever the rule's rounding and formats.
TEST(GradientBounds, MeasuredScalesLeaveFiniteRanges) {
  for (const recipe::Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    const BackwardCase of = case_of(recipe, Flavour::normal, 2);
    const Blocks blocks(of);
    const auto heads = of.backward_heads();
    GradientBounds bounds(of.recipe, *of.layout, heads, {}, 1);
    const auto infinite = [](const LegalValues& values) {
      std::int64_t count = 0;
      for (std::size_t e = 0; e < values.golden.size(); ++e)
        count += !std::isfinite(values.low[e]) || !std::isfinite(values.high[e]);
      return count;
    };
    for (const auto& b : bounds.of_queries(0, blocks.queries, Detail::stages)) {
      EXPECT_EQ(infinite(b.p_operand), 0);
      EXPECT_EQ(infinite(b.ds_operand), 0);
      EXPECT_EQ(infinite(b.dq), 0);
    }
    for (const auto& b : bounds.of_keys(blocks.keys, Detail::outputs)) {
      EXPECT_EQ(infinite(b.dk), 0);
      EXPECT_EQ(infinite(b.dv), 0);
    }
  }
}

/// dV of a kernel that codes its P another way, element by element.
struct OtherP {
  const char* preset;
  void (*plant)(quant::Rule& p);
};
constexpr OtherP kOtherP[] = {
    {"sage_bwd_int8", [](quant::Rule& p) { p.limit = 120; }},
    {"sage_bwd_int8", [](quant::Rule& p) { p.rounding = numerics::Rounding::toward_zero; }},
    {"attn_qat_nvfp4", [](quant::Rule& p) { p = {.format = numerics::FormatId::bf16}; }}};

// Half a step of the format hides each of them; the codes that are legal do not.
TEST(GradientBounds, AnotherCodingOfPLiesOutside) {
  for (const OtherP& other : kOtherP) {
    SCOPED_TRACE(other.preset);
    const BackwardCase of = case_of(attention::small_preset(other.preset), Flavour::normal);
    BackwardCase planted = of;
    other.plant(planted.recipe.backward.p);
    const Blocks blocks(of);
    const BackwardResult result = planted.run(numerics::Path::fast);
    const auto heads = of.backward_heads();
    GradientBounds bounds(of.recipe, *of.layout, heads, {}, 1);
    std::int64_t beyond = 0, values = 0;
    for (const auto& b : bounds.of_keys(blocks.keys, Detail::outputs)) {
      beyond += outside(b.dv, rows_at(result.dv, b.dv, of.layout->key_order, b.keys, 16));
      values += static_cast<std::int64_t>(b.dv.golden.size());
    }
    EXPECT_GT(beyond, values / 2) << values;
  }
}

// dQ in another order of its key blocks lies outside the golden order's range and inside any's.
TEST(GradientBounds, AnyOrderOfDqStaysInside) {
  BackwardCase of = case_of(attention::small_preset("fa3_bf16"), Flavour::normal);
  of.recipe.backward.output = numerics::FormatId::f32;
  const Blocks blocks(of);
  BackwardCase turned = of;
  turned.recipe.backward.key_order = recipe::BlockOrder::descending;
  const BackwardResult result = turned.run(numerics::Path::fast);
  const auto heads = of.backward_heads();
  const auto count = [&](Freedom freedom) {
    GradientBounds bounds(of.recipe, *of.layout, heads, freedom, 1);
    std::int64_t beyond = 0;
    for (const auto& b : bounds.of_queries(0, blocks.queries, Detail::outputs))
      beyond += outside(
          b.dq, rows_at(result.dq[0], b.dq, of.layout->order, b.queries, of.layout->channels));
    return beyond;
  };
  Freedom order = kNoFreedom;
  EXPECT_GT(count(order), 0);
  order.summation = Summation::any_order;
  EXPECT_EQ(count(order), 0);
}

// Pages call the order of delta open: any other lies outside the golden order's point and inside
// any's, and so does what follows from it.
TEST(GradientBounds, AnyOrderOfDeltaStaysInside) {
  recipe::Recipe recipe = attention::small_preset("fps_ste_bf16");
  recipe.softmax.exp2 = recipe::Exp2::exact;  // nothing else is free
  recipe.backward.output = numerics::FormatId::f32;
  const BackwardCase of = case_of(recipe, Flavour::normal);
  const Blocks blocks(of);
  const auto heads = of.backward_heads();
  ASSERT_EQ(recipe.backward.delta_sum, recipe::DeltaSum::sequential);
  BackwardCase other = of;
  other.recipe.backward.delta_sum = recipe::DeltaSum::pairwise;
  const BackwardResult result = other.run(numerics::Path::fast);
  const auto count = [&](Freedom freedom) {
    GradientBounds bounds(of.recipe, *of.layout, heads, freedom, 1);
    std::int64_t delta = 0, dq = 0;
    const auto& rows = of.layout->order;
    for (const auto& b : bounds.of_queries(0, blocks.queries, Detail::outputs)) {
      delta += outside(b.delta, rows_at(result.delta[0], b.delta, rows, b.queries, 1));
      dq += outside(b.dq, rows_at(result.dq[0], b.dq, rows, b.queries, of.layout->channels));
      EXPECT_EQ(outside(b.delta), 0);
    }
    return std::pair{delta, dq};
  };
  EXPECT_GT(count(kNoFreedom).first, 0);
  Freedom open = kNoFreedom;
  open.summation = Summation::any_order;
  EXPECT_EQ(count(open), (std::pair<std::int64_t, std::int64_t>{0, 0}));
  open.contraction = Contraction::allowed;
  EXPECT_EQ(count(open).first, 0);
}

// A forward whose row sums run in another order moves lse, and so P, dS and all gradients.
TEST(GradientBounds, TheForwardsOrderReachesTheGradients) {
  recipe::Recipe recipe = attention::small_preset("fps_ste_bf16");
  recipe.softmax.exp2 = recipe::Exp2::exact;
  recipe.backward.output = recipe.backward.p.format = numerics::FormatId::f32;
  recipe.backward.dv = "f32.fma";
  const layout::Setting setting{.grid = {3, 5, 4}, .channels = 16};
  const BackwardCase of(recipe, setting, Flavour::normal, 7);
  recipe.softmax.row_sum_order = recipe::RowSumOrder::sequential;
  const BackwardCase other(recipe, setting, Flavour::normal, 7);
  const Blocks blocks(of);
  const BackwardResult result = other.run(numerics::Path::fast);
  const auto heads = of.backward_heads();
  const auto count = [&](Freedom freedom) {
    GradientBounds bounds(of.recipe, *of.layout, heads, freedom, 1);
    std::int64_t beyond = 0;
    for (const auto& b : bounds.of_keys(blocks.keys, Detail::outputs))
      beyond += outside(b.dv, rows_at(result.dv, b.dv, of.layout->key_order, b.keys, 16));
    return beyond;
  };
  EXPECT_GT(count(kNoFreedom), 0);
  Freedom order = kNoFreedom;
  order.summation = Summation::any_order;
  EXPECT_EQ(count(order), 0);
}

}  // namespace
}  // namespace karat::bounds
