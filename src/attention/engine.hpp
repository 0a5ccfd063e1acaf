// What both engines share: the state of a query block's rows, and their finish.
#pragma once

#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/attention/operations/row_sum.hpp"

namespace karat::attention {

/// Running state of the rows of one query block.
struct RowState {
  RowState() = default;
  RowState(const Launch& launch, std::size_t rows);
  std::vector<float> m;                     ///< per row, some more behind them for vector loops
  std::vector<PartialSums<float>> partial;  ///< per row
  std::vector<float> o;                     ///< rows x channels
};

/// Divides, scales and rounds a block's rows into the result, original token order. Both paths give
/// the same bits.
void finish(const Launch& launch, video::Range queries, const RowState& state, numerics::Path path,
            HeadResult& result);

/// One query block from start to finish. `tap` may be null.
void run_block_scalar(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
                      std::int64_t& saturated);

}  // namespace karat::attention
