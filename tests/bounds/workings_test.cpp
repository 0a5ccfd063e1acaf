// Bounds that take exponents and products from taps against bounds that compute them, and taps of a
// few blocks beside workings of all against those of a plain run: the same bits, in every preset.
#include <gtest/gtest.h>

#include <cstring>

#include "../recipe/forward_presets.hpp"
#include "golden_run.hpp"

namespace karat::bounds {
namespace {

template <typename T>
void expect_same(const std::vector<T>& a, const std::vector<T>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0) << what;
}

void compare(const GoldenRun& run) {
  const std::vector<int> kept{0, 2};
  const BoundedResult made = attend_with_bounds(run.recipe, run.layout, run.head, kept, 1,
                                                [](std::size_t, std::size_t) {});
  expect_same(made.golden.o, run.result.o, "o");
  expect_same(made.golden.lse, run.result.lse, "lse");
  EXPECT_EQ(made.golden.saturated_p_codes, run.result.saturated_p_codes);
  ASSERT_EQ(made.golden.taps.size(), leaves_freedom(run.recipe) ? kept.size() : 2);
  for (const attention::BlockTap& tap : made.golden.taps) {
    const attention::BlockTap& plain = run.result.taps[tap.query_block];
    expect_same(tap.a, plain.a, "a");
    expect_same(tap.s, plain.s, "s");
    expect_same(tap.p, plain.p, "p");
    expect_same(tap.p_codes, plain.p_codes, "codes");
    expect_same(tap.m, plain.m, "m");
    expect_same(tap.l, plain.l, "l");
    expect_same(tap.o, plain.o, "accumulators");
    EXPECT_TRUE(tap.x.empty() && tap.t.empty());
  }
  if (!leaves_freedom(run.recipe)) return;
  const HeadBounds bounds(run.recipe, run.layout, run.head);
  for (const attention::BlockTap& tap : run.result.taps) {
    const BlockBounds block = bounds.of(tap, run.o(tap), run.lse(tap), Detail::outputs);
    const auto rows = [&](const std::vector<float>& per_token, std::size_t width) {
      return gather(per_token, run.layout, tap.queries, width);
    };
    const std::size_t d = run.layout.channels;
    for (std::int64_t i = 0; i < tap.queries.size(); ++i) {
      if (run.layout.order.token_at[tap.queries.begin + i] < 0) continue;
      const auto row = [&](const std::vector<float>& x, std::size_t width) {
        return std::vector<float>(x.begin() + i * width, x.begin() + (i + 1) * width);
      };
      expect_same(row(rows(made.bounds.o_low, d), d), row(block.out_low, d), "o_low");
      expect_same(row(rows(made.bounds.o_high, d), d), row(block.out_high, d), "o_high");
      expect_same(row(rows(made.bounds.l_low, 1), 1), row(block.row_l_low, 1), "l_low");
      expect_same(row(rows(made.bounds.l_high, 1), 1), row(block.row_l_high, 1), "l_high");
      expect_same(row(rows(made.bounds.lse_low, 1), 1), row(block.lse_low, 1), "lse_low");
      expect_same(row(rows(made.bounds.lse_high, 1), 1), row(block.lse_high, 1), "lse_high");
    }
  }
}

class Workings : public ::testing::TestWithParam<std::string_view> {};

TEST_P(Workings, ChangeNoBit) {
  recipe::Recipe recipe = small(recipe::preset(GetParam()));
  recipe.backward = {};
  for (const attention::Flavour flavour :
       {attention::Flavour::normal, attention::Flavour::subnormal,
        attention::Flavour::wide_range}) {
    SCOPED_TRACE(static_cast<int>(flavour));
    compare({recipe, {3, 8, 9}, 32, flavour, 5});
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, Workings, ::testing::ValuesIn(recipe::forward_presets()),
                         [](const auto& test) { return std::string(test.param); });

/// 2 to the power of a subnormal difference is 1 where the recipe flushes it, and free elsewhere.
TEST(Workings, ChangeNoBitOfSubnormalDifferences) {
  for (const char* name : {"fa3_bf16", "sta_bf16"}) {
    SCOPED_TRACE(name);
    const video::Extent3 grid{3, 8, 9};
    attention::RandomHead values = attention::random_head(grid, 32, attention::Flavour::normal, 7);
    for (float& x : values.q) x *= 0x1p-61f;
    for (float& x : values.k) x *= 0x1p-64f;
    compare({small(recipe::preset(name)), grid, 32, values});
  }
}

/// Where numbers end, bounds read P of the tap itself.
TEST(Workings, ChangeNoBitOfInfAndNan) {
  for (const char* name : {"fpsattention", "fa3_fp8", "sage2_sm90", "sta_bf16"}) {
    SCOPED_TRACE(name);
    const video::Extent3 grid{3, 8, 9};
    attention::RandomHead values = attention::random_head(grid, 32, attention::Flavour::normal, 6);
    GoldenRun run(small(recipe::preset(name)), grid, 32, values);
    for (const float odd : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      run.head.v.values[7 * 32 + 3] = odd;
      attention::AttendOptions options;
      for (int i = 0; i < std::ssize(run.layout.blocks.query_blocks); ++i)
        options.tapped.push_back(i);
      run.result = attention::attend(run.recipe, run.layout, run.head, options);
      compare(run);
    }
  }
}

}  // namespace
}  // namespace karat::bounds
