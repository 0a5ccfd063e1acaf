// Plans of kernels whose blocks come from lists. Private to the hopper layer.
#pragma once

#include "karat/hopper/plan.hpp"

namespace karat::hopper {

/// What no source says of such a kernel, as we take it to be, and at its best and worst: who reads
/// the list and how many CTAs share an SM.
enum class OpenStructure { assumed, fastest, slowest };

/// Tiles lie inside one block of the selection: all rows of a tile then visit the same blocks. A
/// kernel that runs its own tile is assumed to wait for its list, as flex-block-attn's does, which
/// `list_read` is fitted on. One whose blocks are smaller is a kernel for such blocks: assumed to
/// read ahead and to fill the SM, since Video Sparse Attention's authors print 85 % of
/// FlashAttention-3's rate for 64 x 64 (arXiv 2505.13389), which waiting would hold under 40 %.
/// @param own the kernel and its formats; @param block_q, block_k of the selection
/// @throws Error(usage) as make_plan()
Plan list_plan(const PlanRequest& own, int block_q, int block_k, OpenStructure structure,
               const Machine& machine);

}  // namespace karat::hopper
