// Rungs are recipe edits: the last one is the recipe, none of them is a recipe without meaning.
#include "karat/study/ladder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/attention/attend.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/validate.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

TEST(Ladder, EndsAtTheRecipeForEveryPreset) {
  for (const auto name : recipe::preset_names()) {
    SCOPED_TRACE(name);
    recipe::Recipe recipe = recipe::preset(name);
    recipe.backward = {};
    const auto rungs = ladder(recipe::preset(name));
    for (const Rung& rung : rungs) EXPECT_THAT(recipe::problems(rung.recipe), testing::IsEmpty());
    if (rungs.empty())
      EXPECT_THAT(diff(without_errors(recipe), recipe), testing::IsEmpty());
    else
      EXPECT_THAT(diff(rungs.back().recipe, recipe), testing::IsEmpty());
    EXPECT_THAT(recipe::problems(without_errors(recipe)), testing::IsEmpty());
    EXPECT_THAT(recipe::problems(without_mask(recipe)), testing::IsEmpty());
  }
}

TEST(Ladder, AddsEveryPartOnceInOrder) {
  std::vector<std::string_view> names;
  for (const Rung& rung : ladder(recipe::preset("fpsattention_flex")))
    names.push_back(to_string(rung.part));
  EXPECT_THAT(names,
              testing::ElementsAre("qk", "score_scale", "p", "v", "accumulator", "exp2", "output"));
}

class LadderOnAHead : public testing::Test {
 protected:
  std::unique_ptr<capture::Source> source = capture::generated_source(small_source());
  cases::HeadValues values = source->values({}, 1);
  attention::HeadResult attend(const recipe::Recipe& recipe) const {
    const auto layout = layout::make_layout(recipe, source->facts().grid, source->facts().channels);
    return attention::attend(
        recipe, layout,
        attention::quantise_head(recipe, layout, values.view(), numerics::Path::fast),
        {.threads = 1});
  }
};

TEST_F(LadderOnAHead, LastRungEqualsTheRecipeBitForBit) {
  const recipe::Recipe recipe = small_recipe();
  EXPECT_EQ(attend(ladder(recipe).back().recipe).o, attend(recipe).o);
}

TEST_F(LadderOnAHead, NothingIsLeftWithoutErrors) {
  const recipe::Recipe exact = without_errors(small_recipe());
  const auto layout = layout::make_layout(exact, source->facts().grid, source->facts().channels);
  std::vector<std::int32_t> tokens(source->facts().grid.volume());
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i);
  const auto truth =
      attention::oracle(layout, values.view(), tokens, attention::OracleMask::sparse, 1);
  const auto result = attend(exact);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < truth.o.size(); ++i) {
    error += (result.o[i] - truth.o[i]) * (result.o[i] - truth.o[i]);
    size += truth.o[i] * truth.o[i];
  }
  EXPECT_LT(std::sqrt(error / size), 1e-6);
  EXPECT_GT(std::sqrt(error / size), 0);
}

}  // namespace
}  // namespace karat::study
