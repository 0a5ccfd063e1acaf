// The fast engine: one query block at a time on packed operands, whole blocks of scores per loop.
#pragma once

#include <vector>

#include "karat/numerics/tensor_core.hpp"
#include "launch.hpp"

namespace karat::attention {

/// K and V of one head, packed once per key block; blocks nobody visits stay empty.
struct PackedHead {
  std::vector<numerics::ColumnOperand> k;               ///< per key block
  std::vector<std::vector<numerics::ColumnOperand>> v;  ///< per key block and segment, transposed
};

PackedHead pack_head(const Launch& launch, const std::vector<int>& query_blocks, int threads);

/// Buffers of one worker, kept between blocks.
struct FastScratch {
  numerics::RowOperand q, p;
  std::vector<float> a, s, x, p_values, t;
  std::vector<float> row_scale, column_scale, maxima, reference, factor, alpha;
  std::vector<double> p_exact, alpha_exact;
  std::vector<std::uint8_t> codes;
  std::vector<std::uint16_t> wide_codes;
};

/// The same bits as run_block_scalar().
void run_block_fast(const Launch& launch, const PackedHead& packed, int query_block,
                    FastScratch& scratch, HeadResult& result, BlockTap* tap,
                    std::int64_t& saturated);

}  // namespace karat::attention
