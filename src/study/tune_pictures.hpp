// Pictures of a tuning.
#pragma once

#include <string>

#include "karat/study/tune_run.hpp"

namespace karat::study {

/// Schedules of one GPU within its budget: a row per weighting and kind, a column per step.
std::string schedule_strips(const TuneResult& result, std::size_t gpu);
/// Error against time, every kind of schedule, intervals over seeds.
std::string front_chart(const TuneResult& result, const Tuned& tuned);
/// Root mean square error of every recipe over the steps, with the spread of seeds.
std::string sensitivity_chart(const TuneResult& result);
/// Share of the whole that each step counts, under every weighting.
std::string weight_chart(const TuneResult& result);

}  // namespace karat::study
