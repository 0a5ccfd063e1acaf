// The dense mask keeps every pair of tokens and nothing that touches padding.
#include <gtest/gtest.h>

#include "brute_force.hpp"

namespace karat::mask {
namespace {

TEST(DenseMask, KeepsTokensAndDropsPadding) {
  for (const auto ragged : {video::Ragged::partial, video::Ragged::pad}) {
    const auto order = video::tile_order({{3, 5, 4}, {2, 3, 3}}, ragged);
    BoolMatrix matrix(order.token_at.size(), std::vector<bool>(order.token_at.size()));
    for (std::size_t q = 0; q < matrix.size(); ++q)
      for (std::size_t k = 0; k < matrix.size(); ++k)
        matrix[q][k] = order.token_at[q] >= 0 && order.token_at[k] >= 0;
    auto blocks = cut_blocks(order, 4, video::Align::tile);
    blocks.push_back({7, 7});
    expect_equal(*dense_mask(order), matrix, blocks, cut_blocks(order, 7, video::Align::sequence));
  }
}

}  // namespace
}  // namespace karat::mask
