// Sweeps vary one choice and name it.
#include "karat/study/sweep.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::study {
namespace {

TEST(Sweep, VariesOneChoiceAndNamesIt) {
  const recipe::Recipe base = recipe::preset("fpsattention");
  std::vector<std::string> names;
  for (const recipe::Recipe& edit : sweep(base, SweepAxis::promotion)) {
    names.push_back(edit.name);
    for (const auto& difference : diff(base, edit))
      EXPECT_EQ(difference.field->path, "pv.promote_every");
  }
  EXPECT_THAT(names,
              testing::ElementsAre("fpsattention:promotion=32", "fpsattention:promotion=64",
                                   "fpsattention:promotion=128", "fpsattention:promotion=never"));
  EXPECT_EQ(sweep(base, SweepAxis::tile).size(), 6u);
  EXPECT_EQ(sweep(base, parse_sweep_axis("scale")).size(), 6u);
  EXPECT_THROW(parse_sweep_axis("tiles"), Error);
}

TEST(Sweep, NamesSayWhatWasVaried) {
  const recipe::Recipe base = recipe::preset("fpsattention");
  for (const SweepAxis axis :
       {SweepAxis::tile, SweepAxis::window, SweepAxis::p, SweepAxis::promotion, SweepAxis::scale})
    for (const recipe::Recipe& edit : sweep(base, axis)) {
      const auto swept = swept_value(edit.name);
      ASSERT_TRUE(swept) << edit.name;
      EXPECT_EQ(swept->axis, axis);
      EXPECT_TRUE(edit.name.ends_with("=" + swept->value));
    }
  for (const char* other : {"fpsattention", "a:b", "a=b", "a=b:tile", "a:colour=red"})
    EXPECT_FALSE(swept_value(other)) << other;
}

TEST(Sweep, LeavesOutWhatHasNoMeaning) {
  recipe::Recipe base = recipe::preset("fpsattention");
  base.v.group = quant::Group::tile;  // its scales need a promotion to enter
  EXPECT_EQ(sweep(base, SweepAxis::promotion).size(), 3u);
}

}  // namespace
}  // namespace karat::study
