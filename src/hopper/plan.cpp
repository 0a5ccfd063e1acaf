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
/// FlashAttention-3: hopper/tile_size.h (in xformers 0.0.31's sources), and of 2024 hopper/
/// flash_fwd_launch_template.h (open: from memory); FlashAttention-2: csrc,
/// flash_fwd_launch_template.h (2.8.3); STA: 3 consumers of 64 rows; FlexAttention:
/// h100_default_flex_config of PyTorch 2.15, whose other formats run 64 x 64; SageAttention2 sm90:
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
    TileRow{Kernel::fa2, Width::bf16, 256, 64, 64, 64, 1, 1, kRegs},
    TileRow{Kernel::sta, Width::bf16, 64, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::sta, Width::bf16, 128, 192, 128, 128, 3, 2, kRegs},
    TileRow{Kernel::sta, Width::bf16, 256, 128, 64, 64, 2, 2, kRegs},
    TileRow{Kernel::flex, Width::bf16, 64, 128, 128, 128, 1, 3, kRegs},
    TileRow{Kernel::flex, Width::bf16, 128, 128, 64, 64, 2, 3, kRegs},
    TileRow{Kernel::flex, Width::bf16, 256, 64, 32, 32, 1, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 64, 64, 64, 64, 1, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 128, 64, 64, 64, 1, 3, kRegs},
    TileRow{Kernel::flex, Width::eight_bit, 256, 64, 64, 64, 1, 3, kRegs},
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

}  // namespace

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
  const bool listed = request.lists.value_or(s.lists) != BlockLists::computed;
  if (listed && request.splits == Splits::heuristic) {
    throw Error(ErrorKind::usage, "kernel " + std::string(s.name),
                "shares out whole keys, not the blocks that a list names",
                "leave out --split-keys, or choose a recipe without a mask");
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
  plan.packing = request.packing;
  // hopper/flash_fwd_launch_template.h: clusters of two for 16-bit operands from d = 128 on.
  // Two tiles with lists of their own have no loads in common.
  plan.multicast = fa3 && width == Width::bf16 && row->dims >= 128 && !causal && !varying && !listed
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
