// The fast engine, on packed operands.
#pragma once

#include <span>
#include <vector>

#include "engine.hpp"
#include "visit.hpp"

namespace karat::attention {

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
