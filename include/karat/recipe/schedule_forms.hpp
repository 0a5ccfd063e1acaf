// Schedules in the forms that other systems use. parse_schedule() and load_schedule() read them
// all; here they are written, or refused with the reason. docs/schedules.md shows each.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/recipe/schedule.hpp"

namespace karat::recipe {

enum class ScheduleForm {
  xdit,         ///< the same number of high-precision steps at both ends
  sglang,       ///< "high:low:start:end"
  trtllm,       ///< a sparsity target, and the noise level until which it is disabled
  fastvideo,    ///< a window for every step, layer and head
  wan_experts,  ///< a recipe for either expert, and the boundary between them
};
std::string_view to_text(ScheduleForm form);
std::span<const ScheduleForm> schedule_forms();

/// The keys of the JSON forms, in one place. FastVideo's are its own; the others are karat's
/// reading of what the systems are told (open).
namespace schedule_keys {
inline constexpr std::string_view xdit = "xdit", high = "high", low = "low",
                                  steps_at_both_ends = "steps_at_both_ends";
inline constexpr std::string_view trtllm = "trtllm", dense = "dense", sparse = "sparse",
                                  target_sparsity = "target_sparsity",
                                  disabled_until = "disabled_until", a = "a", b = "b";
inline constexpr std::string_view wan_experts = "wan_experts", boundary = "boundary",
                                  high_noise = "high_noise", low_noise = "low_noise";
}  // namespace schedule_keys

/// A backend of sglang by its name there and the preset that stands for it (karat's reading).
struct Backend {
  std::string_view name, preset;
};
std::span<const Backend> sglang_backends();

/// The run that a schedule is written for.
struct ScheduleRun {
  int steps = 0;
  std::span<const double> sigmas = {};  ///< of the steps; empty where the sampler has none
  int layers = 1, heads = 1;            ///< ScheduleForm::fastvideo lists them
};

/// The schedule in that form: a line of text, or a JSON object. Reading it back gives every step of
/// the run the same recipe.
/// @throws Error(usage) where the form cannot hold it, with the reason
std::string write_schedule(ScheduleForm form, const Schedule& schedule, const ScheduleRun& run);

/// Whether ScheduleForm::trtllm has a place for the recipe: a share of the key blocks that it keeps
/// (predict.select share), or a factor of skip.rule exponential.
bool has_sparsity_target(const Recipe& recipe);

/// The schedule as parse_schedule() reads it.
files::Json schedule_json(const Schedule& schedule);

/// A preset's name where the recipe is that preset, else all its fields.
files::Json recipe_json(const Recipe& recipe);

}  // namespace karat::recipe
