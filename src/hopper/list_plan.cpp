#include "list_plan.hpp"

#include <utility>

namespace karat::hopper {
namespace {

constexpr int kRowsOfWarpgroup = 64;  ///< of a matrix instruction over four warps
constexpr int kKeysOfStep = 16;       ///< of an instruction of PV in 16 bits

/// The largest tile that the kernel can hold inside a block of the selection, or the kernel's own
/// where none does.
int inside_block(int selected, int own, int granule) {
  for (int size = own / granule * granule; size > 0; size -= granule) {
    if (selected % size == 0) return size;
  }
  return own;
}

}  // namespace

Plan list_plan(const PlanRequest& own, int block_q, int block_k, OpenStructure structure,
               const Machine& machine) {
  PlanRequest request = own;
  request.lists = BlockLists::read;
  // The kernel's own tile; promotion may need the smaller one.
  const int promote_every = std::exchange(request.promote_every, 0);
  const Plan tile = make_plan(request, machine);
  request.promote_every = promote_every;
  request.block_q = inside_block(block_q, tile.block_q, kRowsOfWarpgroup);
  request.block_k = inside_block(block_k, tile.block_k, kKeysOfStep);
  const bool small = tile.producer && request.block_q < tile.block_q;
  if (structure == OpenStructure::fastest || (structure == OpenStructure::assumed && small)) {
    request.lists = BlockLists::ahead;
    request.packing = Packing::as_many_as_fit;
  }
  return make_plan(request, machine);
}

}  // namespace karat::hopper
