// The one loop over heads, and what files of earlier versions say.
#include "karat/case/case.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "karat/case/metadata.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

Case small_case() {
  return make_case(recipe::preset("fpsattention"),
                   generated_inputs({.grid = {2, 4, 4}, .heads = 3, .head_dim = 32}, 0));
}

TEST(ForEachHead, AVisitGetsWhatItAskedFor) {
  const Case of = small_case();
  const std::size_t elements = of.shape().tokens() * of.shape().channels;
  for (const HeadNeeds needs : {HeadNeeds::operands, HeadNeeds::values, HeadNeeds::both}) {
    const std::size_t values = needs == HeadNeeds::operands ? 0 : elements;
    const std::size_t operands = needs == HeadNeeds::values ? 0 : elements;
    std::size_t seen = 0;
    for_each_head(of, {.threads = 1, .needs = needs}, [&](const HeadAtWork& work) {
      EXPECT_EQ(work.number, seen++);
      EXPECT_EQ(work.values.q.size(), values);
      EXPECT_EQ(work.values.v.size(), values);
      EXPECT_EQ(work.operands.k.values.size(), operands);
    });
    EXPECT_EQ(seen, 3u);
  }
}

/// Metadata as karat writes it beside outputs.
files::Metadata written(const char* recipe, video::Extent3 grid) {
  return describe(recipe::preset(recipe), grid);
}

TEST(SaidGrid, IsNotTheRowThatStoodInForNone) {
  EXPECT_EQ(said_grid({}, "file"), std::nullopt);
  EXPECT_EQ(said_grid({{"grid", "1,1,512"}}, "file"), (video::Extent3{1, 1, 512}));
  EXPECT_EQ(said_grid(written("fa3_fp8", {2, 16, 16}), "file"), (video::Extent3{2, 16, 16}));
  EXPECT_EQ(said_grid(written("fa3_fp8", {1, 1, 512}), "file"), std::nullopt);
  EXPECT_EQ(said_grid(written("fpsattention", {1, 1, 512}), "file"), (video::Extent3{1, 1, 512}))
      << "nobody could compute it without saying so";
}

TEST(MakeCase, RefusesARecipeWithTilesWhereNoGridIsSaid) {
  class Row final : public Inputs {
   public:
    explicit Row(GridOrigin origin)
        : Inputs({.grid = {1, 1, 64}, .grid_origin = origin, .channels = 32}) {}
    files::Json source() const override { return {}; }
    files::DType dtype() const override { return files::DType::f32; }
    HeadValues values(std::size_t, std::size_t, int) const override { return {}; }
  };
  const auto make = [](const char* recipe, GridOrigin origin) {
    return make_case(recipe::preset(recipe), std::make_shared<Row>(origin));
  };
  EXPECT_NO_THROW(make("fpsattention", GridOrigin::said));
  EXPECT_NO_THROW(make("fa3_fp8", GridOrigin::assumed));
  EXPECT_NO_THROW(make("sage2_sm90", GridOrigin::assumed));
  EXPECT_THROW(make("fpsattention", GridOrigin::assumed), Error);
  EXPECT_THROW(make("svg1_temporal", GridOrigin::assumed), Error);
}

TEST(Metadata, ARetiredChoiceIsReadAsWhatItGave) {
  files::Metadata metadata = describe(recipe::preset("sage2_sm90"), {1, 1, 4});
  std::string& text = metadata["recipe"];
  const std::string now = "\"fully_masked\": \"zero\"";
  const std::size_t at = text.find(now);
  ASSERT_NE(at, std::string::npos) << text;
  text.replace(at, now.size(), "\"fully_masked\": \"mean_of_visited\"");
  const auto read = recipe_of(metadata, "old");
  ASSERT_TRUE(read);
  EXPECT_EQ(recipe::to_json(*read), recipe::to_json(recipe::preset("sage2_sm90")));
}

}  // namespace
}  // namespace karat::cases
