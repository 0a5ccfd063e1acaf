// Times as `karat cost` answers them.
#include "karat/tune/times.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::tune {

StepTimes step_times(const hopper::Machine& machine, const hopper::RunRequest& run,
                     std::span<const recipe::Recipe> recipes) {
  StepTimes out{.gpu = machine.name};
  for (const recipe::Recipe& recipe : recipes) {
    hopper::Question question{.recipe = recipe, .machine = machine};
    hopper::RunTime time;
    try {
      time = hopper::run_time(question, run);
    } catch (const Error& error) {
      throw Error(error.kind(), "recipe " + recipe.name + " on " + machine.name, error.what());
    }
    const double decided = (time.attention_ms + time.around_ms) * run.forwards_per_step * 1e-3;
    out.decided_s.push_back(decided);
    out.fixed_s = time.step_ms * 1e-3 - decided;
    out.dense_s = time.dense_forward_ms * run.forwards_per_step * 1e-3;
  }
  return out;
}

}  // namespace karat::tune
