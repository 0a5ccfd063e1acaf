// The kernel's own blocks in the words of PyTorch's BlockMask.
#pragma once

#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"

namespace karat::golden {

/// kv_num_blocks and full_kv_num_blocks [Q], kv_indices and full_kv_indices [Q, most blocks of a
/// row] (int32, in the order of visiting; 0 behind the count), query_block_begin [Q+1] and
/// key_block_begin [K+1] in positions. kv_* list partial blocks, full_kv_* full ones.
files::Tensors block_arrays(const layout::Layout& layout);

}  // namespace karat::golden
