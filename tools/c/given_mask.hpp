// A mask of the caller: BlockMask arrays, pairs, or both.
#pragma once

#include <memory>

#include "karat/case/given_mask.hpp"
#include "karat/karat.h"

namespace karat::c {

/// Null where neither lists nor pairs are given. @throws Error(usage) for arrays that are none
std::shared_ptr<const cases::GivenMask> given_mask(const karat_block_mask* blocks,
                                                   const uint8_t* keep, int64_t keep_extent,
                                                   karat_mask_order order);

/// The mask of karat_attend_args or karat_make_args.
template <typename Args>
std::shared_ptr<const cases::GivenMask> given_mask(const Args& args) {
  return given_mask(args.block_mask, args.keep, args.keep_positions, args.mask_order);
}

}  // namespace karat::c
