// From a study's table to a tuning: what is read, refused, interpolated, claimed.
#include "karat/tune/run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/schedule.hpp"
#include "karat/tune/measured_problem.hpp"
#include "karat/tune/report.hpp"

namespace karat::tune {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kRecipes{"fa3_bf16", "sta_bf16", "fpsattention",
                                        "fpsattention_coarse"};

double sigma_of(int step) { return video::sigma(video::find_model("wan2.1-14b"), step, 50); }

/// Errors that fall with the noise for windows and rise for FP8; seeds and heads differ.
study::SensitivityTable table(std::vector<int> steps = {0, 10, 20, 30, 40, 49}, int seeds = 3) {
  study::SensitivityTable out{.origin = "made up", .steps = 50, .recipes = kRecipes};
  for (int step = 0; step < 50; ++step) out.sigma.push_back(sigma_of(step));
  for (int seed = 0; seed < seeds; ++seed)
    for (const int step : steps)
      for (int head = 0; head < 2; ++head)
        for (int r = 0; r < 4; ++r) {
          const double noise = sigma_of(step), wobble = 1 + 0.05 * seed * (head + 1);
          const double mask[] = {0, 0.1, 0.1, 0.4}, fp8[] = {0.002, 0.002, 0.05, 0.05};
          out.rows.push_back({.cell = {.prompt = seed, .step = step, .head = head},
                              .recipe = r,
                              .error = wobble * std::hypot(mask[r] * (1.2 - noise) * (1 + head),
                                                           fp8[r] * (1 + noise))});
        }
  return out;
}

Request request(study::SensitivityTable from) {
  const video::Model& model = video::find_model("wan2.1-14b");
  Request out{.table = std::move(from), .source = "study.h5", .model = &model};
  for (const std::string& name : kRecipes) out.candidates.push_back(recipe::preset(name));
  out.machines = {hopper::machine("H20"), hopper::machine("H100")};
  out.run = {.model = &model, .grid = {21, 30, 52}};
  out.resamples = 200;
  return out;
}

std::string message(const Request& bad) {
  try {
    run(bad);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(StepErrors, MeasuredStepsAreKeptAndOthersLieBetween) {
  const study::SensitivityTable t = table();
  std::vector<double> sigma;
  for (int step = 0; step < 50; ++step) sigma.push_back(sigma_of(step));
  const StepErrors e = step_errors(t, kRecipes, Decide::head, 50, sigma, "t");
  EXPECT_EQ(e.groups, 2);
  EXPECT_EQ(e.seeds, 3);
  EXPECT_TRUE(e.guidance.empty());
  const auto at = [&](int step, int recipe) { return e.squared[(step * 2 + 0) * 4 + recipe]; };
  const auto exact = [&](int step, int recipe) {
    for (const study::Sensitivity& row : t.rows)
      if (row.cell.prompt == 0 && row.cell.step == step && row.cell.head == 0 &&
          row.recipe == recipe)
        return row.error * row.error;
    return -1.0;
  };
  for (const int step : {0, 10, 49}) EXPECT_DOUBLE_EQ(at(step, 2), exact(step, 2));
  for (int step = 11; step < 20; ++step) {
    const double share = (sigma_of(10) - sigma_of(step)) / (sigma_of(10) - sigma_of(20));
    EXPECT_NEAR(std::log(at(step, 3)),
                (1 - share) * std::log(exact(10, 3)) + share * std::log(exact(20, 3)), 1e-9);
  }
}

TEST(StepErrors, WholeStepsAreMeansOverHeads) {
  const study::SensitivityTable t = table();
  const StepErrors heads = step_errors(t, kRecipes, Decide::head, 50, {}, "t");
  const StepErrors steps = step_errors(t, kRecipes, Decide::step, 50, {}, "t");
  EXPECT_EQ(steps.groups, 1);
  EXPECT_NEAR(steps.squared[40 * 4 + 1],
              (heads.squared[(40 * 2) * 4 + 1] + heads.squared[(40 * 2 + 1) * 4 + 1]) / 2, 1e-15);
}

TEST(TuneWeights, SumToOneAndTheLastTenStepsOfWanHoldOverHalf) {
  std::vector<double> sigma;
  for (int step = 0; step < 50; ++step) sigma.push_back(sigma_of(step));
  const StepWeights weights = sampler_weights(sigma);
  double all = 0, last = 0;
  for (int step = 0; step < 50; ++step) {
    all += weights.weight[step];
    if (step >= 40) last += weights.weight[step];
  }
  EXPECT_NEAR(all, 1, 1e-12);
  EXPECT_GT(last, 0.5);
  EXPECT_EQ(parse_weights("[1, 3]", 2, "w").weight, (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(parse_weights("1\n3\n", 2, "w").weight, (std::vector<double>{0.25, 0.75}));
  for (const char* bad : {"1", "1 2 3", "-1 2", "0 0", "one two", "[1, \"2\"]", "nan 1"})
    EXPECT_THROW(parse_weights(bad, 2, "w"), Error) << bad;
}

TEST(StepTimes, AreThoseOfTheTimeModel) {
  const Request r = request(table());
  const Result result = run(r);
  for (std::size_t gpu = 0; gpu < r.machines.size(); ++gpu)
    for (const TunedPoint& point : result.of(gpu, 0).front(ScheduleKind::uniform).points) {
      const hopper::Question q{.recipe = recipe::preset(point.what), .machine = r.machines[gpu]};
      EXPECT_NEAR(point.time_s, hopper::run_time(q, r.run).run_s, 1e-9 * point.time_s);
    }
  // A dense warm-up is the run that `karat cost --dense-steps` prices.
  for (const TunedPoint& point : result.of(0, 0).front(ScheduleKind::dense_warmup).points) {
    if (point.what != "12 fa3_bf16, 38 fpsattention") continue;
    hopper::RunRequest run = r.run;
    run.dense_steps = 12;
    const hopper::Question q{.recipe = recipe::preset("fpsattention"), .machine = r.machines[0]};
    EXPECT_NEAR(point.time_s, hopper::run_time(q, run).run_s, 1e-9 * point.time_s);
  }
}

TEST(StepTimes, TheUsersOwnDecideInPlaceOfAGpu) {
  Request r = request(table());
  r.machines.clear();
  r.own_times = parse_times(
      R"({"about": "work", "dense": 16, "recipes": {"sta_bf16": 9, "fpsattention": 4,
          "fpsattention_coarse": 3}})",
      "t.json");
  r.budget = Budget{Budget::Unit::speedup, 2};  // 8 a step
  const Result result = run(r);
  EXPECT_EQ(result.times.front().decided_s, (std::vector<double>{16, 9, 4, 3}));
  EXPECT_EQ(result.main().budget_s, 400);
  EXPECT_EQ(result.main().front(ScheduleKind::uniform).points.back().time_s, 16 * 50);
  double spent = 0;
  for (const std::uint16_t c :
       result.main().front(ScheduleKind::three_phase).within(400)->assignment)
    spent += result.times.front().decided_s[c] / result.errors.groups;
  EXPECT_LE(spent, 400);
  EXPECT_GT(spent, 380);
  r.candidates.push_back(recipe::preset("fa3_fp8"));
  r.table.recipes.push_back("fa3_fp8");
  for (study::Sensitivity row : table().rows)
    if (row.recipe == 0) r.table.rows.push_back((row.recipe = 4, row));
  EXPECT_THAT(message(r), HasSubstr("fa3_fp8: has no time in t.json"));
  for (const char* bad :
       {"[]", "{}", R"({"about": "", "dense": 0, "recipes": {}})",
        R"({"about": "", "dense": 1, "recipes": {"a": -1}})",
        R"({"about": "", "dense": 1, "recipes": {"a": "1"}})",
        R"({"about": "", "dense": 1, "recipes": []})", R"({"about": 1, "dense": 1, "recipes": {}})",
        R"({"about": "", "dense": 1, "recipes": {}, "fixed": 1})"})
    EXPECT_THROW(parse_times(bad, "t.json"), Error) << bad;
}

TEST(Tune, FreeSchedulesAreNeverWorseThanOthersAtTheSameTime) {
  const Result result = run(request(table()));
  ASSERT_EQ(result.tuned.size(), 4u);
  for (const Tuned& tuned : result.tuned) {
    for (const TunedFront& front : tuned.fronts) {
      EXPECT_FALSE(front.points.empty());
      for (std::size_t i = 1; i < front.points.size(); ++i) {
        EXPECT_GT(front.points[i].time_s, front.points[i - 1].time_s);
        EXPECT_LT(front.points[i].error, front.points[i - 1].error);
      }
      for (const TunedPoint& point : front.points) {
        const TunedPoint* general = tuned.front(ScheduleKind::general).within(point.time_s);
        ASSERT_NE(general, nullptr);
        EXPECT_LE(general->error, point.error * (1 + 1e-9));
        ASSERT_TRUE(point.interval.has_value());
        EXPECT_LE(point.interval->low, point.error);
        EXPECT_GE(point.interval->high, point.error);
      }
    }
    EXPECT_TRUE(0 < tuned.alphas.alpha1 && tuned.alphas.alpha1 < tuned.alphas.alpha2 &&
                tuned.alphas.alpha2 < 1);
    EXPECT_NEAR(tuned.front(ScheduleKind::three_phase).within(tuned.budget_s)->error,
                std::sqrt(tuned.alphas.phases.error), 1e-9);
  }
  for (const Regret& regret : result.regrets) {
    EXPECT_GE(regret.time_s, regret.best_time_s * (1 - 1e-9));
    EXPECT_GE(regret.error, regret.best_error * (1 - 1e-9));
  }
}

TEST(Tune, ScheduleFilesSayWhatWasChosen) {
  const Result result = run(request(table()));
  const TunedFront& front = result.main().front(ScheduleKind::general_by_step);
  for (const TunedPoint& point : front.points) {
    Assignment steps;
    for (std::size_t i = 0; i < point.assignment.size(); i += 2)
      steps.push_back(point.assignment[i]);
    const std::string text = files::format_json(schedule_json(result, steps, "s"));
    const recipe::Schedule schedule = recipe::parse_schedule(text, "s");
    for (int step = 0; step < 50; ++step)
      EXPECT_EQ(recipe::recipe_of(schedule, step, 50).name,
                result.recipes[steps[static_cast<std::size_t>(step)]].name);
  }
}

TEST(Tune, SchedulesOfOtherStepCountsEndWhereTheyShould) {
  Result result;
  result.recipes = {recipe::preset("sta_bf16"), recipe::preset("fpsattention")};
  for (int steps = 3; steps < 120; ++steps)
    for (int first = 1; first < steps; ++first) {
      Assignment assignment(static_cast<std::size_t>(steps), 1);
      std::fill_n(assignment.begin(), first, std::uint16_t{0});
      const double until = schedule_json(result, assignment, "s")["phases"][0]["until"];
      EXPECT_GE(until * steps, first - 1e-9);
      EXPECT_LT(until * steps, first + 1);
    }
}

TEST(Tune, OneSeedGivesNoIntervals) {
  const Result result = run(request(table({0, 25, 49}, 1)));
  EXPECT_FALSE(result.main().front(ScheduleKind::uniform).points[0].interval.has_value());
  EXPECT_FALSE(result.main().alphas.alpha1_interval.has_value());
  for (const Comparison& c : result.main().comparisons)
    EXPECT_TRUE(c.verdict == Comparison::Verdict::undecided ||
                c.verdict == Comparison::Verdict::equal);
}

TEST(Tune, BaselinesTakeTheirDenseRecipeFromTheStudy) {
  Request r = request(table());
  r.candidates.erase(r.candidates.begin());
  const Result result = run(r);
  EXPECT_FALSE(result.main().front(ScheduleKind::dense_warmup).points.empty());
  for (const TunedPoint& point : result.main().front(ScheduleKind::general).points)
    for (const std::uint16_t c : point.assignment) EXPECT_LT(c, 3);
}

TEST(Tune, BadInputIsRefusedInOneLine) {
  Request r = request(table());
  r.candidates.clear();
  EXPECT_THAT(message(r), HasSubstr("the list is empty"));
  r = request(table());
  r.candidates.push_back(recipe::preset("sage2_sm90"));
  EXPECT_THAT(message(r), HasSubstr("did not measure recipe sage2_sm90"));
  r = request(table());
  r.budget = Budget{.value = 10};
  EXPECT_THAT(message(r), HasSubstr("less than"));
  r = request(table());
  r.budget = Budget{.unit = Budget::Unit::speedup, .value = 50};
  EXPECT_THAT(message(r), HasSubstr("less than"));
  EXPECT_THAT(message(request(table({0, 1, 2, 3, 20}))), HasSubstr("measures steps 0 to 20"));
  r = request(table());
  r.table.rows.erase(r.table.rows.begin() + 7);
  r.decide = Decide::head;
  EXPECT_THAT(message(r), HasSubstr("lacks step 0, head 1, prompt 0 under fpsattention_coarse"));
  r = request(table());
  r.main_weights = Weighting::propagation;
  EXPECT_THAT(message(r), HasSubstr("\"propagation\" needs what"));
  r = request(table());
  r.run.steps = 2;
  EXPECT_THAT(message(r), HasSubstr("at least three steps"));
  EXPECT_THAT(message(r), Not(HasSubstr("\n")));
}

TEST(Tune, BuiltInStudyTunesAndMakesAPage) {
  Request r = request(builtin_sensitivity());
  r.machines.resize(1);
  const Result result = run(r);
  EXPECT_GT(result.errors.seeds, 1);
  const std::string page = html_page(result, r, {"karat tune --quick", "0"});
  for (const char* part : {"Which recipe in which step", "karat tune --quick", "alpha1", "<svg"})
    EXPECT_THAT(page, HasSubstr(part));
  for (const char* outside : {"src=", "href=", "@import", "nan", "inf\""})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace karat::tune
