// A block left out by its exponential: right kernels part where 2^x lies within exp2's freedom of
// what it is compared with, and nowhere else.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "golden_run.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/bounds/legal_kernels.hpp"
#include "karat/recipe/json.hpp"
#include "visits.hpp"

namespace karat::bounds {
namespace {

constexpr video::Extent3 kGrid{3, 8, 9};
constexpr auto kKeys = 3 * 8 * 9;

GoldenRun run_with(float factor, int promote_every = 0) {
  recipe::Recipe recipe = small(recipe::preset("skip_softmax_fp8"));
  recipe.skip.factor = factor;
  recipe.pv.promote_every = promote_every;
  return {recipe, kGrid, 32, attention::Flavour::normal, 4};
}

/// A tapped block and visit, and 2^x of its test.
struct Edge {
  std::size_t tap = 0, visit = 0;
  float power = 0;
};
/// The largest 2^x below 1 of a last visit: nothing behind it depends on it.
Edge find_edge(const GoldenRun& run) {
  const FreeLaunch free(run.recipe, run.layout, run.head, {});
  Edge edge;
  for (std::size_t t = 0; t < run.result.taps.size(); ++t) {
    const std::size_t last = run.result.taps[t].key_block.size() - 1;
    const float x = decision(free, run.result.taps[t], last).x;
    const float power = attention::power<float>(free.launch, x);
    if (x < 0 && power > edge.power) edge = {t, last, power};
  }
  return edge;
}

std::size_t outside(const std::vector<float>& values, const std::vector<float>& low,
                    const std::vector<float>& high) {
  std::size_t count = 0;
  for (std::size_t e = 0; e < values.size(); ++e) count += !inside(values[e], low[e], high[e]);
  return count;
}

BlockBounds bounds_of(const GoldenRun& run, std::size_t tap) {
  const HeadBounds bounds(run.recipe, run.layout, run.head);
  const attention::BlockTap& of = run.result.taps[tap];
  return bounds.of(of, run.o(of), run.lse(of), Detail::stages);
}

TEST(SkippedVisits, AtTheEdgeBothOutcomesAreLegal) {
  const Edge edge = find_edge(run_with(0));
  ASSERT_GT(edge.power, 0);
  const float factor = edge.power * kKeys;
  const GoldenRun at = run_with(factor), left_out = run_with(factor * (1 + 1e-5f)),
                  computed = run_with(factor * (1 - 1e-5f));
  const auto decided = [&](const GoldenRun& run) {
    const FreeLaunch free(run.recipe, run.layout, run.head, {});
    return decision(free, run.result.taps[edge.tap], edge.visit).visited;
  };
  EXPECT_EQ(decided(at), Visited::either);
  EXPECT_EQ(decided(left_out), Visited::skipped);
  EXPECT_EQ(decided(computed), Visited::computed);

  const BlockBounds of_both = bounds_of(at, edge.tap);
  for (const GoldenRun* run : {&left_out, &computed}) {
    const attention::BlockTap& tap = run->result.taps[edge.tap];
    EXPECT_EQ(outside(run->o(tap), of_both.out_low, of_both.out_high), 0u);
    EXPECT_EQ(outside(tap.l, of_both.l_low, of_both.l_high), 0u);
    EXPECT_EQ(outside(tap.p, of_both.p_low, of_both.p_high), 0u);
    EXPECT_EQ(outside(tap.o, of_both.o_low, of_both.o_high), 0u);
    EXPECT_EQ(outside(run->lse(tap), of_both.lse_low, of_both.lse_high), 0u);
  }
  // Away from the edge only one of them is.
  const attention::BlockTap& skipped = left_out.result.taps[edge.tap];
  const BlockBounds of_computed = bounds_of(computed, edge.tap);
  EXPECT_GT(outside(skipped.l, of_computed.l_low, of_computed.l_high), 0u);
  const attention::BlockTap& whole = computed.result.taps[edge.tap];
  const BlockBounds of_skipped = bounds_of(left_out, edge.tap);
  EXPECT_GT(outside(whole.l, of_skipped.l_low, of_skipped.l_high), 0u);
}

// Those that part are inside the range and beyond what the spread's kernels do: undecided.
TEST(SkippedVisits, AtTheEdgeTheSpreadsKernelsDecideAsTheGoldenOne) {
  const Edge edge = find_edge(run_with(0));
  const GoldenRun at = run_with(edge.power * kKeys);
  const attention::BlockTap& tap = at.result.taps[edge.tap];
  const LegalKernels kernels(at.recipe, at.layout, at.head, {});
  const BlockBounds bounds = bounds_of(at, edge.tap);
  const std::size_t rows = tap.queries.size();
  for (const LegalKernel& kernel : kLegalKernels) {
    const LegalRows made = kernels.run(kernel, tap, Detail::outputs);
    for (std::size_t row = 0; row < rows; ++row) {
      const float golden = tap.l[(tap.key_block.size() - 1) * rows + row];
      EXPECT_NEAR(made.l[row], golden, 1e-4f * golden);
    }
    EXPECT_EQ(outside(made.out, bounds.out_low, bounds.out_high), 0u);
    EXPECT_EQ(outside(made.l, bounds.row_l_low, bounds.row_l_high), 0u);
  }
}

/// A row's maximum passes over NaN, wherever in the row it is, so a score that is none decides
/// nothing.
TEST(SkippedVisits, NanAmongScoresDecidesNothing) {
  const recipe::Recipe recipe = small(recipe::preset("trtllm_sage"));
  attention::RandomHead values = attention::random_head(kGrid, 32, attention::Flavour::normal, 8);
  for (std::size_t i = 0; i < values.q.size(); ++i) values.q[i] *= i / 32 % 5 == 0 ? 1e6f : 1.0f;
  // The scale of a block's first keys times a large query's is Inf, times a sum of zeros NaN.
  for (std::size_t key = 32; key < kKeys; key += 64) values.k[key * 32] = 3e38f;
  for (std::size_t query = 0; query < kKeys; query += 5) values.q[query * 32] = 0.0f;
  const GoldenRun run(recipe, kGrid, 32, values);
  const FreeLaunch free(run.recipe, run.layout, run.head, {});
  std::size_t first_nan = 0, skipped = 0;
  for (std::size_t t = 0; t < run.result.taps.size(); ++t) {
    const attention::BlockTap& tap = run.result.taps[t];
    const auto rows = static_cast<std::size_t>(tap.queries.size());
    for (std::size_t visit = 1; visit < tap.key_block.size(); ++visit) {
      for (std::size_t i = 0; i < rows; ++i)
        first_nan += std::isnan(tap.s[i * tap.key_position.size() + tap.column_begin[visit]]);
      const auto small = run.result.small_blocks[tap.query_block];
      const bool left_out = std::ranges::count(small, tap.key_block[visit]) > 0;
      EXPECT_EQ(decision(free, tap, visit).golden_skips, left_out);
      skipped += left_out;
    }
    EXPECT_NO_THROW(bounds_of(run, t));
  }
  EXPECT_GT(first_nan, 0u);
  EXPECT_GT(skipped, 0u);
}

/// Exponents and products lent with a tap hold nothing of a visit that the golden kernel leaves
/// out, though another may compute it: what bounds need of it they make themselves.
TEST(SkippedVisits, NothingLentIsReadOfThem) {
  constexpr int kPromoteEvery = 32;
  const Edge edge = find_edge(run_with(0, kPromoteEvery));
  const GoldenRun run = run_with(edge.power * kKeys * (1 + 0x1p-23f), kPromoteEvery);
  const FreeLaunch free(run.recipe, run.layout, run.head, {});
  const VisitDecision decided = decision(free, run.result.taps[edge.tap], edge.visit);
  ASSERT_EQ(decided.visited, Visited::either);
  ASSERT_TRUE(decided.golden_skips);

  attention::AttendOptions options{.tapped = {run.result.taps[edge.tap].query_block}};
  options.workings = attention::Workings::tapped;
  options.staged = options.tapped;
  attention::BlockTap tap = attention::attend(run.recipe, run.layout, run.head, options).taps.at(0);
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t product = rows * run.layout.channels;
  ASSERT_LT(tap.product_begin[edge.visit], tap.product_begin[edge.visit + 1]);
  std::fill(tap.t.begin() + tap.product_begin[edge.visit] * product,
            tap.t.begin() + tap.product_begin[edge.visit + 1] * product, 1e6f);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = tap.x.begin() + i * tap.key_position.size();
    std::fill(row + tap.column_begin[edge.visit], row + tap.column_begin[edge.visit + 1], 3.0f);
  }

  const HeadBounds bounds(run.recipe, run.layout, run.head);
  const BlockBounds lent = bounds.of(tap, run.o(tap), run.lse(tap), Detail::stages);
  const BlockBounds computed = bounds_of(run, edge.tap);
  for (const auto member :
       {&BlockBounds::out_low, &BlockBounds::out_high, &BlockBounds::o_low, &BlockBounds::o_high,
        &BlockBounds::p_low, &BlockBounds::p_high, &BlockBounds::l_low, &BlockBounds::l_high}) {
    ASSERT_EQ((lent.*member).size(), (computed.*member).size());
    for (std::size_t e = 0; e < (lent.*member).size(); ++e)
      ASSERT_EQ(std::bit_cast<std::uint32_t>((lent.*member)[e]),
                std::bit_cast<std::uint32_t>((computed.*member)[e]));
  }
}

}  // namespace
}  // namespace karat::bounds
