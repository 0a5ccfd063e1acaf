// A mask of the caller: a matrix of blocks, BlockMask arrays, pairs.
#pragma once

#include <memory>

#include "karat/case/given_mask.hpp"
#include "karat/karat.h"

namespace karat::c {

struct MaskArrays {
  const karat_block_matrix* matrix;
  const karat_block_mask* blocks;
  const uint8_t* keep;
  int64_t keep_extent;
  karat_mask_order order;
};

/// Null where nothing is given. @throws Error(usage) for arrays that are none
std::shared_ptr<const cases::GivenMask> given_mask(const MaskArrays& given);

/// The mask of karat_attend_args or karat_make_args.
template <typename Args>
std::shared_ptr<const cases::GivenMask> given_mask(const Args& args) {
  return given_mask(MaskArrays{.matrix = args.block_matrix,
                               .blocks = args.block_mask,
                               .keep = args.keep,
                               .keep_extent = args.keep_positions,
                               .order = args.mask_order});
}

}  // namespace karat::c
