// Schedules: which recipe a step runs with, and which texts are none.
#include "karat/recipe/schedule.hpp"

#include <gmock/gmock.h>

#include "expect_error.hpp"

namespace karat::recipe {
namespace {

using testing::HasSubstr;

constexpr const char* kPaper =
    R"({"base": "fpsattention", "alpha": [0.2, 0.7], "g": [[24,32,32],[6,8,8],[12,16,16]],)"
    R"( "W": [[3,3,1],[3,3,3],[3,5,1]]})";

TEST(Schedule, ThePapersThreePhasesFitOnOneLine) {
  const Schedule s = parse_schedule(kPaper, "s");
  ASSERT_EQ(s.phases.size(), 3u);
  for (int step = 0; step < 50; ++step) {
    const int t = step + 1;
    const Recipe& r = recipe_of(s, step, 50);
    EXPECT_EQ(r.q.tile.t, t <= 10 ? 24 : t <= 35 ? 6 : 12) << t;
    EXPECT_EQ(r.k.tile, r.q.tile);
    EXPECT_EQ(r.mask.window.h, t <= 35 ? 3 : 5) << t;
    EXPECT_EQ(r.mask.tile, (video::Extent3{6, 8, 8})) << "the mask tile stays";
  }
}

/// Every two-digit fraction of every number of steps up to 200, in whole numbers.
TEST(Schedule, FractionsAreComparedAsReals) {
  for (int hundredths = 1; hundredths < 100; ++hundredths) {
    const std::string until = (hundredths < 10 ? "0.0" : "0.") + std::to_string(hundredths);
    const Schedule s = parse_schedule(R"({"phases": [{"until": )" + until +
                                          R"(, "recipe": "sta_bf16"}, {"recipe": "dense_f32"}]})",
                                      "s");
    for (int steps = 1; steps <= 200; ++steps)
      for (int step = 0; step < steps; ++step)
        ASSERT_EQ(recipe_of(s, step, steps).name == "sta_bf16",
                  (step + 1) * 100 <= hundredths * steps)
            << until << " of " << steps << ", step " << step;
  }
}

TEST(Schedule, PhasesMayFollowTheNoiseLevel) {
  const Schedule s =
      parse_schedule(R"({"name": "n", "phases": [{"sigma_from": 0.9, "recipe": "dense_f32"},)"
                     R"( {"recipe": {"base": "sta_bf16", "output": "f32"}}]})",
                     "s");
  EXPECT_EQ(s.name, "n");
  EXPECT_EQ(recipe_of(s, 0, 50, 0.9).name, "dense_f32");
  EXPECT_EQ(recipe_of(s, 0, 50, 0.89).name, "sta_bf16_edited");
  expect_error(ErrorKind::usage, HasSubstr("noise level"), [&] { recipe_of(s, 0, 50); });
  expect_error(ErrorKind::usage, HasSubstr("none of 50"), [&] { recipe_of(s, 50, 50, 0.5); });
}

TEST(Schedule, TextsWithoutMeaningAreRefused) {
  const auto refused = [](const char* text, const char* why) {
    expect_error(ErrorKind::usage, HasSubstr(why), [&] { parse_schedule(text, "s.json"); });
  };
  refused("[]", "is not a JSON object");
  refused(R"({"phases": []})", "not a list of phases");
  refused(R"({"phases": [{"until": 0.5, "recipe": "sta_bf16"}]})", "last phase");
  refused(R"({"phases": [{"recipe": "sta_bf16"}, {"recipe": "sta_bf16"}]})", "needs until");
  refused(R"({"phases": [{"untl": 1, "recipe": "sta_bf16"}]})", "unknown key");
  refused(R"({"phases": [{"recipe": "sta_bf17"}]})", "did you mean");
  refused(R"({"phases": [{"until": 1.5, "recipe": "sta_bf16"}, {"recipe": "sta_bf16"}]})", "range");
  refused(R"({"phases": [{"until": 0.5, "recipe": "sta_bf16"}, {"until": 0.5, "recipe":)"
          R"( "sta_bf16"}, {"recipe": "sta_bf16"}]})",
          "rise");
  refused(R"({"alpha": [0.2], "g": [], "W": []})", "needs 2 entries of alpha");
}

}  // namespace
}  // namespace karat::recipe
