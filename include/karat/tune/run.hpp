// A whole tuning: fronts of every kind on every GPU under every weighting, what the intervals say,
// and what one GPU's schedule costs on another.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/statistics/bootstrap.hpp"
#include "karat/tune/measured_problem.hpp"
#include "karat/tune/schedules.hpp"
#include "karat/video/models.hpp"

namespace karat::tune {

enum class ScheduleKind {
  three_phase,      ///< the paper's: two transition points, three recipes
  general,          ///< every group of every step for itself
  general_by_step,  ///< every step for itself: what a schedule file can say
  uniform,          ///< one recipe throughout
  dense_warmup,     ///< dense BF16 for the first 24 % (12 of 50) or 30 % of the steps, one recipe
                    ///< after
  sta_search,       ///< dense for the first 24 %, then per group the candidate of least error
};
std::string_view to_string(ScheduleKind kind);

struct TunedPoint {
  double time_s = 0;  ///< a whole run, everything included that `karat cost` includes
  double error = 0;   ///< square root of the weighted mean of squared relative errors
  std::optional<statistics::Interval> interval;  ///< of error over seeds; none for a single seed
  std::string what;                              ///< "fpsattention", "12 dense, then sta_bf16", ...
  Assignment assignment;                         ///< [step][group] into Result::recipes
  std::optional<ThreePhases> phases;
  std::vector<double> seed_error;  ///< weighted mean square of each seed
};

struct TunedFront {
  ScheduleKind kind = ScheduleKind::general;
  bool exact = true;
  std::vector<TunedPoint> points;  ///< time ascending, error descending
  std::vector<Totals> all;         ///< every point before thinning: time_s and error
  const TunedPoint* within(double time_s) const;
};

/// The paper's two numbers, at one budget.
struct Alphas {
  ThreePhases phases;
  double alpha1 = 0, alpha2 = 0;
  std::optional<statistics::Interval> alpha1_interval, alpha2_interval;  ///< over resampled seeds
  /// Share of the resamples whose best schedule has the same three recipes.
  std::optional<double> same_recipes;
  /// Error on seeds that the choice did not see, each left out in turn.
  std::optional<double> held_out_error;
};

/// At a baseline's own time: is ours better by more than chance among seeds?
struct Comparison {
  ScheduleKind baseline = ScheduleKind::uniform;
  std::string what;  ///< the baseline's point
  double time_s = 0, error = 0;
  ScheduleKind ours = ScheduleKind::three_phase;
  double our_time_s = 0, our_error = 0;
  std::optional<statistics::Interval> ratio;  ///< of our error over the baseline's
  /// Better or worse: the interval of the ratio excludes 1.
  enum class Verdict { better, worse, undecided, equal } verdict = Verdict::undecided;
};
std::string_view to_string(Comparison::Verdict verdict);

/// What few phases, or phases in one direction, reach within the budget.
struct PhaseCount {
  int phases = 0;
  PhaseOrder order = PhaseOrder::any;
  double error = 0;
};

/// One GPU under one weighting.
struct Tuned {
  std::size_t gpu = 0, weights = 0;
  double budget_s = 0;
  std::vector<TunedFront> fronts;  ///< in the order of ScheduleKind
  Alphas alphas;
  std::vector<Comparison> comparisons;
  std::vector<PhaseCount> phase_counts;
  const TunedFront& front(ScheduleKind kind) const {
    return fronts[static_cast<std::size_t>(kind)];
  }
};

/// The schedule that is best on one GPU within its budget, run on another.
struct Regret {
  std::size_t weights = 0, tuned_on = 0, run_on = 0;
  ScheduleKind kind = ScheduleKind::three_phase;
  double time_s = 0, error = 0;  ///< there
  double best_error = 0;         ///< of that GPU's own front in the same time
  double best_time_s = 0;        ///< that its own front needs for the same error
  double worst_time_ratio = 1;   ///< time over best time, the worst along the whole front
};

struct Budget {
  enum class Unit { seconds, speedup } unit = Unit::seconds;
  double value = 0;
};

struct Request {
  study::SensitivityTable table;
  std::string source;  ///< names the table in messages
  std::vector<recipe::Recipe> candidates;
  std::vector<hopper::Machine> machines;  ///< none where times are the user's own
  std::optional<OwnTimes> own_times;
  const video::Model* model = nullptr;
  hopper::RunRequest run;
  std::optional<Decide> decide;  ///< empty: the finest the table allows
  std::optional<StepWeights> user_weights;
  std::optional<study::LoopStudy> loop;  ///< its weights are the measured ones
  std::string loop_source;               ///< names it in messages
  /// Empty: the measured ones, else the user's, else sigma, else uniform.
  std::optional<Weighting> main_weights;
  std::optional<Budget> budget;  ///< empty: 24 % of the steps dense, then the fastest candidate
  int resamples = 1000;
  std::uint64_t seed = 0;
  std::size_t most_points = 100;   ///< per front
  std::vector<std::string> notes;  ///< to stand before the result's own
  /// Sets of fronts done, one per machine and weighting.
  std::function<void(std::size_t done, std::size_t total)> progress = {};

  /// The user's own times, then every machine's. @throws Error(usage) as step_times() does
  std::vector<StepTimes> times_of(std::span<const recipe::Recipe> recipes) const;
};

struct Result {
  std::vector<recipe::Recipe> recipes;  ///< candidates, and the dense baseline behind them if added
  std::size_t candidates = 0;           ///< of them
  std::optional<std::size_t> dense;     ///< place of the dense 16-bit recipe
  Decide decide = Decide::step;
  StepErrors errors;  ///< of all recipes
  /// The same with layers counted as the measured weights say; none where they say nothing.
  std::optional<StepErrors> layered;
  std::vector<StepTimes> times;  ///< Request::times_of() all recipes
  std::vector<StepWeights> weights;
  std::size_t main_weights = 0;
  std::vector<double> sigma;  ///< per step; empty for models without a flow sigma
  std::vector<Tuned> tuned;   ///< machines outside, weightings inside
  std::vector<Regret> regrets;
  std::vector<std::string> notes;  ///< what a reader must know, a sentence each

  const Tuned& of(std::size_t gpu, std::size_t weights_index) const {
    return tuned[gpu * weights.size() + weights_index];
  }
  /// What a weighting weighs.
  const StepErrors& errors_under(const StepWeights& by) const {
    return by.layer_share.empty() ? errors : *layered;
  }
  const Tuned& main() const { return of(0, main_weights); }
};

/// @throws Error(usage | input_output) as the parts do, and for a budget that nothing meets.
Result run(const Request& request);

}  // namespace karat::tune
