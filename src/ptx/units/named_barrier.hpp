// One of a CTA's 16 named barriers (bar, barrier) as a value. PTX ISA: "bar, barrier".
#pragma once

#include <cstdint>
#include <string_view>

namespace karat::ptx::units {

enum class NamedBarrierEvent : std::uint8_t {
  none,
  completed,       ///< all threads have come; the barrier is free for the next round at once
  over_arrival,    ///< error: more threads than the barrier waits for
  count_mismatch,  ///< error: two warps name different thread counts in one round
  bad_count,       ///< error: 0 or not a multiple of 32
};
constexpr bool is_error(NamedBarrierEvent e) { return e > NamedBarrierEvent::completed; }
std::string_view named_barrier_event_meaning(NamedBarrierEvent);

/// Each arriving warp adds 32 threads, whatever its active lanes. The caller keeps the warps that
/// wait (bar.sync, bar.red) and lets them go on `completed`; bar.arrive does not wait.
struct NamedBarrier {
  std::uint32_t arrived = 0;   ///< threads of this round
  std::uint32_t expected = 0;  ///< of this round; 0 before the first arrival
  std::uint64_t round = 0;     ///< rounds completed

  NamedBarrierEvent arrive(std::uint32_t threads_expected);
};

}  // namespace karat::ptx::units
