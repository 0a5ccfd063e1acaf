// The mbarrier object as a value. PTX ISA: "mbarrier" (phase, pending count, expected count,
// tx-count) under "Parallel Synchronization and Communication Instructions".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace karat::ptx::units {

/// What an operation did to the barrier.
enum class BarrierEvent : std::uint8_t {
  none,
  completed,       ///< the phase completed: waiters of its parity go on
  over_arrival,    ///< error: more arrivals than pending
  tx_overflow,     ///< error: tx-count beyond +-(2^20 - 1)
  count_overflow,  ///< error: pending count beyond 2^20 - 1
  bad_count,       ///< error: init with 0 or more than 2^20 - 1
};
constexpr bool is_error(BarrierEvent e) { return e > BarrierEvent::completed; }
/// One sentence on an error.
std::string_view barrier_event_meaning(BarrierEvent);

/// 64 bits in shared memory, encoding our own: bit 63 set marks an initialised barrier; phase in
/// the low 2 bits (its parity is what kernels see; the second tells a waiter two phases late),
/// pending 20 bits, expected 20 bits, tx 21 bits signed.
struct Mbarrier {
  std::uint32_t phase = 0;  ///< modulo 4 when stored
  std::uint32_t pending = 0;
  std::uint32_t expected = 0;
  std::int32_t tx = 0;

  static constexpr std::uint32_t kMaxCount = (1u << 20) - 1;
  static constexpr std::int32_t kMaxTx = (1 << 20) - 1;

  std::uint64_t word() const;
  /// Empty for a word that is no initialised barrier of ours.
  static std::optional<Mbarrier> from_word(std::uint64_t word);

  /// init(c): phase 0, pending = expected = c, tx = 0.
  BarrierEvent init(std::uint32_t count);
  /// tx += n, then the phase may complete (where complete_tx came first).
  BarrierEvent expect_tx(std::uint32_t bytes);
  /// tx -= n (below zero is fine), then the phase may complete.
  BarrierEvent complete_tx(std::uint32_t bytes);
  /// pending -= n, then the phase may complete: pending = 0 and tx = 0 give phase + 1 and pending =
  /// expected.
  BarrierEvent arrive(std::uint32_t count = 1);
  /// expect_tx, then arrive(1).
  BarrierEvent arrive_expect_tx(std::uint32_t bytes);
  /// pending and expected of all later phases fall by one: expected -= n before the arrival.
  BarrierEvent arrive_drop(std::uint32_t count = 1);
  /// cp.async.mbarrier.arrive without .noinc: pending += 1 first.
  BarrierEvent increment_pending();

  /// try_wait.parity, test_wait.parity: the phase of this parity is the one just completed, that
  /// is, the current phase has the other parity. A fresh barrier says yes to parity 1.
  bool test_parity(std::uint32_t parity) const { return (phase & 1) != (parity & 1); }
  /// test_wait with the state an arrive returned: that phase is over.
  bool test_state(std::uint64_t state) const;
  /// What arrive returns: the word before the arrival.
  std::uint64_t state() const { return word(); }
};

/// mbarrier.pending_count of a state; 0 for a word that is none.
std::uint32_t pending_count(std::uint64_t state);

}  // namespace karat::ptx::units
