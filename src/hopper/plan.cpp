// Tiles and structure of the known kernels, and the check that a plan fits an SM.
#include "karat/hopper/plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "words.hpp"

namespace karat::hopper {
namespace {

/// Which element formats a tile row is for.
enum class Width { bf16, eight_bit };

struct TileRow {
  Kernel kernel;
  Width width;
  int dims;  ///< head dimensions up to this one use the row
  int block_q, block_k;
  int block_k_causal;
  int warpgroups;
  int stages;
  PPath p_path;
};

constexpr auto kRegs = PPath::registers;
constexpr auto kSmem = PPath::shared_memory;
/// FlashAttention-3: hopper/tile_size.h; FlashAttention-2: csrc, flash_fwd_launch_template.h;
/// STA: 3 consumers of 64 rows; FlexAttention: autotuned template on H100; SageAttention2 sm90:
/// qattn, 64 rows a warpgroup, 128 keys. FPSAttention's kernel is not published: STA's shape in
/// FP8.
constexpr std::array kTiles = {
    TileRow{Kernel::fa3, Width::bf16, 64, 192, 192, 128, 3, 2, kSmem},
    TileRow{Kernel::fa3, Width::bf16, 96, 192, 144, 144, 3, 2, kSmem},
    TileRow{Kernel::fa3, Width::bf16, 128, 128, 176, 128, 2, 2, kRegs},
    TileRow{Kernel::fa3, Width::bf16, 192, 128, 112, 112, 2, 2, kRegs},
    TileRow{Kernel::fa3, Width::bf16, 256, 128, 80, 80, 2, 2, kRegs},
    TileRow{Kernel::fa3, Width::eight_bit, 64, 192, 160, 160, 3, 2, kRegs},
    TileRow{Kernel::fa3, Width::eight_bit, 96, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::fa3, Width::eight_bit, 128, 128, 224, 224, 2, 2, kRegs},
    TileRow{Kernel::fa3, Width::eight_bit, 192, 128, 160, 160, 2, 2, kRegs},
    TileRow{Kernel::fa3, Width::eight_bit, 256, 128, 128, 128, 2, 2, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 64, 128, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 96, 128, 64, 64, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 128, 128, 64, 64, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 192, 128, 64, 64, 2, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 256, 128, 64, 64, 2, 1, kRegs},
    TileRow{Kernel::sta, Width::bf16, 64, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::sta, Width::bf16, 128, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::flex, Width::bf16, 64, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::bf16, 128, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 64, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 128, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::sage2, Width::eight_bit, 64, 64, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::sage2, Width::eight_bit, 128, 64, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::fpsattention, Width::eight_bit, 64, 128, 128, 128, 2, 2, kRegs},
    TileRow{Kernel::fpsattention, Width::eight_bit, 128, 128, 128, 128, 2, 2, kRegs},
};

/// What a kernel does beyond its tile.
struct Structure {
  Kernel kernel;
  std::string_view name;
  bool producer;
  Turns turns;
  Overlap overlap;
  MatrixPath matrix_path;
  Residency residency;
  VTranspose v_transpose;  ///< for eight-bit V
};
constexpr std::array kStructures = {
    Structure{Kernel::fa2, "fa2", false, Turns::free_running, Overlap::none, MatrixPath::mma_sync,
              Residency::one_per_tile, VTranspose::none},
    Structure{Kernel::fa3, "fa3", true, Turns::ping_pong, Overlap::previous_pv, MatrixPath::wgmma,
              Residency::persistent, VTranspose::in_kernel},
    Structure{Kernel::sta, "sta", true, Turns::free_running, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none},
    Structure{Kernel::flex, "flex", false, Turns::free_running, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none},
    Structure{Kernel::sage2, "sage2", false, Turns::free_running, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none},
    Structure{Kernel::fpsattention, "fpsattention", true, Turns::ping_pong, Overlap::previous_pv,
              MatrixPath::wgmma, Residency::one_per_tile, VTranspose::none},
};

const Structure& structure(Kernel kernel) {
  return *std::find_if(kStructures.begin(), kStructures.end(),
                       [&](const Structure& s) { return s.kernel == kernel; });
}

constexpr int kOtherRegisters = 24;  // addresses, counters, row maxima and sums
constexpr double kBarrierBytes = 1024;

/// Registers a consumer thread may hold, by FA3's setmaxnreg budgets; without a producer the
/// compiler's limit of 255.
int register_budget(const Plan& plan) {
  if (!plan.producer) return 255;
  return plan.warpgroups == 1 ? 256 : plan.warpgroups == 2 ? 240 : 160;
}

int registers_needed(const Plan& plan) {
  const double threads = 128;
  const double rows = plan.rows_per_warpgroup();
  const double scores = rows * plan.block_k / threads;
  const bool both = plan.overlap == Overlap::previous_pv && plan.p_path == PPath::registers;
  const double p = both ? scores * bytes_of(plan.pv) / 4 : 0;
  const double accumulators = rows * plan.tile_dim / threads * (plan.promote_every > 0 ? 2 : 1);
  return static_cast<int>(std::ceil(scores + p + accumulators)) + kOtherRegisters;
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

std::string plan_title(const Plan& plan) {
  return "plan " + std::string(kernel_name(plan.kernel)) + " " + std::to_string(plan.block_q) +
         " x " + std::to_string(plan.block_k) + ", head dimension " + std::to_string(plan.head_dim);
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
  const double registers = plan.producer
                               ? double(machine.registers)  // setmaxnreg hands out all of them
                               : double(plan.registers_per_thread) * plan.threads();
  const double by_registers = machine.registers / registers;
  const double by_warps = machine.max_warps / (plan.threads() / 32.0);
  return std::max(
      1, static_cast<int>(std::min({by_smem, by_registers, by_warps, double(machine.max_ctas)})));
}

}  // namespace

void validate(const Shape& shape) {
  const auto positive = [](const char* field, double value) {
    if (value > 0) return;
    throw Error(ErrorKind::usage, std::string("shape.") + field,
                "is " + std::to_string(std::llround(value)), "give a positive number");
  };
  positive("batch", shape.batch);
  positive("heads", shape.heads);
  positive("queries", static_cast<double>(shape.queries));
  positive("keys", static_cast<double>(shape.keys));
  positive("head_dim", shape.head_dim);
}

std::vector<TileRun> dense_work(const Plan& plan, const Shape& shape) {
  const std::int64_t tiles = (shape.queries + plan.block_q - 1) / plan.block_q;
  const int blocks = static_cast<int>((shape.keys + plan.block_k - 1) / plan.block_k);
  const bool ragged = shape.keys % plan.block_k != 0;
  if (shape.causality == Causality::none) return {{tiles, blocks, ragged ? 1.0 / blocks : 0.0}};
  std::vector<TileRun> runs;
  const std::int64_t offset = shape.keys - shape.queries;  // the last query sees the last key
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t last = std::min((tile + 1) * plan.block_q, shape.queries) + offset;
    const int seen =
        std::clamp(static_cast<int>((last + plan.block_k - 1) / plan.block_k), 1, blocks);
    const double masked = std::min(1.0, std::ceil(double(plan.block_q) / plan.block_k) / seen);
    runs.push_back({1, seen, masked});
  }
  return runs;
}

Plan make_plan(const PlanRequest& request, const Machine& machine) {
  const Structure& s = structure(request.kernel);
  const Width width = request.pv == Element::bf16 ? Width::bf16 : Width::eight_bit;
  const TileRow* row = nullptr;
  bool has_width = false;
  for (const TileRow& candidate : kTiles) {
    if (candidate.kernel != request.kernel || candidate.width != width) continue;
    has_width = true;
    if (request.head_dim <= candidate.dims) {
      row = &candidate;
      break;
    }
  }
  if (!has_width) {
    throw Error(ErrorKind::usage, "kernel " + std::string(s.name),
                std::string("has no form with ") + (width == Width::bf16 ? "BF16" : "8-bit") + " V",
                "choose another recipe or --kernel-version");
  }
  if (row == nullptr || request.head_dim < 1) {
    throw Error(ErrorKind::usage, "head_dim",
                std::to_string(request.head_dim) + " has no tile in kernel " + std::string(s.name),
                "use one up to 256 that the kernel has");
  }
  const bool causal = request.causality == Causality::causal;
  Plan plan;
  plan.kernel = request.kernel;
  plan.head_dim = request.head_dim;
  plan.tile_dim = row->dims;
  plan.block_q = request.block_q > 0 ? request.block_q : row->block_q;
  plan.block_k = request.block_k > 0 ? request.block_k
                 : causal            ? row->block_k_causal
                                     : row->block_k;
  plan.warpgroups = std::max(1, row->warpgroups * plan.block_q / row->block_q);
  plan.stages = row->stages;
  plan.p_path = row->p_path;
  // Causal tiles of 192 rows keep P in registers (the key block is 128 there).
  if (causal && row->block_k_causal != row->block_k) plan.p_path = PPath::registers;
  plan.producer = s.producer;
  plan.turns = s.turns;
  plan.overlap = s.overlap;
  plan.matrix_path = s.matrix_path;
  plan.residency = s.residency;
  plan.dispatch =
      s.residency == Residency::persistent && !causal ? Dispatch::fixed : Dispatch::dynamic;
  plan.v_transpose = width == Width::eight_bit ? s.v_transpose : VTranspose::none;
  plan.qk = request.qk;
  plan.pv = request.pv;
  plan.promote_every = request.promote_every;
  plan.extra_per_score = request.extra_per_score;
  plan.score_conversions = request.qk == Element::int8 ? 1 : 0;
  plan.registers_per_thread = registers_needed(plan);
  plan.smem_bytes = smem_needed(plan);
  check_fits(plan, machine);
  plan.ctas_per_sm = residents(plan, machine);
  return plan;
}

int choose_splits(std::int64_t query_tiles, int key_blocks, int sms) {
  if (query_tiles >= 0.8 * sms || key_blocks <= 4) return 1;
  const int most = std::min({128, sms, key_blocks});
  const auto efficiency = [&](int splits) {
    const double waves = double(query_tiles) * splits / sms;
    return waves / std::ceil(waves);
  };
  double best = 0;
  for (int splits = 1; splits <= most; ++splits) best = std::max(best, efficiency(splits));
  for (int splits = 1; splits <= most; ++splits) {
    if (efficiency(splits) >= 0.85 * best) return splits;
  }
  return 1;
}

Kernel parse_kernel(std::string_view name) {
  std::vector<std::string> known;
  for (const Structure& s : kStructures) {
    if (plain(s.name) == plain(name)) return s.kernel;
    known.emplace_back(s.name);
  }
  throw unknown_name("kernel", name, known);
}

std::string_view kernel_name(Kernel kernel) { return structure(kernel).name; }

}  // namespace karat::hopper
