// Private: what wgmmas read of shared memory. Warps, warpgroups and rounds of a loop read the same
// few operands, so that each operand has one record.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "execute/matrix_bytes.hpp"

namespace karat::ptx {

class WgmmaReads {
 public:
  /// By a warpgroup of the CTA whose group is over.
  struct Done {
    std::uint32_t clock = 0;  ///< groups of the warpgroup that were over with it
    std::uint32_t pc = 0;
  };
  struct Operand {
    MatrixBytes bytes;            ///< null: nobody's
    std::uint32_t under_way = 0;  ///< wgmmas of warps
    std::uint32_t pc = 0;         ///< of the last one
    std::uint32_t warpgroup = 0;  ///< likewise
    std::vector<Done> done;       ///< by warpgroup
  };

  WgmmaReads(std::size_t ctas, std::size_t warpgroups) : operands_(ctas), warpgroups_(warpgroups) {}

  /// A warp's wgmma begins to read; the number of the operand in its CTA, for end().
  /// @param forget  forget(operand) is told of one that has to make room, none of it under way
  template <typename Forget>
  std::uint32_t begin(std::size_t cta, std::size_t warpgroup, const MatrixBytes& bytes,
                      std::uint32_t pc, Forget forget) {
    const std::uint32_t number = number_of(cta, bytes, forget);
    Operand& operand = operands_[cta][number];
    ++operand.under_way;
    operand.pc = pc;
    operand.warpgroup = static_cast<std::uint32_t>(warpgroup);
    return number;
  }
  void end(std::size_t cta, std::size_t warpgroup, std::uint32_t number, std::uint32_t clock) {
    Operand& operand = operands_[cta][number];
    --operand.under_way;
    Done& done = operand.done[warpgroup];
    if (clock >= done.clock) done = {clock, operand.pc};
  }

  /// each(operand, address) for the CTA's operands that [begin, end) of its shared memory meets,
  /// and where first, of those that `counts`.
  template <typename Counts, typename Each>
  void for_met(std::size_t cta, std::uint64_t begin, std::uint64_t end, Counts counts, Each each) {
    for (const Operand& operand : operands_[cta]) {
      if (operand.bytes == nullptr || operand.bytes->empty() ||
          end <= operand.bytes->front().begin || begin >= operand.bytes->back().end ||
          !counts(operand))
        continue;
      const auto found =
          std::ranges::upper_bound(*operand.bytes, begin, {}, &units::ByteRange::end);
      if (found != operand.bytes->end() && found->begin < end)
        each(operand, std::max(begin, found->begin));
    }
  }

 private:
  /// Operands of a CTA that are remembered though no wgmma reads them.
  static constexpr std::size_t kMost = 48;

  template <typename Forget>
  std::uint32_t number_of(std::size_t cta, const MatrixBytes& bytes, Forget forget) {
    std::vector<Operand>& list = operands_[cta];
    for (std::size_t i = 0; i < list.size(); ++i)
      if (list[i].bytes == bytes) return static_cast<std::uint32_t>(i);
    // The next one in turn that nobody reads makes room.
    std::size_t free = list.size();
    for (std::size_t i = 0; list.size() >= kMost && i < list.size() && free == list.size(); ++i) {
      hand_ = (hand_ + 1) % list.size();
      if (list[hand_].under_way == 0) free = hand_;
    }
    if (free == list.size())
      list.emplace_back();
    else
      forget(list[free]);
    list[free] = {.bytes = bytes, .done = std::vector<Done>(warpgroups_)};
    return static_cast<std::uint32_t>(free);
  }

  std::vector<std::vector<Operand>> operands_;  ///< by CTA
  std::size_t warpgroups_;
  std::size_t hand_ = 0;
};

}  // namespace karat::ptx
