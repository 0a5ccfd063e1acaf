// How long the gradients of attention take: delta, one kernel or two with the five products, and
// what turns FP32 sums into the gradients' format. Predicted from operation counts; no measured row
// tests it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/hopper/cost.hpp"

namespace karat::hopper {

/// One kernel of a backward.
struct BackwardKernel {
  std::string name;
  double ms = 0;
  std::optional<Plan> plan;  ///< of the kernels that multiply; the others stream
  LaunchTime launch;         ///< likewise
};

struct BackwardCost {
  Kernel kernel = Kernel::fa3;
  std::vector<BackwardKernel> kernels;  ///< in order of their launches
  double time_ms = 0;
  double tflops = 0;  ///< 10 x head_dim x kept pairs x heads x batch / time, whatever is recomputed
  std::vector<Saving> savings;  ///< largest first, of the kernels that multiply
};

/// The kernel behind a recipe's backward: the question's own, else FlashAttention-3 for one loop
/// over key blocks and FlexAttention's for two.
/// @throws Error(usage) for a recipe without a backward, with FP8 products, or whose kernel has
///   none
Kernel backward_kernel(const Question& question);

/// @throws Error(usage) as backward_kernel() and make_plan()
BackwardCost backward_cost(const Question& question, Detail detail);

}  // namespace karat::hopper
