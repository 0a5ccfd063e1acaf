// The fast engine, on packed operands: its visits, each a query block meeting a key block, their
// buffers, and the steps between the two products.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "engine.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/attention/phases.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "lines.hpp"
#include "softmax_rows.hpp"

namespace karat::attention {

/// Keys of a block whose T is formed and promoted together.
struct PackedSegment {
  video::Range keys;
  numerics::ColumnOperand v;   ///< transposed
  std::vector<float> v_scale;  ///< per channel, where it varies along the keys; else empty
};

/// K and V of one key block, packed once; blocks nobody visits stay empty.
struct PackedKeys {
  numerics::ColumnOperand k;
  numerics::ColumnOperand smoothed;  ///< the keys of Smoothed, for f32.fma; where q is smoothed
  std::vector<PackedSegment> segments;
  /// Scales of the keys, kPadding more; a single one where they are equal; empty where scores do
  /// not use them.
  std::vector<float> k_scale;
};

/// What lasts from one visit of a query block to the next.
struct QueryBlock {
  video::Range queries;
  numerics::RowOperand q;
  numerics::RowOperand q_mean;     ///< what smoothing took out of the block
  Lines<float> row_scale, factor;  ///< per row: Launch::q_scale(), times c where that is first;
                                   ///< pair_factor()
  RowState state;
  std::int64_t saturated = 0;
  std::vector<std::int32_t> small_blocks;  ///< as HeadResult has them
};

/// Query blocks that visit the same key blocks go through them together, so that each key block
/// comes once from memory for all of them.
inline constexpr std::size_t kTogether = 8;

/// Buffers of one worker. Blocks of scores have rows of padded(columns) elements.
struct FastScratch {
  std::array<QueryBlock, kTogether> blocks;
  numerics::RowOperand p;
  Lines<float> a, s, p_values, t;  ///< whole blocks
  Lines<float> base;               ///< scaled accumulators, where exponents start from them
  Lines<float> factors;  ///< what multiplies them there, but in a last visit that scales first
  Lines<float> ones;     ///< more than rows and columns
  Lines<std::uint8_t> codes;
  Lines<float> x;  ///< some rows of a block
  Lines<double> exact;
  Lines<std::uint16_t> wide_codes;
  Lines<float> maxima, reference, alpha, delta;  ///< per row; delta per key
  Lines<float> p_scale;                          ///< per row, where Kernel::p_scaled_by_rows
  Lines<float> factor;                           ///< per channel
  Lines<double> alpha_exact;
  std::optional<PhaseClock> clock;

  void enter(Phase phase) {
    if (clock) clock->enter(phase);
  }
};

struct Visit {
  const Launch& launch;
  FastScratch& scratch;
  QueryBlock& block;
  const PackedKeys& packed;
  const RowLoops& loops;
  BlockTap* tap;  ///< null: nothing is recorded, scores may overwrite accumulators nobody needs
  std::size_t tap_column;  ///< where the visit's columns begin in it
  mask::Cover cover;
  std::int32_t key_block;
  video::Range keys;
  std::size_t rows, columns;
  Turn turn;

  std::size_t stride() const { return padded(columns); }
  template <typename T>
  BlockOf<T> in(Lines<T>& buffer) const {
    return {buffer.data(), rows, columns, stride()};
  }
  Block accumulators() const { return in(scratch.a); }
  Block scores() const {
    return in(tap == nullptr && !launch.from_accumulators ? scratch.a : scratch.s);
  }
  /// The last visit of folded_until_last: its accumulators are scaled before anything else.
  bool scales_first() const {
    return turn == Turn::last &&
           launch.recipe.qk.scale_order == recipe::ScaleOrder::folded_until_last;
  }
  /// One product takes all keys: P is packed while its rows are in the first-level cache.
  bool packs_ahead() const { return packed.segments.size() == 1; }
  /// P in f32 whose packing is a copy: it is made where it is read. Whole strides, no tap.
  bool makes_p_in_place() const {
    return tap == nullptr && packs_ahead() && columns == stride() &&
           launch.recipe.p.format == numerics::FormatId::f32 && scratch.p.in_place(0) != nullptr;
  }
  /// Rows worked on together, so that what the loops touch stays in the first-level cache.
  std::size_t chunk() const { return std::max<std::size_t>(8, 2048 / stride() / 8 * 8); }
};

/// x = fma(base, factor, -reference) of rows from `first`, base and factor those of scaled(), where
/// scales_first().
void fused_rows(const Visit& v, std::size_t first, std::span<const float> reference, Block x);

/// From raw accumulators to scores in log2 units, masked, and the largest of each row. Columns
/// behind the block get -Inf.
void score_rows(const Visit& v);

/// Moves the running maxima; alpha and, per row, what P's exponent subtracts. A block that
/// recipe.skip finds small is noted.
/// @return whether the visit's exponentials, row sum and P V are left out.
enum class Step { computed, skipped };
Step advance_rows(const Visit& v, std::size_t visit);

/// P, its codes and the row sums; counts codes at the largest value that stand for more. P is
/// packed in scratch.p where packs_ahead(), and stands in scratch.p_values where not or where it is
/// tapped.
void softmax_rows(const Visit& v);
/// What a skipped visit does instead: the past's row sums are rescaled, P counts as zero.
void skip_rows(const Visit& v);

/// Per key block.
using PackedHead = std::vector<PackedKeys>;

PackedHead pack_head(const Launch& launch, const std::vector<int>& query_blocks, int threads);

/// The same bits as run_block_scalar(), for up to kTogether query blocks that visit the same key
/// blocks in the same order. `tap` may be null; one block at a time can be tapped.
void run_blocks_fast(const Launch& launch, const PackedHead& packed,
                     std::span<const int> query_blocks, FastScratch& scratch, HeadResult& result,
                     BlockTap* tap, std::int64_t& saturated);

/// Whether two query blocks may run together.
bool visit_the_same(const Launch& launch, int query_block, int other);

}  // namespace karat::attention
