// Named barriers.
#include "units/named_barrier.hpp"

#include "units/lanes.hpp"

namespace karat::ptx::units {

std::string_view named_barrier_event_meaning(NamedBarrierEvent event) {
  switch (event) {
    case NamedBarrierEvent::none:
      return "threads are still missing";
    case NamedBarrierEvent::completed:
      return "all threads have come";
    case NamedBarrierEvent::over_arrival:
      return "more threads arrive than the barrier waits for";
    case NamedBarrierEvent::count_mismatch:
      return "warps name different thread counts in one round of the barrier";
    case NamedBarrierEvent::bad_count:
      return "the thread count is 0 or no multiple of 32";
  }
  return "";
}

NamedBarrierEvent NamedBarrier::arrive(std::uint32_t threads_expected) {
  if (threads_expected == 0 || threads_expected % kLanes != 0) return NamedBarrierEvent::bad_count;
  if (expected == 0) expected = threads_expected;
  if (expected != threads_expected) return NamedBarrierEvent::count_mismatch;
  if (arrived >= expected) return NamedBarrierEvent::over_arrival;
  arrived += kLanes;
  if (arrived < expected) return NamedBarrierEvent::none;
  arrived = expected = 0;
  ++round;
  return NamedBarrierEvent::completed;
}

}  // namespace karat::ptx::units
