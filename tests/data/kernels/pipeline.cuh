// What warps of a warp-specialised kernel tell each other by: mbarriers with tensor copies behind
// them, named barriers, clusters. Names and operands are those of the PTX ISA.
#pragma once

#include <cuda.h>

__device__ inline unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

using Barrier = unsigned long long;

__device__ inline void init(Barrier& barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(arrivals));
}
__device__ inline void wait(Barrier& barrier, unsigned parity) {
  asm volatile(
      "{\n.reg .pred over;\n"
      "AGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@over bra PASSED;\nbra AGAIN;\nPASSED:\n}" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}
__device__ inline void expect(Barrier& barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                   shared_address(&barrier)),
               "r"(bytes)
               : "memory");
}
/// At the same barrier of a CTA of the cluster.
__device__ inline void arrive_at(Barrier& barrier, unsigned cta) {
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}" ::"r"(
          shared_address(&barrier)),
      "r"(cta)
      : "memory");
}

/// Threads meet at a named barrier, or pass by and are counted.
__device__ inline void meet(unsigned barrier, unsigned threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ inline void pass(unsigned barrier, unsigned threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

__device__ inline unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ inline void meet_cluster() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ inline bool elected() {
  unsigned chosen;
  asm volatile(
      "{\n.reg .pred one;\nelect.sync _|one, 0xffffffff;\nselp.u32 %0, 1, 0, one;\n}"
      : "=r"(chosen));
  return chosen != 0;
}

struct Corner {
  int channel, token, half, head, batch;
};
/// Of a box of five dimensions, into every CTA of the mask; there each counts at the same barrier.
__device__ inline void load(void* shared, const CUtensorMap& map, Corner at, Barrier& barrier,
                            unsigned short ctas, unsigned long long policy) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster.L2::cache_hint [%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8, %9;" ::"r"(
          shared_address(shared)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(at.channel), "r"(at.token), "r"(at.half),
      "r"(at.head), "r"(at.batch), "h"(ctas), "l"(policy)
      : "memory");
}
__device__ inline void load(void* shared, const CUtensorMap& map, Corner at, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(at.channel), "r"(at.token), "r"(at.half),
      "r"(at.head), "r"(at.batch)
      : "memory");
}
__device__ inline void store(const CUtensorMap& map, const void* shared, Corner at) {
  asm volatile(
      "cp.async.bulk.tensor.5d.global.shared::cta.bulk_group"
      " [%0, {%2, %3, %4, %5, %6}], [%1];" ::"l"(&map),
      "r"(shared_address(shared)), "r"(at.channel), "r"(at.token), "r"(at.half), "r"(at.head),
      "r"(at.batch)
      : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// A register file of so many registers a thread, for all warps of the warpgroup.
template <unsigned kRegisters>
__device__ inline void give_registers_back() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <unsigned kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Descriptor of an operand whose rows of 128 bytes are swizzled by 128 bytes, eight of them a tile;
/// tiles along the rows are 1024 bytes apart, of an MN-major operand the next 64 elements `columns`.
__device__ inline unsigned long long swizzled(const void* shared, unsigned columns = 16) {
  return shared_address(shared) >> 4 | static_cast<unsigned long long>(columns >> 4) << 16 |
         (1024ull >> 4) << 32 | 1ull << 62;
}
/// Likewise of an operand whose rows of 32 bytes are swizzled by 32 bytes.
__device__ inline unsigned long long swizzled_by_32(const void* shared) {
  return shared_address(shared) >> 4 | 1ull << 16 | (256ull >> 4) << 32 | 3ull << 62;
}
