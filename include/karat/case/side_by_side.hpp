// Which heads are computed side by side, each on one thread, and how far they have come together.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "karat/case/case.hpp"

namespace karat::cases {

/// What decides.
struct HeadCrowd {
  std::size_t heads;         ///< all of them
  std::size_t query_blocks;  ///< of one head
  int threads;               ///< at least 1
  double head_bytes;         ///< of one under way
  double memory;             ///< bytes for all that are under way
};

/// The first `heads` run side by side, `at_once` of them; the others one after the other on all
/// threads.
struct SideBySide {
  std::size_t heads = 0;
  int at_once = 1;
  friend bool operator==(const SideBySide&, const SideBySide&) = default;
};

/// A head of this many query blocks a thread keeps all threads at work by itself.
inline constexpr std::size_t kBlocksAThread = 32;

/// Counts in times of a query block: n heads side by side take as long as one head's blocks, one
/// after the other n times blocks / threads, rounded up. Side by side run as many as there are
/// threads, fewer where their memory would not suffice, while that takes no longer, and only where
/// a head has fewer than kBlocksAThread query blocks a thread.
SideBySide side_by_side(const HeadCrowd& crowd);

/// About what a head under way holds: values, operands, packed keys, outputs and mask.
double head_bytes(const Case& of);

/// About what the taps of a head hold, and the tensors made of them.
/// @param taps  as cases::parse_taps() reads them; of a list it counts the commas
double tap_bytes(const Case& of, std::string_view taps);

/// Bytes that this machine, or the control group the process runs in, has free.
double free_memory();

/// A head's share of the work of all, added up for one callback. Heads may report at once.
class Together {
 public:
  using Steps = std::function<void(std::size_t done, std::size_t total)>;
  /// @param into  is called with thousandths of heads; empty: nobody is
  Together(std::size_t heads, Steps into) : into_(std::move(into)), thousandths_(heads) {}
  /// Part `part` of `parts` of head `number` has come to done / total.
  void update(std::size_t number, std::size_t part, std::size_t parts, std::size_t done,
              std::size_t total);
  /// What attention::AttendOptions and others take: part `part` of `parts` of a head.
  Steps steps(std::size_t number, std::size_t part = 0, std::size_t parts = 1);

 private:
  Steps into_;
  std::vector<std::atomic<std::size_t>> thousandths_;  ///< of each head
  std::atomic<std::size_t> sum_ = 0;
};

}  // namespace karat::cases
