// Tiles of the backward kernels.
#include <algorithm>
#include <array>
#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "plan_fit.hpp"

namespace karat::hopper {
namespace {

struct GradientTile {
  Kernel kernel;
  Pass pass;
  int dims;              ///< head dimensions up to this one use the row
  int block_q, block_k;  ///< query rows and keys of a visit
  int block_q_causal;
  int warpgroups;
  int stages;
};
/// FlashAttention-3: hopper/flash_bwd_launch_template.h (in xformers 0.0.31's sources);
/// FlashAttention-2: csrc, flash_bwd_launch_template.h (2.8.3, the branch that an H100's shared
/// memory takes); FlexAttention: get_flex_attn_bwd_configs of PyTorch 2.15 for compute capability
/// 9.0. Open: beyond d = 128 FlexAttention runs four warps, whose values exceed 255 registers a
/// thread; here it has eight.
constexpr std::array kGradientTiles = {
    GradientTile{Kernel::fa3, Pass::gradients, 64, 128, 128, 128, 2, 2},
    GradientTile{Kernel::fa3, Pass::gradients, 96, 64, 128, 64, 2, 2},
    GradientTile{Kernel::fa3, Pass::gradients, 128, 80, 128, 64, 2, 2},
    GradientTile{Kernel::fa3, Pass::gradients, 192, 64, 96, 64, 3, 1},
    GradientTile{Kernel::fa3, Pass::gradients, 256, 64, 80, 64, 2, 1},
    GradientTile{Kernel::fa2, Pass::gradients, 64, 128, 128, 128, 2, 1},
    GradientTile{Kernel::fa2, Pass::gradients, 128, 64, 128, 64, 2, 1},
    GradientTile{Kernel::fa2, Pass::gradients, 256, 64, 64, 64, 2, 1},
    GradientTile{Kernel::flex, Pass::key_gradients, 63, 64, 64, 64, 1, 3},
    GradientTile{Kernel::flex, Pass::key_gradients, 128, 64, 128, 64, 2, 3},
    GradientTile{Kernel::flex, Pass::key_gradients, 256, 64, 64, 64, 2, 2},
    GradientTile{Kernel::flex, Pass::query_gradients, 63, 64, 64, 64, 1, 3},
    GradientTile{Kernel::flex, Pass::query_gradients, 128, 128, 64, 128, 2, 3},
    GradientTile{Kernel::flex, Pass::query_gradients, 256, 64, 64, 64, 2, 2}};

/// Live values of a thread: S, dP and the sums; then P and dS where they are register operands, the
/// sums, and dQ of the inner block (half of it at a time at d = 256, FlashAttention-3's
/// Slice_dQKV_Mma).
int gradient_registers(const Plan& plan) {
  const double threads = 128.0 * plan.warpgroups;
  const double scores = double(plan.block_q) * plan.block_k / threads;
  const double outer = double(plan.outer()) * plan.tile_dim / threads;
  const double sums = plan.keys_outside() ? 2 * outer : outer;
  const double slice = plan.tile_dim > 192 ? 0.5 : 1;
  const double dq =
      plan.pass == Pass::gradients ? slice * plan.inner() * plan.tile_dim / threads : 0;
  const double while_scoring = 2 * scores + sums;
  const double operands = plan.p_path == PPath::registers ? scores : 0;
  const double while_summing = operands + sums + dq;
  return static_cast<int>(std::ceil(std::max(while_scoring, while_summing))) + kOtherRegisters;
}

/// Outer operands, stages of the inner ones, dS (and P where it is no register operand), and where
/// TMA adds dQ from (not at d = 256: the threads add it).
double gradient_smem(const Plan& plan) {
  const double d = plan.tile_dim, bytes = 2;
  const double scores = double(plan.block_q) * plan.block_k * bytes;
  double sum = 2 * plan.outer() * d * bytes + 2.0 * plan.stages * plan.inner() * d * bytes;
  if (plan.pass == Pass::gradients)
    sum += plan.p_path == PPath::registers ? plan.stages * scores : 2 * scores;
  if (plan.pass == Pass::gradients && plan.producer && d <= 192) sum += plan.inner() * d * 4;
  return sum + kBarrierBytes;
}

}  // namespace

std::vector<Plan> make_backward_plans(Kernel kernel, int head_dim, Causality causality,
                                      BlockLists lists, const Machine& machine) {
  std::vector<Plan> plans;
  for (const Pass pass : {Pass::gradients, Pass::key_gradients, Pass::query_gradients}) {
    const auto row = std::ranges::find_if(kGradientTiles, [&](const GradientTile& t) {
      return t.kernel == kernel && t.pass == pass && head_dim <= t.dims;
    });
    if (row == kGradientTiles.end()) continue;
    const bool fa3 = kernel == Kernel::fa3;
    Plan plan;
    plan.kernel = kernel;
    plan.pass = pass;
    plan.head_dim = head_dim;
    plan.tile_dim = *std::ranges::lower_bound(kInstructionDims, head_dim);
    plan.block_q = causality == Causality::causal ? row->block_q_causal : row->block_q;
    plan.block_k = row->block_k;
    plan.warpgroups = row->warpgroups;
    plan.producer = fa3;
    plan.stages = row->stages;
    plan.turns = Turns::lockstep;
    plan.overlap = fa3 ? Overlap::dp_beside_exponent : Overlap::none;
    plan.matrix_path = kernel == Kernel::fa2 ? MatrixPath::mma_sync : MatrixPath::wgmma;
    // FlashAttention-3 turns to shared memory from d = 192 on, FlashAttention-2 always.
    plan.p_path =
        kernel == Kernel::fa2 || (fa3 && row->dims > 128) ? PPath::shared_memory : PPath::registers;
    plan.residency = Residency::one_per_tile;
    plan.dispatch = Dispatch::dynamic;
    plan.order =
        fa3 && causality == Causality::causal ? TileOrder::longest_first : TileOrder::heads_in_turn;
    plan.lists = lists;
    plan.registers_per_thread = gradient_registers(plan);
    plan.smem_bytes = gradient_smem(plan);
    check_fits(plan, machine);
    plan.ctas_per_sm = residents(plan, machine);
    plans.push_back(plan);
  }
  if (plans.empty())
    throw Error(ErrorKind::usage, "kernel " + std::string(kernel_name(kernel)),
                "has no backward at head dimension " + std::to_string(head_dim),
                "choose fa2, fa3 or flex, and a head dimension up to 256");
  return plans;
}

}  // namespace karat::hopper
