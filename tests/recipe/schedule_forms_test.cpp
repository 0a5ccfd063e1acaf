// Schedules in the forms of other systems: read, written, refused.
#include "karat/recipe/schedule_forms.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "expect_error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::recipe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_of(const Schedule& schedule, int steps,
                                  std::span<const double> sigmas = {}) {
  std::vector<std::string> names;
  for (const Recipe* recipe : recipes_of(schedule, steps, sigmas)) names.push_back(recipe->name);
  return names;
}

/// Noise levels of a rectified flow with a shift.
std::vector<double> sigmas(int steps, double shift) {
  std::vector<double> levels;
  for (int step = 0; step < steps; ++step) {
    const double s = 0.999 * (steps - step) / steps;
    levels.push_back(shift * s / (1 + (shift - 1) * s));
  }
  return levels;
}

void expect_same(const Schedule& a, const Schedule& b, const ScheduleRun& run) {
  const auto left = recipes_of(a, run.steps, run.sigmas);
  const auto right = recipes_of(b, run.steps, run.sigmas);
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t step = 0; step < left.size(); ++step)
    EXPECT_TRUE(diff(*left[step], *right[step]).empty()) << step;
}

void expect_round_trip(ScheduleForm form, const Schedule& schedule, const ScheduleRun& run) {
  const std::string text = write_schedule(form, schedule, run);
  SCOPED_TRACE(text.substr(0, 400));
  expect_same(schedule, parse_schedule(text, "again"), run);
}

void refused(ScheduleForm form, const char* text, const ScheduleRun& run, const char* why) {
  expect_error(ErrorKind::usage, HasSubstr(why),
               [&] { write_schedule(form, parse_schedule(text, "s"), run); });
}

constexpr const char* kThree =
    R"({"phases": [{"first": 2, "recipe": "fa3_bf16"}, {"last": 3, "recipe": "fa3_bf16"},)"
    R"( {"recipe": "fpsattention"}]})";
constexpr const char* kPhases =
    R"({"phases": [{"until": 0.2, "recipe": "fa3_bf16"}, {"until": 0.5, "recipe": "fpsattention"},)"
    R"( {"recipe": "fa3_fp8"}]})";

TEST(ScheduleForms, FirstAndLastStepsArePhases) {
  EXPECT_THAT(names_of(parse_schedule(kThree, "s"), 7),
              ElementsAre("fa3_bf16", "fa3_bf16", "fpsattention", "fpsattention", "fa3_bf16",
                          "fa3_bf16", "fa3_bf16"));
}

TEST(ScheduleForms, XditKeepsBothEndsInHighPrecision) {
  const Schedule s = parse_schedule(
      R"({"xdit": {"high": "fa3_bf16", "low": "fa3_fp8", "steps_at_both_ends": 5}})", "s");
  const auto names = names_of(s, 40);
  for (int step = 0; step < 40; ++step)
    EXPECT_EQ(names[step], step < 5 || step >= 35 ? "fa3_bf16" : "fa3_fp8") << step;
  expect_round_trip(ScheduleForm::xdit, s, {.steps = 40});
  EXPECT_THAT(names_of(parse_schedule(R"({"xdit": {"high": "fa3_bf16", "low": "fa3_fp8",)"
                                      R"( "steps_at_both_ends": 1}})",
                                      "s"),
                       4),
              ElementsAre("fa3_bf16", "fa3_fp8", "fa3_fp8", "fa3_bf16"));
}

TEST(ScheduleForms, XditRefusesWhatItCannotHold) {
  refused(
      ScheduleForm::xdit, kThree, {.steps = 20},
      "one number of steps for both ends; this has 2 steps at the start and 3 steps at the end");
  refused(ScheduleForm::xdit, kPhases, {.steps = 20}, "3 stretches of steps with different ends");
}

TEST(ScheduleForms, SglangsLineIsReadAndWritten) {
  const Schedule s = load_schedule("fa:sdpa:3:3");
  EXPECT_THAT(names_of(s, 7), ElementsAre("fa3_bf16", "fa3_bf16", "fa3_bf16", "fa2_bf16",
                                          "fa3_bf16", "fa3_bf16", "fa3_bf16"));
  EXPECT_EQ(write_schedule(ScheduleForm::sglang, s, {.steps = 50}), "fa:sdpa:3:3\n");
  expect_round_trip(ScheduleForm::sglang, s, {.steps = 50});
  const Schedule own = parse_schedule(" fa3_bf16:fpsattention:10:0\n", "s");
  EXPECT_EQ(names_of(own, 12).back(), "fpsattention");
  expect_round_trip(ScheduleForm::sglang, own, {.steps = 50});
  expect_round_trip(ScheduleForm::sglang, parse_schedule(kThree, "s"), {.steps = 20});
  expect_error(ErrorKind::usage, HasSubstr("\"fb\" is no backend"),
               [] { load_schedule("fb:sdpa:3:3"); });
  expect_error(ErrorKind::usage, HasSubstr("\"-1\" is no number of steps"),
               [] { load_schedule("fa:sdpa:-1:3"); });
}

TEST(ScheduleForms, SglangRefusesRecipesWithoutAName) {
  refused(ScheduleForm::sglang,
          R"({"phases": [{"first": 2, "recipe": {"base": "fa3_bf16", "output": "f32"}},)"
          R"( {"recipe": "fa3_fp8"}]})",
          {.steps = 9}, "recipe fa3_bf16_edited is no preset");
  refused(ScheduleForm::sglang, kPhases, {.steps = 20}, "3 stretches");
}

TEST(ScheduleForms, TensorRtLlmIsDenseUntilATime) {
  const Schedule s = parse_schedule(
      R"({"trtllm": {"dense": "fa3_bf16", "sparse": "subblock", "target_sparsity": 0.5,)"
      R"( "disabled_until": 0.9}})",
      "s");
  const std::vector<double> levels = sigmas(50, 5);
  const auto recipes = recipes_of(s, 50, levels);
  for (int step = 0; step < 50; ++step) {
    const bool dense = levels[step] >= 0.9;
    EXPECT_EQ(recipes[step]->name, dense ? "fa3_bf16" : "subblock_edited") << step;
    if (!dense) {
      EXPECT_EQ(recipes[step]->predict.share, 0.5f);
    }
  }
  const ScheduleRun run{.steps = 50, .sigmas = levels};
  expect_round_trip(ScheduleForm::trtllm, s, run);
  const Schedule by_steps = parse_schedule(
      R"({"phases": [{"first": 10, "recipe": "fa3_bf16"}, {"recipe": "subblock"}]})", "s");
  expect_round_trip(ScheduleForm::trtllm, by_steps, run);
  expect_error(ErrorKind::usage, HasSubstr("it says a time"),
               [&] { write_schedule(ScheduleForm::trtllm, by_steps, {.steps = 50}); });
  expect_error(ErrorKind::usage, HasSubstr("selects no share"), [&] {
    write_schedule(ScheduleForm::trtllm,
                   parse_schedule(R"({"phases": [{"first": 9, "recipe": "fa3_bf16"},)"
                                  R"( {"recipe": "fpsattention"}]})",
                                  "s"),
                   run);
  });
  expect_error(ErrorKind::usage, HasSubstr("dense until a time"),
               [&] { write_schedule(ScheduleForm::trtllm, parse_schedule(kThree, "s"), run); });
  expect_error(ErrorKind::usage, HasSubstr("disabled_until: is not a number in its range"), [&] {
    parse_schedule(R"({"trtllm": {"dense": "fa3_bf16", "sparse": "subblock",)"
                   R"( "target_sparsity": 0.5, "disabled_until": 0}})",
                   "s");
  });
}

/// A schedule that is TensorRT-LLM's comes back as it was: for a run of other steps, and where all
/// of a run's steps are dense or sparse.
TEST(ScheduleForms, TensorRtLlmsTimeStaysWhatItWas) {
  for (const char* until : {"0.9", "1.0", "0.001", "0.123456789"}) {
    const std::string text = R"({"trtllm": {"dense": "fa3_bf16", "sparse": "subblock",)"
                             R"( "target_sparsity": 0.75, "disabled_until": )" +
                             std::string(until) + "}}";
    const Schedule s = parse_schedule(text, "s");
    const std::vector<double> levels = sigmas(50, 5), others = sigmas(8, 3);
    const std::string written =
        write_schedule(ScheduleForm::trtllm, s, {.steps = 50, .sigmas = levels});
    EXPECT_EQ(nlohmann::json::parse(written), nlohmann::json::parse(text));
    expect_same(s, parse_schedule(written, "again"), {.steps = 8, .sigmas = others});
  }
}

TEST(ScheduleForms, TensorRtLlmsOwnKernelHasAFactor) {
  const std::string front = R"({"trtllm": {"dense": "fa3_bf16", "target_sparsity": 0.5,)"
                            R"( "disabled_until": 0.9, "sparse": )";
  const Schedule s = parse_schedule(front + R"("skip_softmax_fp8", "a": 80, "b": 3}})", "s");
  const std::vector<double> levels = sigmas(50, 5);
  const ScheduleRun run{.steps = 50, .sigmas = levels};
  EXPECT_EQ(recipes_of(s, 50, levels).back()->skip.factor, static_cast<float>(80 * std::exp(1.5)));
  expect_round_trip(ScheduleForm::trtllm, s, run);
  const auto fails = [&](const char* rest, const char* why) {
    expect_error(ErrorKind::usage, HasSubstr(why), [&] { parse_schedule(front + rest, "s"); });
  };
  fails(R"("skip_softmax_fp8", "a": 80}})", "has no b");
  fails(R"("skip_softmax_fp8", "b": 3}})", "has no a");
  fails(R"("skip_softmax_fp8", "a": -7, "b": 3}})", "a: is not a number in its range");
  fails(R"("skip_softmax_fp8", "a": 80, "b": "nonsense"}})", "b: is not a number in its range");
  fails(R"("skip_softmax_fp8", "a": 80, "b": 1e9}})", "no number");
  fails(R"("subblock", "a": 80}})", "a: says nothing");
  fails(R"("subblock", "b": 3}})", "b: says nothing");
  fails(R"("fa3_fp8"}})", "selects no share of the key blocks and has no factor");
}

TEST(ScheduleForms, WhatCannotBeReadBackIsRefused) {
  const std::vector<double> levels = sigmas(50, 5);
  const char* above = R"({"phases": [{"first": 9, "recipe": "fa3_bf16"},)"
                      R"( {"recipe": {"base": "subblock", "predict": {"share": 2}}}]})";
  refused(ScheduleForm::trtllm, above, {.steps = 50, .sigmas = levels}, "predict.share above 1");
  refused(ScheduleForm::wan_experts,
          R"({"phases": [{"sigma_from": 80, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]})",
          {.steps = 50, .sigmas = levels}, "its boundary is from 0 to 1");
  const char* by_steps =
      R"({"phases": [{"first": 2, "recipe": "fa3_bf16"}, {"recipe": "subblock"}]})";
  const std::vector<double> high{9, 7, 5, 3}, around{3, 2, 0.5, 0.2};
  refused(ScheduleForm::trtllm, by_steps, {.steps = 4, .sigmas = high}, "above 0 and up to 1");
  expect_round_trip(ScheduleForm::trtllm, parse_schedule(by_steps, "s"),
                    {.steps = 4, .sigmas = around});
}

TEST(ScheduleForms, TheLastStepsAloneStayAtTheEnd) {
  const char* text = R"({"phases": [{"last": 3, "recipe": "fa3_bf16"}, {"recipe": "fa2_bf16"}]})";
  const Schedule s = parse_schedule(text, "s");
  EXPECT_EQ(write_schedule(ScheduleForm::sglang, s, {.steps = 50}), "fa:sdpa:0:3\n");
  refused(ScheduleForm::xdit, text, {.steps = 50}, "0 steps at the start and 3 steps at the end");
}

TEST(ScheduleForms, FastVideosWindowsAreRecipesOfTheirSteps) {
  const Schedule s = parse_schedule(
      R"({"0_0_0": [9, 9, 9], "0_0_1": [9, 9, 9], "1_0_0": [3, 3, 3], "1_0_1": [3, 3, 3],)"
      R"( "2_0_0": [3, 3, 3], "2_0_1": [3, 3, 3]})",
      "s");
  const auto recipes = recipes_of(s, 3);
  EXPECT_EQ(recipes[0]->mask.window, (video::Extent3{9, 9, 9}));
  EXPECT_EQ(recipes[0]->name, "sta_bf16_edited");
  EXPECT_EQ(recipes[2]->name, "sta_bf16");
  EXPECT_EQ(recipes[2]->mask.window, (video::Extent3{3, 3, 3}));
  expect_round_trip(ScheduleForm::fastvideo, s, {.steps = 3, .layers = 2, .heads = 2});
  refused(ScheduleForm::fastvideo, kThree, {.steps = 9}, "windows of sta_bf16 alone");
  expect_error(ErrorKind::usage, HasSubstr("another window in layer 0, head 1"),
               [] { parse_schedule(R"({"0_0_0": [3, 3, 3], "0_0_1": [3, 3, 1]})", "s"); });
  expect_error(ErrorKind::usage, HasSubstr("says nothing about step 1"),
               [] { parse_schedule(R"({"0_0_0": [3, 3, 3], "2_0_0": [3, 3, 1]})", "s"); });
}

TEST(ScheduleForms, WansExpertsPartAtTheirBoundary) {
  const Schedule s = parse_schedule(
      R"({"wan_experts": {"boundary": 0.875, "high_noise": "fa3_bf16", "low_noise": "fa3_fp8"}})",
      "s");
  const std::vector<double> levels = sigmas(40, 12);
  const auto names = names_of(s, 40, levels);
  for (int step = 0; step < 40; ++step)
    EXPECT_EQ(names[step], levels[step] >= 0.875 ? "fa3_bf16" : "fa3_fp8") << step;
  expect_round_trip(ScheduleForm::wan_experts, s, {.steps = 40, .sigmas = levels});
  refused(ScheduleForm::wan_experts, kThree, {.steps = 9}, "do not follow one noise level");
}

TEST(ScheduleForms, KaratsOwnFormHoldsThemAll) {
  for (const char* text : {kThree, kPhases, "fa:sage_attn:2:1"}) {
    const Schedule s = parse_schedule(text, "s");
    const Schedule again = parse_schedule(schedule_json(s).dump(), "again");
    expect_same(s, again, {.steps = 23});
  }
}

TEST(ScheduleForms, TextsWithoutMeaningAreRefused) {
  const auto fails = [](const char* text, const char* why) {
    expect_error(ErrorKind::usage, HasSubstr(why), [&] { parse_schedule(text, "s.json"); });
  };
  fails(R"({"xdit": {"high": "fa3_bf16", "low": "fa3_fp8"}})", "has no steps_at_both_ends");
  fails(R"({"xdit": {"high": "fa3_bf16", "low": "fa3_fp8", "steps": 5}})", "unknown key \"steps\"");
  fails(R"({"xdit": {"high": "fa3_bf16", "low": "fa3_fp8", "steps_at_both_ends": 1.5}})",
        "is not a whole number");
  fails(R"({"xdit": {}, "trtllm": {}})", "unknown key \"trtllm\"");
  fails(R"({"phases": [{"first": -1, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]})", "range");
  fails(R"({"phases": [{"first": 1, "last": 1, "recipe": "fa3_bf16"}, {"recipe": "fa3_fp8"}]})",
        "two conditions");
  fails("fa:sdpa:3:x", "\"x\" is no number of steps");
}

}  // namespace
}  // namespace karat::recipe
