// Private: what bulk copies have in common: destinations in a cluster, transactions to complete.
#pragma once

#include "execute/mbarrier_at.hpp"

namespace karat::ptx {

/// Copies into each CTA of `ctas` (bit r: rank r) or, for 0, where the address says; then completes
/// as many bytes at the mbarrier of the same offset there.
/// @param copy  (SharedMemory, address inside) -> bytes
template <typename Copy>
void copy_to_shared(Warp& warp, int lane, std::uint32_t shared, std::uint32_t mbarrier,
                    std::uint32_t ctas, Copy copy) {
  const auto into = [&](std::uint32_t to, std::uint32_t barrier) {
    const std::uint64_t bytes = copy(shared_of(warp, to, lane), inside_shared(to));
    if (warp.cta->witness != nullptr) warp.cta->witness->engine_done(ranked(warp, barrier));
    change_mbarrier(warp, barrier, lane, [&](units::Mbarrier& each) {
      return each.complete_tx(static_cast<std::uint32_t>(bytes));
    });
  };
  if (ctas == 0) return into(shared, mbarrier);
  for_lanes(ctas, [&](int rank) {
    const std::uint32_t high = static_cast<std::uint32_t>(rank + 1) << kRankShift;
    into(high | inside_shared(shared), high | inside_shared(mbarrier));
  });
}

/// The copy as its witness sees it: bytes written in each CTA, for each one's mbarrier.
inline void tell_copy(const Warp& warp, std::uint32_t shared, std::uint32_t bytes,
                      std::uint32_t mbarrier, std::uint32_t ctas, Witness& witness) {
  if (ctas == 0) return witness.engine_write(warp, shared, bytes, mbarrier);
  for_lanes(ctas, [&](int rank) {
    const std::uint32_t high = static_cast<std::uint32_t>(rank + 1) << kRankShift;
    witness.engine_write(warp, high | inside_shared(shared), bytes, high | inside_shared(mbarrier));
  });
}

}  // namespace karat::ptx
