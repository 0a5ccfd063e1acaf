// The L x L boolean matrix of a window, pair by pair from the published formulas: no intervals, no
// tile products, nothing shared with the library's masks.
#pragma once

#include <vector>

#include "karat/mask/window.hpp"

namespace karat::mask {

/// keep[q][k] over positions of the order.
using BoolMatrix = std::vector<std::vector<bool>>;

/// Whether one axis keeps (query, key) token coordinates.
bool axis_keeps(int query, int key, int tokens, int tile, int window, Unit unit, Border border,
                Centre centre);
BoolMatrix window_matrix(const Window& window, video::Extent3 grid, const video::TokenOrder& order);

std::int64_t count(const BoolMatrix& matrix);
Cover cover(const BoolMatrix& matrix, Range queries, Range keys);

/// Fails the current test unless the mask equals the matrix: every pair, the number of pairs and
/// the cover of every pair of the given blocks.
void expect_equal(const Mask& mask, const BoolMatrix& matrix,
                  const std::vector<Range>& query_blocks, const std::vector<Range>& key_blocks);

}  // namespace karat::mask
