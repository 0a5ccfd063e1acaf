// Which recipe each denoising step runs with: a list of phases, by step fraction or by noise level.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// One phase; a step belongs to the first phase whose condition it meets.
struct Phase {
  /// Steps t = 1..D with t <= until*D, compared as real numbers: `until` counts as the decimal it
  /// is written as, so 0.3 of 10 steps is 3 steps.
  std::optional<double> until;
  /// Steps with a noise level of at least this.
  std::optional<double> sigma_from;
  /// So many of the first steps, or of the last.
  std::optional<int> first, last;
  Recipe recipe;

  bool has_condition() const { return until || sigma_from || first || last; }
};

struct Schedule {
  std::string name;
  std::vector<Phase> phases;  ///< the last one has no condition
};

/// {"name": "...", "phases": [{"until": 0.2, "recipe": R}, {"sigma_from": 0.5, "recipe": R},
/// {"first": 3, "recipe": R}, {"last": 3, "recipe": R}, {"recipe": R}]}, R a preset's name or a
/// recipe object; or the paper's three phases on one line: {"base": "fpsattention", "alpha": [a1,
/// a2], "g": [G, G, G], "W": [W, W, W]}, coarse, fine, intermediate: the scale tiles of q and k,
/// and the windows; or one of the forms of schedule_forms.hpp.
/// @throws Error(usage) "subject: ..." for text that is none of these and anything else amiss:
/// unknown keys, fractions out of order or outside (0, 1), a last phase with a condition.
Schedule parse_schedule(std::string_view text, std::string_view subject);
/// The same from a file, or sglang's "high:low:start:end" itself. @throws also Error(input_output)
/// when the file cannot be read.
Schedule load_schedule(const std::string& path_or_text);

/// The recipe of step `step` in [0, steps); t = step + 1.
/// @param sigma the step's noise level, needed only by phases with sigma_from
/// @throws Error(usage) for a step out of range, or when a phase asks for a sigma that is not
/// given.
const Recipe& recipe_of(const Schedule& schedule, int step, int steps,
                        std::optional<double> sigma = {});
/// The same as an index into the phases.
std::size_t phase_of(const Schedule& schedule, int step, int steps,
                     std::optional<double> sigma = {});
/// The recipe of every step. @param sigmas of the steps; may be empty where no phase asks for one
std::vector<const Recipe*> recipes_of(const Schedule& schedule, int steps,
                                      std::span<const double> sigmas = {});
/// Whether a phase asks for the noise level.
bool needs_sigma(const Schedule& schedule);

}  // namespace karat::recipe
