// Sweeps vary one choice and name it.
#include "karat/study/sweep.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

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

TEST(Sweep, OfTheBackwardVariesOneOperand) {
  const recipe::Recipe base = recipe::preset("fps_qat_fp8");
  for (const auto& [axis, operand, count] :
       {std::tuple{"p_in_dv", "backward.p_", 5}, std::tuple{"do", "backward.do_", 4},
        std::tuple{"ds", "backward.ds_", 4}, std::tuple{"delta", "backward.delta", 2}}) {
    const auto edits = sweep(base, parse_sweep_axis(axis));
    EXPECT_EQ(std::ssize(edits), count) << axis;
    for (const recipe::Recipe& edit : edits) {
      EXPECT_TRUE(swept_value(edit.name)) << edit.name;
      const std::vector<std::string> follow{"backward.dp", "backward.dv", "backward.dq",
                                            "backward.dk", "backward.promote"};
      for (const auto& difference : diff(base, edit)) {
        const std::string path(difference.field->path);
        EXPECT_TRUE(path.starts_with(operand) || std::ranges::find(follow, path) != follow.end())
            << edit.name << ": " << path;
      }
    }
  }
  recipe::Recipe uncoded = base;
  uncoded.backward.do_in_dp = recipe::Source::input;
  EXPECT_EQ(sweep(uncoded, SweepAxis::d_o).at(1).backward.do_in_dp, recipe::Source::input);
  const auto ds = sweep(base, SweepAxis::ds);
  EXPECT_EQ(ds.at(2).backward.ds.format, numerics::FormatId::e5m2);
  EXPECT_TRUE(diff(base, ds.at(0)).empty()) << "fps_qat_fp8 reads dS in bf16";
  EXPECT_TRUE(sweep(recipe::preset("fpsattention"), SweepAxis::ds).empty());
}

TEST(Sweep, LeavesOutWhatHasNoMeaning) {
  recipe::Recipe base = recipe::preset("fpsattention");
  base.v.group = quant::Group::tile;  // its scales need a promotion to enter
  EXPECT_EQ(sweep(base, SweepAxis::promotion).size(), 3u);
}

}  // namespace
}  // namespace karat::study
