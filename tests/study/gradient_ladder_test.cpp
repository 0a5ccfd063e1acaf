// Rungs of the gradients are recipe edits: the last one is the recipe, none is without meaning,
// each moves what it should.
#include "karat/study/gradient_ladder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/recipe/fields.hpp"
#include "karat/recipe/validate.hpp"
#include "karat/study/ladder.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

std::vector<recipe::Recipe> with_backward() {
  std::vector<recipe::Recipe> found;
  for (const auto name : recipe::preset_names())
    if (recipe::preset(name).backward.exists()) found.push_back(recipe::preset(name));
  return found;
}

TEST(GradientLadder, EndsAtTheRecipeForEveryPreset) {
  ASSERT_GE(with_backward().size(), 7u);
  for (const recipe::Recipe& recipe : with_backward()) {
    SCOPED_TRACE(recipe.name);
    const recipe::Recipe exact = without_gradient_errors(recipe);
    EXPECT_THAT(recipe::problems(exact), testing::IsEmpty());
    const auto rungs = gradient_ladder(recipe);
    ASSERT_FALSE(rungs.empty());
    EXPECT_THAT(diff(rungs.back().recipe, recipe), testing::IsEmpty());
    for (const GradientRung& rung : rungs) {
      SCOPED_TRACE(to_string(rung.part));
      EXPECT_THAT(recipe::problems(rung.recipe), testing::IsEmpty());
      if (row_of(rung.part).stands == Stands::alone) {
        const recipe::Recipe alone = with_gradient_part(exact, recipe, rung.part);
        EXPECT_THAT(recipe::problems(alone), testing::IsEmpty());
        EXPECT_THAT(recipe::problems(without_mask(alone)), testing::IsEmpty());
      }
    }
  }
}

TEST(GradientLadder, RowsStandInTheOrderOfTheEnumerators) {
  for (std::size_t i = 0; i < gradient_parts().size(); ++i)
    EXPECT_EQ(static_cast<std::size_t>(gradient_parts()[i].part), i);
}

TEST(GradientLadder, AddsEveryPartOnceInOrder) {
  recipe::Recipe recipe = recipe::preset("cudnn_fp8_hopper");
  recipe.backward.straight_through = recipe::StraightThrough::zero_where_saturated;
  std::vector<std::string_view> names;
  for (const GradientRung& rung : gradient_ladder(recipe)) names.push_back(to_string(rung.part));
  EXPECT_THAT(names, testing::ElementsAre("q", "k", "v", "delta", "p", "do", "ds", "accumulator",
                                          "functions", "straight_through", "output"));
}

TEST(GradientLadder, SaysNothingThatDecidesNothing) {
  const recipe::Recipe recipe = recipe::preset("fps_qat_fp8");
  ASSERT_EQ(recipe.backward.plain, numerics::FormatId::bf16);
  const recipe::Recipe exact = without_gradient_errors(recipe);
  EXPECT_EQ(exact.backward.plain, recipe::Backward{}.plain) << "every operand is read as coded";
  EXPECT_EQ(exact.backward.s, recipe::Backward{}.s) << "scores are the forward's";
  EXPECT_EQ(with_gradient_part(exact, recipe, GradientPart::k).backward.plain,
            numerics::FormatId::bf16);
  EXPECT_EQ(with_gradient_part(exact, recipe, GradientPart::p).backward.plain,
            recipe::Backward{}.plain);
  EXPECT_EQ(without_gradient_errors(recipe::preset("fps_ste_bf16")).backward.s, "exact");
}

TEST(GradientLadder, KeepsLoopsBlocksAndOrders) {
  for (const recipe::Recipe& recipe : with_backward()) {
    const recipe::Backward &from = recipe.backward,
                           &exact = without_gradient_errors(recipe).backward;
    EXPECT_EQ(exact.loop, from.loop);
    EXPECT_EQ(exact.block_q, from.block_q);
    EXPECT_EQ(exact.block_k, from.block_k);
    EXPECT_EQ(exact.key_order, from.key_order);
    EXPECT_EQ(exact.scores, from.scores);
    EXPECT_EQ(exact.softmax_scale, from.softmax_scale);
    EXPECT_EQ(exact.promote, from.promote);
  }
}

}  // namespace
}  // namespace karat::study
