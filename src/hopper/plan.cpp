// Tiles and structure of the known kernels, and the check that a plan fits an SM.
#include "karat/hopper/plan.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "plan_fit.hpp"
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
/// FlashAttention-3: hopper/tile_size.h, and of 2024 hopper/flash_fwd_launch_template.h;
/// FlashAttention-2: csrc, flash_fwd_launch_template.h;
/// STA: 3 consumers of 64 rows; FlexAttention: autotuned template on H100; SageAttention2 sm90:
/// qattn, 64 rows a warpgroup, 128 keys. FPSAttention's kernel is not published: STA's shape in
/// FP8. STA and FPSAttention have no published form at d = 256: a tile that fits.
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
    TileRow{Kernel::fa3_2024, Width::bf16, 64, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::fa3_2024, Width::bf16, 128, 128, 176, 128, 2, 2, kRegs},
    TileRow{Kernel::fa3_2024, Width::bf16, 256, 128, 80, 80, 2, 2, kRegs},
    TileRow{Kernel::fa3_2024, Width::eight_bit, 64, 192, 128, 128, 3, 4, kRegs},
    TileRow{Kernel::fa3_2024, Width::eight_bit, 128, 128, 256, 128, 2, 2, kRegs},
    TileRow{Kernel::fa3_2024, Width::eight_bit, 256, 128, 128, 128, 2, 2, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 64, 128, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 96, 128, 64, 64, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 128, 128, 64, 64, 1, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 192, 128, 64, 64, 2, 1, kRegs},
    TileRow{Kernel::fa2, Width::bf16, 256, 128, 64, 64, 2, 1, kRegs},
    TileRow{Kernel::sta, Width::bf16, 64, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::sta, Width::bf16, 128, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::sta, Width::bf16, 256, 128, 64, 64, 2, 2, kRegs},
    TileRow{Kernel::flex, Width::bf16, 64, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::bf16, 128, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::bf16, 256, 64, 32, 32, 1, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 64, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 128, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 256, 64, 32, 32, 1, 3, kRegs},
    TileRow{Kernel::sage2, Width::eight_bit, 64, 64, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::sage2, Width::eight_bit, 128, 64, 128, 128, 1, 1, kRegs},
    TileRow{Kernel::fpsattention, Width::eight_bit, 64, 128, 128, 128, 2, 2, kRegs},
    TileRow{Kernel::fpsattention, Width::eight_bit, 128, 128, 128, 128, 2, 2, kRegs},
    TileRow{Kernel::fpsattention, Width::eight_bit, 256, 128, 64, 64, 2, 2, kRegs},
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
  BlockLists lists;
};
constexpr std::array kStructures = {
    Structure{Kernel::fa2, "fa2", false, Turns::free_running, Overlap::none, MatrixPath::mma_sync,
              Residency::one_per_tile, VTranspose::none, BlockLists::computed},
    Structure{Kernel::fa3, "fa3", true, Turns::ping_pong, Overlap::previous_pv, MatrixPath::wgmma,
              Residency::persistent, VTranspose::in_kernel, BlockLists::computed},
    Structure{Kernel::fa3_2024, "fa3-2024", true, Turns::ping_pong, Overlap::previous_pv,
              MatrixPath::wgmma, Residency::persistent, VTranspose::in_kernel,
              BlockLists::computed},
    Structure{Kernel::sta, "sta", true, Turns::free_running, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none, BlockLists::computed},
    Structure{Kernel::flex, "flex", false, Turns::lockstep, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none, BlockLists::read},
    Structure{Kernel::sage2, "sage2", false, Turns::free_running, Overlap::none, MatrixPath::wgmma,
              Residency::one_per_tile, VTranspose::none, BlockLists::computed},
    Structure{Kernel::fpsattention, "fpsattention", true, Turns::ping_pong, Overlap::previous_pv,
              MatrixPath::wgmma, Residency::one_per_tile, VTranspose::none, BlockLists::computed},
};

const Structure& structure(Kernel kernel) {
  return *std::find_if(kStructures.begin(), kStructures.end(),
                       [&](const Structure& s) { return s.kernel == kernel; });
}

constexpr std::int64_t kMostCausalRuns = 4096;

/// Registers a consumer thread may hold, by FA3's setmaxnreg budgets; without a producer the
/// compiler's limit of 255.
int register_budget(const Plan& plan) {
  if (!plan.producer) return 255;
  return plan.warpgroups == 1 ? 256 : plan.warpgroups == 2 ? 240 : 160;
}

/// Live values of a consumer thread, the largest of its phases: S and O while QK runs (with overlap
/// beside the P that PV of the previous block reads); P, O and, with promotion, PV's own sums while
/// PV runs. P takes S's registers as it is converted.
int registers_needed(const Plan& plan) {
  const double threads = 128;
  const double rows = plan.rows_per_warpgroup();
  const double scores = rows * plan.block_k / threads;
  const double p = plan.p_path == PPath::registers ? scores * bytes_of(plan.pv) / 4 : 0;
  const double outputs = rows * plan.tile_dim / threads;
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

std::string plan_title(const Plan& plan) {
  return std::string(plan.pass == Pass::forward ? "plan " : "backward plan ") +
         std::string(kernel_name(plan.kernel)) + " " + std::to_string(plan.block_q) + " x " +
         std::to_string(plan.block_k) + ", head dimension " + std::to_string(plan.head_dim);
}

}  // namespace

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
  // setmaxnreg hands out all registers; the compiler allocates eights.
  const double registers = plan.producer
                               ? double(machine.registers)
                               : std::ceil(plan.registers_per_thread / 8.0) * 8 * plan.threads();
  const double by_registers = machine.registers / registers;
  const double by_warps = machine.max_warps / (plan.threads() / 32.0);
  return std::max(
      1, static_cast<int>(std::min({by_smem, by_registers, by_warps, double(machine.max_ctas)})));
}

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
  if (shape.kv_heads < 0 || shape.heads % shape.key_heads() != 0) {
    throw Error(ErrorKind::usage, "shape.kv_heads",
                std::to_string(shape.kv_heads) + " does not divide " + std::to_string(shape.heads) +
                    " heads",
                "give a divisor");
  }
}

std::vector<TileRun> dense_work(const Plan& plan, const Shape& shape) {
  const bool keys = plan.keys_outside();
  const std::int64_t outside = keys ? shape.keys : shape.queries;
  const std::int64_t inside = keys ? shape.queries : shape.keys;
  const std::int64_t outer = plan.outer(), inner = plan.inner();
  const std::int64_t tiles = (outside + outer - 1) / outer;
  const int blocks = static_cast<int>((inside + inner - 1) / inner);
  const bool ragged = inside % inner != 0;
  if (shape.causality == Causality::none) return {{tiles, blocks, ragged ? 1.0 / blocks : 0.0}};
  const std::int64_t offset = shape.keys - shape.queries;  // the last query sees the last key
  const auto seen = [&](std::int64_t tile) {
    if (keys) {  // the queries from the first one that sees the tile's first key
      const std::int64_t first = std::max<std::int64_t>(0, tile * outer - offset);
      return std::clamp<std::int64_t>(blocks - first / inner, 1, blocks);
    }
    const std::int64_t last = std::min((tile + 1) * outer, outside) + offset;
    return std::clamp<std::int64_t>((last + inner - 1) / inner, 1, blocks);
  };
  std::vector<TileRun> runs;
  const auto append = [&](std::int64_t count, std::int64_t visited) {
    if (count <= 0) return;
    const double on_diagonal = std::ceil(double(outer) / static_cast<double>(inner));
    runs.push_back({count, static_cast<int>(visited),
                    std::min(1.0, on_diagonal / static_cast<double>(visited))});
  };
  // Long heads: neighbouring tiles as one or two runs around their mean, keeping their sum.
  const std::int64_t together = (tiles + kMostCausalRuns - 1) / kMostCausalRuns;
  for (std::int64_t tile = 0; tile < tiles; tile += together) {
    const std::int64_t count = std::min(together, tiles - tile);
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += seen(tile + i);
    const std::int64_t longer = sum % count;
    append(count - longer, sum / count);
    append(longer, sum / count + 1);
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
  const bool fa3 = request.kernel == Kernel::fa3 || request.kernel == Kernel::fa3_2024;
  if (!fa3 && (request.lengths == Lengths::varying || request.splits == Splits::heuristic)) {
    throw Error(ErrorKind::usage, "kernel " + std::string(s.name),
                "is known with fixed lengths and whole keys alone",
                "leave out --varlen and --split-keys, or choose fa3");
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
  const bool first_fp8 = request.kernel == Kernel::fa3_2024 && width == Width::eight_bit;
  plan.overlap = first_fp8 ? Overlap::none : s.overlap;
  plan.matrix_path = s.matrix_path;
  plan.residency = s.residency;
  plan.lengths = request.lengths;
  const bool varying = request.lengths == Lengths::varying;
  plan.dispatch = s.residency == Residency::persistent && !causal && !varying ? Dispatch::fixed
                                                                              : Dispatch::dynamic;
  if (request.kernel == Kernel::fa3 && plan.dispatch == Dispatch::dynamic && !varying)
    plan.order = TileOrder::longest_first;
  plan.split_rule = request.splits;
  plan.lists = request.lists.value_or(s.lists);
  // hopper/flash_fwd_launch_template.h: clusters of two for 16-bit operands from d = 128 on.
  plan.multicast = fa3 && width == Width::bf16 && row->dims >= 128 && !causal && !varying
                       ? Multicast::pairs
                       : Multicast::none;
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
  if (plain(name) == "fa32025") return Kernel::fa3;
  for (const Structure& s : kStructures) {
    if (plain(s.name) == plain(name)) return s.kernel;
    known.emplace_back(s.name);
  }
  throw unknown_name("kernel", name, known);
}

std::string_view kernel_name(Kernel kernel) { return structure(kernel).name; }

}  // namespace karat::hopper
