// Measured weights: by step, by layer, between the steps that were measured.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "karat/numerics/base/error.hpp"
#include "karat/tune/measured_problem.hpp"

namespace karat::tune {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;

constexpr int kSteps = 4, kLayers = 3, kHeads = 2;

double error_of(int seed, int step, int layer, int head, int recipe) {
  return 0.01 * (1 + recipe) * (1 + 0.3 * step) * (1 + layer * layer) * (1 + 0.1 * head) *
         (1 + 0.05 * seed);
}

study::SensitivityTable table() {
  study::SensitivityTable out{.origin = "made up",
                              .steps = kSteps,
                              .sigma = std::vector<double>(kSteps, std::nan("")),
                              .recipes = {"a", "b"}};
  for (int seed = 0; seed < 2; ++seed)
    for (int step = 0; step < kSteps; ++step)
      for (int layer = 0; layer < kLayers; ++layer)
        for (int head = 0; head < kHeads; ++head)
          for (int r = 0; r < 2; ++r)
            out.rows.push_back(
                {.cell = {.prompt = seed, .step = step, .layer = layer, .head = head},
                 .recipe = r,
                 .error = error_of(seed, step, layer, head, r)});
  return out;
}

double weight_of(int step, int layer) { return (step + 1) * (0.5 + layer); }

study::LoopStudy loop() {
  study::LoopStudy out{.model = "mine", .steps = kSteps, .layers = kLayers};
  out.sigma.assign(kSteps, std::nan(""));
  out.weights.emplace();
  for (int step = 0; step < kSteps; ++step) {
    out.weights->step.push_back(step == 2 ? 0 : step + 1.0);
    for (int layer = 0; layer < kLayers; ++layer)
      out.weights->cell.push_back(weight_of(step, layer));
  }
  return out;
}

const std::vector<std::string> kNames{"a", "b"};

TEST(LoopWeights, SquaredDriftIsWhatTheCellsSay) {
  const study::SensitivityTable from = table();
  std::vector<std::string> notes;
  const StepWeights weights = loop_weights(loop(), kSteps, {}, "mine", true, "l.json", notes);
  EXPECT_TRUE(notes.empty());
  EXPECT_NEAR(std::accumulate(weights.weight.begin(), weights.weight.end(), 0.0), 1, 1e-15);
  for (const Decide decide : {Decide::step, Decide::layer, Decide::head, Decide::cell}) {
    EXPECT_TRUE(knows_layers(from, decide, kLayers));
    const StepErrors errors = errors_by_layer(from, kNames, decide, kSteps, {}, "s.h5", weights);
    const Assignment all_b(static_cast<std::size_t>(kSteps * errors.groups), 1);
    const std::vector<double> seeds = seed_errors(errors, weights, all_b);
    for (int seed = 0; seed < 2; ++seed) {
      double drift = 0;
      for (int step = 0; step < kSteps; ++step)
        for (int layer = 0; layer < kLayers; ++layer)
          for (int head = 0; head < kHeads; ++head)
            drift +=
                weight_of(step, layer) * std::pow(error_of(seed, step, layer, head, 1), 2) / kHeads;
      EXPECT_NEAR(seeds[static_cast<std::size_t>(seed)] * weights.drift_scale, drift, 1e-12 * drift)
          << to_string(decide);
    }
  }
}

TEST(LoopWeights, OneRecipeInOneLayerCountsThatLayerAlone) {
  std::vector<std::string> notes;
  const StepWeights weights = loop_weights(loop(), kSteps, {}, "mine", true, "l.json", notes);
  const StepErrors errors =
      errors_by_layer(table(), kNames, Decide::layer, kSteps, {}, "s.h5", weights);
  const auto total = [&](int step, int layer) {
    Assignment assignment(static_cast<std::size_t>(kSteps * kLayers), 0);
    const double before = seed_errors(errors, weights, assignment)[0];
    assignment[static_cast<std::size_t>(step * kLayers + layer)] = 1;
    return (seed_errors(errors, weights, assignment)[0] - before) * weights.drift_scale;
  };
  double wanted = 0;  // b has twice the error of a
  for (int head = 0; head < kHeads; ++head)
    wanted += 3 * weight_of(3, 1) * std::pow(error_of(0, 3, 1, head, 0), 2) / kHeads;
  EXPECT_NEAR(total(3, 1), wanted, 1e-12 * wanted);
}

TEST(LoopWeights, WithoutLayersTheStepsCount) {
  std::vector<std::string> notes;
  const StepWeights weights = loop_weights(loop(), kSteps, {}, "other", false, "l.json", notes);
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[0], HasSubstr("on mine, not on other"));
  EXPECT_THAT(notes[1], HasSubstr("3 layers"));
  EXPECT_TRUE(weights.layer_share.empty());
  EXPECT_THAT(weights.weight, testing::ElementsAre(1.0 / 7, 2.0 / 7, 0, 4.0 / 7));
  EXPECT_EQ(weights.drift_scale, 7);
}

TEST(LoopWeights, OtherStepsLieBetween) {
  std::vector<std::string> notes;
  study::LoopStudy measured = loop();
  measured.weights->cell.clear();
  measured.weights->step = {1, 4, 4, 1};
  const StepWeights by_place = loop_weights(measured, 8, {}, "mine", true, "l.json", notes);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("4 steps, this run has 8"));
  EXPECT_EQ(by_place.drift_scale, 0);
  // Places 1/16, 3/16, ... among 1/8, 3/8, ...: log-linear, held at the ends.
  EXPECT_THAT(by_place.weight[1] / by_place.weight[0],
              DoubleNear(std::sqrt(std::sqrt(4.0)), 1e-12));
  EXPECT_THAT(by_place.weight[3] / by_place.weight[0], DoubleNear(4, 1e-12));
  measured.sigma = {0.9, 0.8, 0.7, 0.1};
  const std::vector<double> sigma{0.9, 0.85, 0.1};
  const StepWeights by_noise = loop_weights(measured, 3, sigma, "mine", true, "l.json", notes);
  EXPECT_THAT(by_noise.weight[1] / by_noise.weight[0], DoubleNear(2, 1e-12));
  EXPECT_THAT(by_noise.weight[2] / by_noise.weight[0], DoubleNear(1, 1e-12));
  notes.clear();
  const std::vector<double> other{0.9, 0.8, 0.75, 0.1};
  EXPECT_EQ(loop_weights(measured, 4, other, "mine", true, "l.json", notes).drift_scale, 0);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("of other noise levels"));
  notes.clear();
  EXPECT_EQ(loop_weights(measured, 4, measured.sigma, "mine", true, "l.json", notes).drift_scale,
            10);
  EXPECT_TRUE(notes.empty());
}

TEST(LoopWeights, LayersThatTheErrorsDoNotKnow) {
  study::SensitivityTable fewer = table();
  std::erase_if(fewer.rows, [](const auto& row) { return row.cell.layer == 1; });
  EXPECT_FALSE(knows_layers(fewer, Decide::layer, kLayers));
  EXPECT_FALSE(knows_layers(table(), Decide::layer, kLayers + 1));
  study::SensitivityTable holes = table();
  std::erase_if(holes.rows, [](const auto& row) {
    return row.cell.layer == 1 && row.cell.step == 2 && row.recipe == 0;
  });
  EXPECT_FALSE(knows_layers(holes, Decide::step, kLayers));
  study::LoopStudy none = loop();
  none.weights.reset();
  std::vector<std::string> notes;
  EXPECT_THROW(loop_weights(none, kSteps, {}, "mine", true, "l.json", notes), Error);
}

}  // namespace
}  // namespace karat::tune
