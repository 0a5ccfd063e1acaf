// The arrays a mask may come as: their names, ranks and types, and the reading of their numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::cases {

/// "mask", "kv_indices", ...; block_size stands beside them and belongs to no head.
bool is_mask_array(const std::string& name);
/// Dimensions of one head. @pre is_mask_array(name)
std::size_t mask_array_rank(const std::string& name);

/// Elements [begin, begin + count) of a boolean or integer tensor.
/// @throws Error(usage) naming `subject` and the types that are read
std::vector<std::int64_t> integers(const files::Tensor& tensor, std::size_t begin,
                                   std::size_t count, const std::string& subject);

/// Batch and head dimensions in front of `rank` own ones; 1 where missing.
std::array<std::size_t, 2> heads_in_front(const files::Tensor& tensor, std::size_t rank);

/// Drops what is no mask; judges names, shapes and types of the rest. Then `mask` takes one byte a
/// pair, and mask_id is gone: its blocks stand in lists of full ones, 128 x 64 unless block_size
/// says else.
/// @throws Error(usage) naming `subject`
files::Tensors read_mask_arrays(files::Tensors arrays, const std::string& subject);

}  // namespace karat::cases
