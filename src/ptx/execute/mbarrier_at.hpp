// Private: mbarriers where they lie in shared memory.
#pragma once

#include "execute/locate.hpp"
#include "execute/witness.hpp"
#include "units/mbarrier.hpp"

namespace karat::ptx {

/// Does something to the mbarrier at a shared address. @throws Fault for bytes that are none, and
/// for what the mbarrier does not allow
template <typename Change>
units::Mbarrier change_mbarrier(Warp& warp, std::uint64_t address, int lane, Change change) {
  std::byte* const at = locate(warp, Space::shared, address, 8, lane, MemoryAccess::write);
  std::uint64_t word = 0;
  std::memcpy(&word, at, 8);
  std::optional<units::Mbarrier> barrier = units::Mbarrier::from_word(word);
  if (!barrier) throw Fault{lane, "there is no mbarrier at shared address " + hexadecimal(address)};
  const units::Mbarrier before = *barrier;
  const units::BarrierEvent event = change(*barrier);
  if (units::is_error(event))
    throw Fault{lane, "mbarrier at " + hexadecimal(address) + ": " +
                          std::string(units::barrier_event_meaning(event))};
  if (event == units::BarrierEvent::completed && warp.cta->witness != nullptr)
    warp.cta->witness->complete(ranked(warp, static_cast<std::uint32_t>(address)));
  word = barrier->word();
  std::memcpy(at, &word, 8);
  return before;
}

}  // namespace karat::ptx
