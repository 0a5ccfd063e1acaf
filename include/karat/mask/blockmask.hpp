// PyTorch's BlockMask arrays (FlexAttention): per query block the partial and the full key blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/mask/mask.hpp"

namespace karat::mask {

/// Row-major int32 arrays of one head; shapes [1][1][nQ] and [1][1][nQ][nK] broadcast over batch
/// and heads. Row i holds its blocks ascending in the first num_blocks[i] entries; the rest, which
/// nobody may read, are the other blocks ascending, as torch.argsort leaves them.
struct BlockMask {
  int query_block = 128;
  int key_block = 128;
  int query_blocks = 0;                     ///< nQ
  int key_blocks = 0;                       ///< nK
  std::vector<std::int32_t> kv_num_blocks;  ///< [nQ] partial blocks
  std::vector<std::int32_t> kv_indices;     ///< [nQ][nK]
  std::vector<std::int32_t> full_kv_num_blocks;
  std::vector<std::int32_t> full_kv_indices;
};

/// The arrays of a map whose blocks hold up to query_block and key_block positions. As
/// create_block_mask evaluates the padded grid with False in the padding, a pair with a short block
/// is partial however full it is.
/// @throws Error(usage) when a block of the map is longer than stated.
BlockMask to_blockmask(const BlockMap& map, int query_block = 128, int key_block = 128);

/// The same for fixed blocks along the whole sequence, as FlexAttention cuts it.
BlockMask sequence_blockmask(const Mask& mask, int query_block = 128, int key_block = 128);

}  // namespace karat::mask
