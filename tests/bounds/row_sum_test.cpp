// The row sum's ends against the engine's own sum of each, in every order, subnormal terms
// included.
#include "row_sum.hpp"

#include <gtest/gtest.h>

#include <random>

#include "golden_run.hpp"
#include "karat/recipe/json.hpp"

namespace karat::bounds {
namespace {

struct Case {
  recipe::Exp2 exp2;
  numerics::Subnormals subnormals;
  recipe::RowSumOrder order;
};

void compare(Case c, float scale) {
  recipe::Recipe recipe = small(recipe::preset("sta_bf16"));
  recipe.softmax.exp2 = c.exp2;
  recipe.softmax.row_sum_order = c.order;
  recipe.subnormals = c.subnormals;
  const GoldenRun run(recipe, {3, 8, 9}, 32, attention::Flavour::normal, 1);
  const FreeLaunch free(run.recipe, run.layout, run.head, {});
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(0.5f, 1.0f);
  RowSum sum(free);
  attention::PartialSums<float> low{}, high{};
  for (const std::size_t columns : {64, 5, 8, 21}) {
    std::vector<float> lower(columns), upper(columns);
    for (std::size_t n = 0; n < columns; ++n) {
      lower[n] = uniform(random) * scale;
      upper[n] = lower[n] * 1.25f;
    }
    const Interval alpha{0.5f, 0.75f};
    sum.absorb(alpha, lower, upper);
    attention::add_to_row_sum(free.launch, lower, alpha.low, low);
    attention::add_to_row_sum(free.launch, upper, alpha.high, high);
    EXPECT_EQ(sum.total().low, attention::row_sum(free.launch, low));
    EXPECT_EQ(sum.total().high, attention::row_sum(free.launch, high));
  }
}

TEST(RowSum, EndsAreTheEnginesSums) {
  using recipe::RowSumOrder;
  for (const RowSumOrder order : {RowSumOrder::wgmma_quad, RowSumOrder::pairwise,
                                  RowSumOrder::thread_tree, RowSumOrder::packed_quad})
    for (const auto subnormals : {numerics::Subnormals::flush, numerics::Subnormals::keep}) {
      compare({recipe::Exp2::rounded, subnormals, order}, 1.0f);
      // Only an exact P has ends that the recipe flushes.
      compare({recipe::Exp2::exact, subnormals, order}, 0x1p-129f);
    }
}

}  // namespace
}  // namespace karat::bounds
