// Private: which bytes of shared memory a wgmma's operand is, remembered by its descriptor: loops
// come to the same tiles again, and four warps to each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "units/wgmma.hpp"

namespace karat::ptx {

/// Sorted ranges that do not meet. Equal ones of one thread are one object, as long as it is
/// remembered.
using MatrixBytes = std::shared_ptr<const std::vector<units::ByteRange>>;

class MatrixByteCache {
 public:
  MatrixBytes a(const units::WgmmaOp& op, std::uint64_t descriptor) {
    return remembered({descriptor, shape(op.a, op.a_major, 64, op.k)},
                      [&] { return units::a_ranges(op, descriptor); });
  }
  MatrixBytes b(const units::WgmmaOp& op, std::uint64_t descriptor) {
    return remembered({descriptor, shape(op.b, op.b_major, op.n, op.k)},
                      [&] { return units::b_ranges(op, descriptor); });
  }

 private:
  using Key = std::pair<std::uint64_t, std::uint32_t>;
  static constexpr std::size_t kMost = 512;

  template <typename Type>
  static std::uint32_t shape(Type type, units::Major major, int rows, int depth) {
    return static_cast<std::uint32_t>(type) | static_cast<std::uint32_t>(major) << 8 |
           static_cast<std::uint32_t>(rows) << 12 | static_cast<std::uint32_t>(depth) << 22;
  }
  template <typename Make>
  MatrixBytes remembered(const Key& key, Make make) {
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    if (known_.size() >= kMost) known_.clear();
    return known_[key] = std::make_shared<const std::vector<units::ByteRange>>(make());
  }

  std::map<Key, MatrixBytes> known_;
};

}  // namespace karat::ptx
