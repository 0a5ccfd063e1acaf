// The fast engine: one query block at a time on packed operands.
#pragma once

#include <vector>

#include "launch.hpp"
#include "visit.hpp"

namespace karat::attention {

/// Per key block.
using PackedHead = std::vector<PackedKeys>;

PackedHead pack_head(const Launch& launch, const std::vector<int>& query_blocks, int threads);

/// The same bits as run_block_scalar().
void run_block_fast(const Launch& launch, const PackedHead& packed, int query_block,
                    FastScratch& scratch, HeadResult& result, BlockTap* tap,
                    std::int64_t& saturated);

}  // namespace karat::attention
