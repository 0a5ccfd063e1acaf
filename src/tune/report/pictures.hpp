// Pictures of a tuning, and words that its reports share.
#pragma once

#include <string>

#include "karat/tune/run.hpp"

namespace karat::tune {

/// Schedules of one GPU within its budget: a row per weighting and kind, a column per step.
std::string schedule_strips(const Result& result, std::size_t gpu);
/// Error against time, every kind of schedule, intervals over seeds.
std::string front_chart(const Result& result, const Tuned& tuned);
/// Root mean square error of every recipe over the steps, with the spread of seeds.
std::string sensitivity_chart(const Result& result);
/// Share of the whole that each step counts, under every weighting.
std::string weight_chart(const Result& result);

/// "three phases", "dense warm-up": a kind of schedule in words.
std::string_view title_of(ScheduleKind kind);
/// "fpsattention | sta_bf16 | fa3_fp8"; equal neighbours once.
std::string phases_text(const Result& result, const ThreePhases& phases);
/// Whether the recipe changes there: behind the first phase (0), the second (1).
inline bool is_transition(const ThreePhases& phases, int behind) {
  return phases.recipe[behind] != phases.recipe[behind + 1];
}

}  // namespace karat::tune
