// The optimiser's problem from measured errors, modelled times and weights.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/tune/errors.hpp"
#include "karat/tune/problem.hpp"
#include "karat/tune/times.hpp"
#include "karat/tune/weights.hpp"

namespace karat::tune {

/// error[s][g][c] = weight_s / groups x mean over seeds of the squared error, time[s][g][c] =
/// decided_s[c] / groups: errors of a schedule are weighted means of squares, heads counting alike.
Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights);
/// The same with seeds counted `counts` times: one resample of a bootstrap.
Problem make_problem(const StepErrors& errors, const StepTimes& times, const StepWeights& weights,
                     std::span<const int> counts);

/// The error of an assignment for every seed.
std::vector<double> seed_errors(const StepErrors& errors, const StepWeights& weights,
                                std::span<const std::uint16_t> assignment);

}  // namespace karat::tune
