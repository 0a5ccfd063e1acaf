// Whole numbers drawn one after the other from one Philox stream.
#pragma once

#include <cstddef>
#include <cstdint>

#include "karat/numerics/random/philox.hpp"

namespace karat::numerics {

/// Draw number i is random_uniform(seed, stream, i), scaled: the same seed and stream give the same
/// numbers in the same order.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  /// Uniform in [begin, end). @pre begin < end, end - begin <= 2^53
  std::int64_t between(std::int64_t begin, std::int64_t end) {
    const double share = random_uniform(seed_, stream_, next_++);
    return begin + static_cast<std::int64_t>(share * static_cast<double>(end - begin));
  }
  /// Uniform in [0, count). @pre 0 < count <= 2^53
  std::size_t below(std::size_t count) {
    return static_cast<std::size_t>(between(0, static_cast<std::int64_t>(count)));
  }

 private:
  std::uint64_t seed_, stream_, next_ = 0;
};

}  // namespace karat::numerics
