// Parts of a tuning that run() puts together.
#pragma once

#include "karat/statistics/bootstrap.hpp"
#include "karat/tune/run.hpp"

namespace karat::tune {

/// One GPU under one weighting, for the parts below.
struct Setting {
  const Result* result = nullptr;
  const StepTimes* times = nullptr;
  const StepWeights* weights = nullptr;
  const statistics::Resamples* bootstrap = nullptr;
  Problem own;   ///< candidates alone
  Problem wide;  ///< the dense baseline behind them
  std::size_t most_points = 100;

  double fixed_s() const { return times->fixed_s * own.steps; }
  double time_s(double decided) const { return fixed_s() + decided; }
};

/// The problem of the first `candidates` recipes.
Problem narrowed(const Problem& problem, std::size_t candidates);

/// "12 dense, then sta_bf16"; recipes with the steps (or shares) they run.
std::string words(const Setting& setting, std::span<const std::uint16_t> assignment);

/// Fronts of all kinds; those that need a dense recipe are empty without one.
std::vector<TunedFront> tuned_fronts(const Setting& setting, double budget_s);
/// Steps of dense warm-up: 24 % (12 of 50) and 30 %.
std::vector<int> warm_ups(int steps);

Alphas tuned_alphas(const Setting& setting, double budget_s);
std::vector<Comparison> tuned_comparisons(const Setting& setting,
                                          const std::vector<TunedFront>& fronts);
std::vector<PhaseCount> tuned_phase_counts(const Setting& setting, double budget_s);

/// Of every pair of GPUs, under every weighting.
std::vector<Regret> tuned_regrets(const Result& result);

}  // namespace karat::tune
