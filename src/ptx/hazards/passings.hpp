// Private: warps that arrive at a named barrier and go on. One that comes again must know that the
// round it arrived at is over: else the barrier may count it twice in one round, and let others
// pass who should have waited.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace karat::ptx {

class Passings {
 public:
  using Clock = std::vector<std::uint32_t>;

  /// The warp arrives at a barrier and goes on.
  /// @param knows  (warp, clock) -> whether it knows that this has happened
  /// @return the instruction by which it arrived before, at a round that may not be over
  template <typename Knows>
  std::optional<std::uint32_t> pass(std::uint32_t key, std::size_t who, std::uint32_t pc,
                                    Knows knows) {
    const auto [found, first] = of_[key].try_emplace(who);
    Passing& last = found->second;
    std::optional<std::uint32_t> early;
    if (!first && !is_over(last, knows)) early = last.pc;
    last = {pc, std::nullopt};
    return early;
  }
  /// A round is over.
  /// @param arrived  by warp: when it arrived, or what those who arrived knew of it
  void complete(std::uint32_t key, const Clock& arrived) {
    const auto found = of_.find(key);
    if (found == of_.end()) return;
    for (auto& [who, each] : found->second)
      if (!each.end) each.end = arrived;
  }

 private:
  struct Passing {
    std::uint32_t pc = 0;
    std::optional<Clock> end;  ///< of its round
  };
  template <typename Knows>
  static bool is_over(const Passing& passing, Knows knows) {
    if (!passing.end) return false;
    for (std::size_t warp = 0; warp < passing.end->size(); ++warp)
      if (!knows(warp, (*passing.end)[warp])) return false;
    return true;
  }

  std::map<std::uint32_t, std::map<std::size_t, Passing>> of_;  ///< by barrier, then by warp
};

}  // namespace karat::ptx
