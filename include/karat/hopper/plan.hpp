// How a kernel runs: CTA tile, warpgroups, stages, order of work, and what it holds in registers
// and shared memory. A plan that does not fit is refused with what does not fit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/hopper/machine.hpp"

namespace karat::hopper {

/// Kernels whose structure is known. What each one does is a table row in plan.cpp.
enum class Kernel {
  fa2,          ///< FlashAttention-2: mma.sync, cp.async, no specialisation
  fa3,          ///< FlashAttention-3 of 2025, BF16 or FP8 by the element format
  fa3_2024,     ///< its first release: other tiles, FP8 without overlap inside a warpgroup
  sta,          ///< ThunderKittens-style sliding tile attention: 192 rows, 128 keys
  flex,         ///< FlexAttention's Triton template: 128 x 64
  sage2,        ///< SageAttention2 on sm90: INT8 QK, FP8 PV, 64 rows a warpgroup, 128 keys
  fpsattention  ///< FP8 with 3-D tiles; 128 rows, 128 keys
};

enum class Element { bf16, fp8, int8 };
constexpr int bytes_of(Element element) { return element == Element::bf16 ? 2 : 1; }

/// Do warpgroups take turns to issue, or does a barrier per key block keep them in step?
enum class Turns { free_running, ping_pong, lockstep };
enum class Overlap {
  none,
  previous_pv,        ///< PV of the previous block beside QK
  dp_beside_exponent  ///< of a backward: dP while P is taken
};
enum class PPath { registers, shared_memory };  ///< how P reaches the tensor core
enum class MatrixPath { wgmma, mma_sync };
enum class Residency { persistent, one_per_tile };  ///< CTAs per launch
enum class Dispatch { fixed, dynamic };             ///< tile i to CTA i mod n, or to the first free
enum class TileOrder { heads_in_turn, longest_first };  ///< of a dynamic scheduler
enum class VTranspose { none, in_kernel };              ///< FP8 wants V with keys contiguous
enum class Lengths { fixed, varying };   ///< varying: cu_seqlens, a tile search, no TMA store
enum class Splits { never, heuristic };  ///< may a kernel share one tile's keys out?
/// Where a sparse kernel's next block comes from. Read: whoever issues waits for it. Ahead: the
/// producer has it before the loads are due.
enum class BlockLists { computed, read, ahead };
/// CTAs on an SM of a kernel with a producer: setmaxnreg hands all registers to one, or each takes
/// what it needs.
enum class Packing { alone, as_many_as_fit };
enum class Multicast { none, pairs };  ///< do two CTAs of a cluster load K and V once?

/// What a kernel computes. With P = exp(S - lse) a backward has five products: S = Q K^T,
/// dP = dO V^T, dV = P^T dO, dQ = dS K, dK = dS^T Q.
enum class Pass {
  forward,
  gradients,       ///< all five over one block of keys at a time; dQ is added to FP32 memory
  key_gradients,   ///< S, dP, dV and dK over one block of keys at a time
  query_gradients  ///< S, dP and dQ over one block of queries at a time
};

/// How FlashAttention-3 divides the keys of a query tile among CTAs.
struct KeySplits {
  /// What the host allows. Beyond 1 it launches the kernel that can divide keys, and the one that
  /// combines parts behind it, whether or not any tile is divided.
  int most = 1;
  int taken = 1;  ///< by every tile
  friend bool operator==(const KeySplits&, const KeySplits&) = default;
};

struct Plan {
  Kernel kernel = Kernel::fa3;
  Pass pass = Pass::forward;
  int head_dim = 128;    ///< of the tensors
  int tile_dim = 128;    ///< head dimension the instructions run, padded with zeros
  int block_q = 128;     ///< query rows per CTA
  int block_k = 128;     ///< keys per step
  int warpgroups = 2;    ///< consumers; rows are divided evenly among them
  bool producer = true;  ///< a warpgroup of its own issues the loads
  int stages = 2;
  Element qk = Element::bf16;
  Element pv = Element::bf16;
  Turns turns = Turns::ping_pong;
  Overlap overlap = Overlap::previous_pv;
  PPath p_path = PPath::registers;
  MatrixPath matrix_path = MatrixPath::wgmma;
  Residency residency = Residency::persistent;
  Dispatch dispatch = Dispatch::fixed;
  TileOrder order = TileOrder::heads_in_turn;
  VTranspose v_transpose = VTranspose::none;
  Lengths lengths = Lengths::fixed;
  Splits split_rule = Splits::never;
  std::optional<KeySplits> division;  ///< empty: by split_rule
  BlockLists lists = BlockLists::computed;
  Packing packing = Packing::alone;
  Multicast multicast = Multicast::none;
  int o_bytes = 2;  ///< of an element of O as a tile writes it: 4 where parts are combined later
  int ctas_per_sm = 1;
  int promote_every = 0;       ///< keys after which PV's partial sums are added in FP32; 0 = never
  double extra_per_score = 0;  ///< FP32 operations per score beside the softmax: per-column scales
  int score_conversions = 0;   ///< INT32 to FP32 conversions per score (INT8 QK)
  int registers_per_thread = 0;  ///< of a consumer thread: live values, largest over the phases
  double smem_bytes = 0;         ///< per CTA

  int rows_per_warpgroup() const { return block_q / warpgroups; }
  /// Rows that a CTA keeps, and those it visits block by block.
  int outer() const { return keys_outside() ? block_k : block_q; }
  int inner() const { return keys_outside() ? block_q : block_k; }
  bool keys_outside() const { return pass == Pass::gradients || pass == Pass::key_gradients; }
  int threads() const { return 128 * (warpgroups + (producer ? 1 : 0)); }
};

/// A persistent CTA that draws its next tile from a counter in memory.
inline bool draws_tiles(const Plan& plan) {
  return plan.dispatch == Dispatch::dynamic && plan.residency == Residency::persistent;
}

/// Keys seen by the queries: every one, or none after the query itself.
enum class Causality { none, causal };

/// What a kernel is asked to do, as far as time is concerned.
struct Shape {
  int batch = 1;
  int heads = 1;
  int kv_heads = 0;          ///< of K and V, a divisor of heads; 0: as many
  std::int64_t queries = 0;  ///< tokens
  std::int64_t keys = 0;
  int head_dim = 128;
  Causality causality = Causality::none;

  int key_heads() const { return kv_heads > 0 ? kv_heads : heads; }
};

/// @throws Error(usage) naming the field that is not positive.
void validate(const Shape& shape);

/// Consecutive tiles of one head (query tiles; key tiles where they are outside) with the same
/// work.
struct TileRun {
  std::int64_t tiles = 0;
  int blocks = 0;           ///< padded inner blocks each computes
  double masked_share = 0;  ///< of them, the share that holds masked pairs
};

/// Work of one head when nothing but causality removes blocks, in order of tiles.
std::vector<TileRun> dense_work(const Plan& plan, const Shape& shape);

/// What the caller may say about a kernel; the rest follows.
struct PlanRequest {
  Kernel kernel = Kernel::fa3;
  int head_dim = 128;
  Element qk = Element::bf16;
  Element pv = Element::bf16;
  Causality causality = Causality::none;
  int promote_every = 0;
  double extra_per_score = 0;
  int block_q = 0;  ///< 0: the kernel's own tile
  int block_k = 0;
  Lengths lengths = Lengths::fixed;
  Splits splits = Splits::never;
  std::optional<BlockLists> lists;  ///< empty: as the kernel does
  Packing packing = Packing::alone;
};

/// @throws Error(usage) for a head dimension without a tile, an element format the kernel does not
/// have, key splits beside block lists, or a tile that exceeds registers or shared memory, saying
/// what does not fit.
Plan make_plan(const PlanRequest& request, const Machine& machine);

/// The kernels that compute the gradients, in the order they run: one with `gradients`, or
/// `key_gradients` and `query_gradients`. Operands are 16 bits wide.
/// @throws Error(usage) for a kernel without a backward, or as make_plan()
std::vector<Plan> make_backward_plans(Kernel kernel, int head_dim, Causality causality,
                                      BlockLists lists, const Machine& machine);

/// The number of splits that fills the SMs: the smallest whose last wave is within 85 % of the
/// best; 1 from 0.8 tiles per SM or at most 4 key blocks (FlashAttention-3's num_splits_heuristic).
int choose_splits(std::int64_t query_tiles, int key_blocks, int sms);

/// The host divides where the tiles of the launch are few, or K and V of a head exceed 50 MiB and
/// its queries fill the SMs twice. With varying lengths it looks at one sequence instead of the
/// batch, and a kernel in front takes as many of the allowed splits as give every SM its share of
/// the blocks and a tenth more.
KeySplits key_splits(const Plan& plan, const Shape& shape, int sms);

/// CTAs of the kernel that combines parts: 16 rows of up to 64 channels each, 8 rows of 128 beyond.
double combine_ctas(const Plan& plan, const Shape& shape);

/// "fa3" (or "fa3-2025"), "fa3-2024", "fa2", "sta", "flex", "sage2", "fpsattention". @throws
/// Error(usage) with the nearest.
Kernel parse_kernel(std::string_view name);
std::string_view kernel_name(Kernel kernel);

}  // namespace karat::hopper
