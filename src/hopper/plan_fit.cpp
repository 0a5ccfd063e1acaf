// Registers and shared memory of a plan against an SM's.
#include "plan_fit.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

constexpr double kThreads = 128;           // of a warpgroup
constexpr double kProducerRegisters = 56;  // FA3's setmaxnreg beside one consumer

/// Registers a consumer thread may hold, by FA3's setmaxnreg budgets; without a producer the
/// compiler's limit of 255.
int register_budget(const Plan& plan) {
  if (!plan.producer) return 255;
  return plan.warpgroups == 1 ? 256 : plan.warpgroups == 2 ? 240 : 160;
}

std::string plan_title(const Plan& plan) {
  return std::string(plan.pass == Pass::forward ? "plan " : "backward plan ") +
         std::string(kernel_name(plan.kernel)) + " " + std::to_string(plan.block_q) + " x " +
         std::to_string(plan.block_k) + ", head dimension " + std::to_string(plan.head_dim);
}

}  // namespace

int registers_needed(const Plan& plan) {
  const double rows = plan.rows_per_warpgroup();
  const double scores = rows * plan.block_k / kThreads;
  const double p = plan.p_path == PPath::registers ? scores * bytes_of(plan.pv) / 4 : 0;
  const double outputs = rows * plan.tile_dim / kThreads;
  const double products = plan.promote_every > 0 ? 2 * outputs : outputs;
  const bool both = plan.overlap == Overlap::previous_pv;
  const double during_qk = scores + (both ? p + products : outputs);
  const double during_pv = p + products;
  return static_cast<int>(std::ceil(std::max(during_qk, during_pv))) + kOtherRegisters;
}

double smem_needed(const Plan& plan) {
  const double q = double(plan.block_q) * plan.tile_dim * bytes_of(plan.qk);
  const double k = double(plan.block_k) * plan.tile_dim * bytes_of(plan.qk);
  const double v = double(plan.block_k) * plan.tile_dim * bytes_of(plan.pv);
  const double copies = plan.v_transpose == VTranspose::in_kernel ? 2 : 1;
  const double p = plan.p_path == PPath::shared_memory
                       ? double(plan.block_q) * plan.block_k * bytes_of(plan.pv)
                       : 0;
  return q + plan.stages * (k + copies * v) + p + kBarrierBytes;
}

void check_fits(const Plan& plan, const Machine& machine) {
  const int budget = register_budget(plan);
  if (plan.registers_per_thread > budget) {
    throw Error(ErrorKind::usage, plan_title(plan),
                "needs " + std::to_string(plan.registers_per_thread) +
                    " registers per thread, the budget of " + std::to_string(plan.warpgroups) +
                    " consumer warpgroups is " + std::to_string(budget),
                "use a smaller key block");
  }
  if (plan.smem_bytes > machine.smem_kib_per_cta * 1024) {
    throw Error(ErrorKind::usage, plan_title(plan),
                "needs " + std::to_string(std::lround(plan.smem_bytes / 1024)) +
                    " KiB of shared memory, a CTA has " +
                    std::to_string(std::lround(machine.smem_kib_per_cta)),
                "use a smaller tile or fewer stages");
  }
}

int residents(const Plan& plan, const Machine& machine) {
  const double by_smem = machine.smem_kib_per_cta * 1024 / plan.smem_bytes;
  // The compiler and setmaxnreg allocate eights.
  const double consumers =
      std::ceil(plan.registers_per_thread / 8.0) * 8 * kThreads * plan.warpgroups;
  const double needed = consumers + (plan.producer ? kProducerRegisters * kThreads : 0);
  const bool all = plan.producer && plan.packing == Packing::alone;
  const double registers = all ? double(machine.registers) : needed;
  const double by_registers = machine.registers / registers;
  const double by_warps = machine.max_warps / (plan.threads() / 32.0);
  return std::max(
      1, static_cast<int>(std::min({by_smem, by_registers, by_warps, double(machine.max_ctas)})));
}

}  // namespace karat::hopper
