// Private: in which order the fast backward visits pairs of blocks. Each visit is made once and
// serves dV, dK and dQ, so it must respect two orders: that of its key block and that of its query
// block. Workers take items in order and wait for their visits' turns.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "backward/launch.hpp"

namespace karat::attention {

struct ScheduledVisit {
  std::int32_t query_block, key_block;
  std::uint32_t query_turn;  ///< place among the visits of its query block, as dQ adds
  std::uint32_t key_turn;    ///< place among those of its key block, as dV and dK add
  mask::Cover cover;
  bool adds_queries, adds_keys;  ///< whether its query block and its key block were chosen
};

/// Visits in an order in which no visit stands before one that it must wait for.
struct Schedule {
  std::vector<ScheduledVisit> visits;
  std::vector<std::size_t> item_begin;  ///< one more than items

  std::size_t items() const { return item_begin.size() - 1; }
  std::span<const ScheduledVisit> item(std::size_t index) const {
    return std::span(visits).subspan(item_begin[index], item_begin[index + 1] - item_begin[index]);
  }
};

/// An item is a key block, all its visits in their order; where both orders are partial_then_full
/// first every key block's partial visits, then the full ones; where key_order alone is, an item is
/// a query block. Proof that the order is one: a step to the next visit of a key block keeps the
/// key block, a step to the next visit of a query block moves on in key_order (or, with both
/// partial_then_full, never from full to partial), and so no steps lead back.
Schedule make_schedule(const recipe::Backward& backward, const mask::BlockMap& blocks,
                       const BackwardOptions& options);

/// The same bits as run_scalar(), for any number of threads; each item done calls `done`.
std::int64_t run_fast(const BackwardLaunch& launch, const Schedule& schedule, Sums& sums,
                      const Taps& taps, const std::function<void()>& done);

/// Which visit of each block is next.
class Turns {
 public:
  explicit Turns(std::size_t blocks) : next_(blocks) {}
  /// @return false when another worker has given up
  bool wait(std::size_t block, std::uint32_t turn) const {
    for (;;) {
      const std::uint32_t next = next_[block].load(std::memory_order_acquire);
      if (next == turn) return true;
      if (next & kGivenUp) return false;
      next_[block].wait(next);
    }
  }
  void done(std::size_t block) {
    next_[block].fetch_add(1, std::memory_order_release);
    next_[block].notify_all();
  }
  void give_up() {
    for (auto& next : next_) {
      next.fetch_or(kGivenUp);
      next.notify_all();
    }
  }

 private:
  static constexpr std::uint32_t kGivenUp = 0x80000000u;
  std::vector<std::atomic<std::uint32_t>> next_;
};

}  // namespace karat::attention
