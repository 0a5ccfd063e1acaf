// Private: what the lanes of an instruction access, joined where neighbours' bytes meet: a witness
// is told of a few ranges, not of each lane.
#pragma once

#include <algorithm>
#include <cstdint>

namespace karat::ptx {

/// Tells each(begin, end) of what was added, in order; of the last of it when asked to.
template <typename Each>
class LaneRanges {
 public:
  explicit LaneRanges(Each each) : each_(each) {}

  void add(std::uint64_t address, std::uint64_t bytes) {
    if (begin_ < end_ && address >= begin_ && address <= end_) {
      end_ = std::max(end_, address + bytes);
      return;
    }
    tell();
    begin_ = address;
    end_ = address + bytes;
  }
  void tell() {
    if (begin_ < end_) each_(begin_, end_);
    end_ = begin_;
  }

 private:
  Each each_;
  std::uint64_t begin_ = 0, end_ = 0;
};

}  // namespace karat::ptx
