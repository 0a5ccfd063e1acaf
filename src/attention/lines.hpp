// Private: buffers of the vector loops.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace karat::attention {

/// Numbers that start on a cache line; growing discards what was in there.
template <typename T>
class Lines {
 public:
  T* data() { return lines_.data()->values; }
  const T* data() const { return lines_.data()->values; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  /// At least `count` elements, and a line behind them.
  void reserve(std::size_t count) {
    const std::size_t needed = count / kPerLine + 2;
    if (lines_.size() < needed) lines_ = std::vector<Line>(needed);
  }
  std::span<T> first(std::size_t count) { return {data(), count}; }

 private:
  static constexpr std::size_t kPerLine = 64 / sizeof(T);
  struct alignas(64) Line {
    T values[kPerLine];
  };
  std::vector<Line> lines_;
};

}  // namespace karat::attention
