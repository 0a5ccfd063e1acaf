// Masks given as data: BlockMask arrays and dense boolean matrices.
#pragma once

#include <memory>
#include <span>

#include "karat/mask/blockmask.hpp"
#include "karat/mask/mask.hpp"

namespace karat::mask {

/// The mask of BlockMask arrays over `queries` x `keys` positions. Pairs of full blocks are kept,
/// those of partial blocks as `partial` says (FlexAttention's mask_mod); without it all of them.
/// @throws Error(input_output) when counts or indices are out of range, a block is listed twice, or
///         arrays and shapes disagree; Error(usage) when `partial` is of another size.
std::unique_ptr<Mask> listed_blocks(const BlockMask& arrays, std::int64_t queries,
                                    std::int64_t keys, std::unique_ptr<Mask> partial = nullptr);

/// Whole blocks: pair (i, j) of blocks is kept where keep[i*key_blocks + j] is nonzero.
/// @throws Error(usage) unless both lists of blocks follow one another from position 0 without gaps
///         and there is one value per pair.
std::unique_ptr<Mask> block_table(std::vector<Range> query_blocks, std::vector<Range> key_blocks,
                                  std::vector<std::uint8_t> keep);

/// A dense boolean matrix, row-major [queries][keys], nonzero keeps. Takes queries*keys/8 bytes.
/// @throws Error(usage) when the sizes disagree.
std::unique_ptr<Mask> boolean_matrix(std::span<const std::uint8_t> keep, std::int64_t queries,
                                     std::int64_t keys);

}  // namespace karat::mask
