// The one loop over heads, and what files of earlier versions say.
#include "karat/case/case.hpp"

#include <gtest/gtest.h>

#include "karat/case/metadata.hpp"
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
