// The mbarrier's transitions and its 64 bits.
#include "units/mbarrier.hpp"

namespace karat::ptx::units {
namespace {

// Bits 0-1 phase, 2-21 pending, 22-41 expected, 42-62 tx, 63 set.
constexpr int kPending = 2, kExpected = 22, kTx = 42, kMark = 63;
constexpr std::uint64_t kTxMask = (std::uint64_t{1} << 21) - 1;

bool fits(std::int64_t tx) { return tx >= -Mbarrier::kMaxTx && tx <= Mbarrier::kMaxTx; }

BarrierEvent complete_if_done(Mbarrier& barrier) {
  if (barrier.pending != 0 || barrier.tx != 0) return BarrierEvent::none;
  barrier.phase = (barrier.phase + 1) & 3;
  barrier.pending = barrier.expected;
  return BarrierEvent::completed;
}

}  // namespace

std::string_view barrier_event_meaning(BarrierEvent event) {
  switch (event) {
    case BarrierEvent::none:
      return "the phase goes on";
    case BarrierEvent::completed:
      return "the phase is complete";
    case BarrierEvent::over_arrival:
      return "more arrivals than the mbarrier's phase expects";
    case BarrierEvent::tx_overflow:
      return "the mbarrier's tx-count leaves -(2^20 - 1) to 2^20 - 1";
    case BarrierEvent::count_overflow:
      return "the mbarrier's pending count passes 2^20 - 1";
    case BarrierEvent::bad_count:
      return "an mbarrier is initialised with 1 to 2^20 - 1 arrivals";
  }
  return "";
}

std::uint64_t Mbarrier::word() const {
  return std::uint64_t{1} << kMark | (static_cast<std::uint64_t>(tx) & kTxMask) << kTx |
         std::uint64_t{expected} << kExpected | std::uint64_t{pending} << kPending | (phase & 3);
}

std::optional<Mbarrier> Mbarrier::from_word(std::uint64_t word) {
  if ((word >> kMark) == 0) return std::nullopt;
  Mbarrier barrier;
  barrier.phase = static_cast<std::uint32_t>(word & 3);
  barrier.pending = static_cast<std::uint32_t>(word >> kPending) & kMaxCount;
  barrier.expected = static_cast<std::uint32_t>(word >> kExpected) & kMaxCount;
  const auto tx = static_cast<std::int32_t>((word >> kTx) & kTxMask);
  barrier.tx = tx > kMaxTx ? tx - (1 << 21) : tx;
  return barrier;
}

BarrierEvent Mbarrier::init(std::uint32_t count) {
  if (count == 0 || count > kMaxCount) return BarrierEvent::bad_count;
  *this = {.phase = 0, .pending = count, .expected = count, .tx = 0};
  return BarrierEvent::none;
}

BarrierEvent Mbarrier::expect_tx(std::uint32_t bytes) {
  const std::int64_t sum = std::int64_t{tx} + bytes;
  if (!fits(sum)) return BarrierEvent::tx_overflow;
  tx = static_cast<std::int32_t>(sum);
  return complete_if_done(*this);
}

BarrierEvent Mbarrier::complete_tx(std::uint32_t bytes) {
  const std::int64_t sum = std::int64_t{tx} - bytes;
  if (!fits(sum)) return BarrierEvent::tx_overflow;
  tx = static_cast<std::int32_t>(sum);
  return complete_if_done(*this);
}

BarrierEvent Mbarrier::arrive(std::uint32_t count) {
  if (count > pending) return BarrierEvent::over_arrival;
  pending -= count;
  return complete_if_done(*this);
}

BarrierEvent Mbarrier::arrive_expect_tx(std::uint32_t bytes) {
  const std::int64_t sum = std::int64_t{tx} + bytes;
  if (!fits(sum)) return BarrierEvent::tx_overflow;
  if (pending == 0) return BarrierEvent::over_arrival;
  tx = static_cast<std::int32_t>(sum);
  return arrive(1);
}

BarrierEvent Mbarrier::arrive_drop(std::uint32_t count) {
  if (count > pending || count > expected) return BarrierEvent::over_arrival;
  expected -= count;
  return arrive(count);
}

BarrierEvent Mbarrier::increment_pending() {
  if (pending == kMaxCount) return BarrierEvent::count_overflow;
  ++pending;
  return BarrierEvent::none;
}

bool Mbarrier::test_state(std::uint64_t state) const {
  const std::optional<Mbarrier> then = from_word(state);
  return then && then->phase != phase;
}

std::uint32_t pending_count(std::uint64_t state) {
  const std::optional<Mbarrier> barrier = Mbarrier::from_word(state);
  return barrier ? barrier->pending : 0;
}

}  // namespace karat::ptx::units
