// How long does this recipe take at this shape on this GPU, and what limits it? Needs recipe and
// shape alone: no tensors, no engine.
#pragma once

#include <optional>
#include <vector>

#include "karat/hopper/launch.hpp"
#include "karat/hopper/machine.hpp"
#include "karat/hopper/plan.hpp"
#include "karat/hopper/timing.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/video/grid.hpp"

namespace karat::hopper {

enum class Gradients { none, computed };  ///< is the backward asked for too?

struct Question {
  recipe::Recipe recipe;
  Machine machine;
  Timing timing;
  std::optional<Kernel> kernel;        ///< empty: the one the recipe implies, see implied_kernel()
  Shape shape;                         ///< queries and keys count text_tokens too
  std::optional<video::Extent3> grid;  ///< needed by window and band masks
  std::optional<double> density;       ///< share in (0, 1] of key blocks a predicted mask keeps
  int text_tokens = 0;                 ///< behind the grid's tokens, seen by and seeing everything
  Lengths lengths = Lengths::fixed;    ///< varying: FlashAttention-3 alone
  Splits splits = Splits::never;       ///< the public calls do not split
  Gradients gradients = Gradients::none;
};

/// The kernel that runs a recipe: SageAttention2 for INT8 Q, FlexAttention for its key order,
/// FlashAttention-2 for Ampere instructions; otherwise with a window or a predicted mask STA
/// (16-bit) or FPSAttention (8-bit), without them FlashAttention-3, or FPSAttention's plan where
/// 8-bit products are promoted.
/// @throws Error(usage) for operands no Hopper kernel takes (FP32).
Kernel implied_kernel(const recipe::Recipe& recipe);

/// May a density be said of it? Its mask is predicted from Q and K, or left by the step before
/// (skip.rule next_step; without a density that is the first step, which visits everything).
bool takes_density(const recipe::Recipe& recipe);

/// The plan of a question. A mask that counts by its density is read from lists, and its tiles lie
/// inside the blocks that recipe.block selects where the kernel can hold such a tile.
/// @throws Error(usage) as make_plan().
Plan plan_of(const Question& question);

/// Work per query tile in padded blocks, counted with the mask layer.
struct MaskedWork {
  Work work;
  double kept_pairs = 0;    ///< (query, key) tokens of one head
  double padded_pairs = 0;  ///< in blocks as computed
};
/// A mask that is predicted from Q and K, or left by the step before, counts by its density alone:
/// every query tile visits that share of the plan's key blocks, rounded up, at least one; the
/// density is the question's, or predict.share where rule means selects by it. What a second branch
/// costs is not in it.
/// @throws Error(usage) when a window has no grid, or grid and shape disagree; for a predicted mask
///   whose density nobody said, or that is causal besides; for a density that no mask needs.
MaskedWork work_of(const Question& question, const Plan& plan);

/// The same question about FlashAttention-3 in BF16 over all pairs; causal where this one is.
Question dense_bf16(Question question);
/// Milliseconds of one launch alone.
double attention_ms(const Question& question);

/// Time that would be saved if a part were free of charge; negative where it would cost.
struct Saving {
  Part part;
  double ms;
};

struct AttentionCost {
  Plan plan;
  LaunchTime launch;
  double time_ms = 0;
  double low_ms = 0, high_ms = 0;  ///< nine of ten launches, on a calibrated board; else 0
  /// What the structure of a kernel that reads lists leaves open: who reads them, and how many CTAs
  /// share an SM; 0 for other kernels.
  double open_low_ms = 0, open_high_ms = 0;
  double tflops = 0;         ///< 4 x head_dim x kept pairs x heads x batch / time
  double padded_tflops = 0;  ///< likewise of padded blocks
  double peak_share = 0;     ///< tflops / the board's dense peak in the format of QK
  double density = 0;        ///< kept pairs / all pairs
  double padded_density = 0;
  double dense_bf16_ms = 0;     ///< FlashAttention-3 in BF16 over all pairs on the same GPU
  double speedup = 0;           ///< dense_bf16_ms / time_ms
  std::vector<Saving> savings;  ///< largest first; empty for Detail::time
};

enum class Detail { time, bounds };
AttentionCost attention_cost(const Question& question, Detail detail);

}  // namespace karat::hopper
