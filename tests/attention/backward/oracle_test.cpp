// The f64 oracle of the gradients against finite differences and the textbook in long double.
#include <gtest/gtest.h>

#include <numeric>

#include "backward_case.hpp"
#include "plain_gradients.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kChannels = 6;
constexpr video::Extent3 kGrid{2, 3, 4};

struct Problem {
  layout::Layout layout;
  RandomHead head;
  std::vector<float> d_o;
  Keeps keeps;
  std::vector<std::int32_t> all;

  Problem(mask::Unit unit, OracleMask mask) {
    recipe::Recipe recipe = small_preset("fpsattention");
    recipe.mask.window = {1, 3, 1};
    recipe.mask.unit = unit;
    layout = layout::make_layout(recipe, kGrid, kChannels);
    layout.mask = std::make_unique<HolesMask>(std::move(layout.mask));
    layout.blocks =
        mask::block_map(*layout.mask, layout.blocks.query_blocks, layout.blocks.key_blocks);
    head = random_head(kGrid, kChannels, Flavour::normal, 5);
    d_o = random_head(kGrid, kChannels, Flavour::normal, 6).v;
    if (mask == OracleMask::dense)
      keeps = [](std::size_t, std::size_t) { return true; };
    else
      keeps = [this](std::size_t q, std::size_t k) {
        return layout.mask->keeps(layout.order.position_of[q], layout.key_order.position_of[k]);
      };
    all.resize(static_cast<std::size_t>(kGrid.volume()));
    std::iota(all.begin(), all.end(), 0);
  }
};

long double largest(const Wide& x) {
  long double most = 0;
  for (const long double value : x) most = std::max(most, std::abs(value));
  return most;
}

/// d loss / d x[e] by differences of eighth order.
long double difference(Wide& x, std::size_t e, const std::function<long double()>& loss) {
  constexpr long double h = 0x1p-6L;
  constexpr long double weight[] = {4.0L / 5, -1.0L / 5, 4.0L / 105, -1.0L / 280};
  const long double at = x[e];
  long double sum = 0;
  for (int step = 1; step <= 4; ++step) {
    x[e] = at + step * h;
    const long double above = loss();
    x[e] = at - step * h;
    sum += weight[step - 1] * (above - loss());
  }
  x[e] = at;
  return sum / h;
}

class GradientOracle : public testing::TestWithParam<OracleMask> {};

TEST_P(GradientOracle, EqualsFiniteDifferencesAndTheTextbook) {
  const Problem problem(mask::Unit::tokens_exact, GetParam());
  const std::size_t d = kChannels;
  const OracleGradients oracle = oracle_gradients(problem.layout, problem.head.input(), problem.d_o,
                                                  problem.all, problem.all, GetParam(), 1);
  Wide q = widened(problem.head.q), k = widened(problem.head.k), v = widened(problem.head.v);
  const Wide d_o = widened(problem.d_o);
  const PlainGradients plain = plain_gradients(q, k, v, d_o, d, problem.keeps);
  const auto loss = [&] { return plain_loss(q, k, v, d_o, d, problem.keeps); };
  const auto compare = [&](Wide& x, const Wide& formula, const std::vector<double>& ours,
                           const char* name) {
    const long double scale = largest(formula);
    ASSERT_GT(scale, 0);
    ASSERT_EQ(ours.size(), x.size());
    for (std::size_t e = 0; e < x.size(); ++e) {
      EXPECT_NEAR(static_cast<double>((formula[e] - ours[e]) / scale), 0, 2e-14) << name << e;
      if (e % 7 != 0) continue;
      EXPECT_NEAR(static_cast<double>((difference(x, e, loss) - ours[e]) / scale), 0, 1e-12)
          << name << e;
    }
  };
  compare(q, plain.dq, oracle.dq, "dq ");
  compare(k, plain.dk, oracle.dk, "dk ");
  compare(v, plain.dv, oracle.dv, "dv ");
}

INSTANTIATE_TEST_SUITE_P(Masks, GradientOracle,
                         testing::Values(OracleMask::dense, OracleMask::sparse));

TEST(GradientOracleRows, AreThoseOfTheWholeInTheOrderAsked) {
  const Problem problem(mask::Unit::tiles, OracleMask::sparse);
  for (const OracleMask mask : {OracleMask::dense, OracleMask::sparse}) {
    const auto whole = oracle_gradients(problem.layout, problem.head.input(), problem.d_o,
                                        problem.all, problem.all, mask, 1);
    const std::vector<std::int32_t> queries{17, 3, 4}, keys{20, 1};
    const auto some =
        oracle_gradients(problem.layout, problem.head.input(), problem.d_o, queries, keys, mask, 2);
    const auto expect_rows = [&](const std::vector<double>& few, const std::vector<double>& all,
                                 const std::vector<std::int32_t>& tokens) {
      ASSERT_EQ(few.size(), tokens.size() * kChannels);
      for (std::size_t i = 0; i < tokens.size(); ++i)
        for (std::size_t j = 0; j < kChannels; ++j)
          EXPECT_EQ(few[i * kChannels + j], all[tokens[i] * kChannels + j]);
    };
    expect_rows(some.dq, whole.dq, queries);
    expect_rows(some.dk, whole.dk, keys);
    expect_rows(some.dv, whole.dv, keys);
  }
}

TEST(GradientOracleRows, WithoutKeysAreZero) {
  const Problem problem(mask::Unit::tiles, OracleMask::sparse);
  const auto g = oracle_gradients(problem.layout, problem.head.input(), problem.d_o, problem.all,
                                  {}, OracleMask::sparse, 1);
  EXPECT_TRUE(g.dk.empty());
  int without = 0;
  for (const std::int32_t token : problem.all) {
    if (problem.layout.order.position_of[token] % 5 != 2) continue;
    ++without;
    for (std::size_t j = 0; j < kChannels; ++j) EXPECT_EQ(g.dq[token * kChannels + j], 0.0);
  }
  EXPECT_GT(without, 2);
}

}  // namespace
}  // namespace karat::attention
