// The random decisions of a legal kernel.
#pragma once

#include <cstdint>

namespace karat::bounds {

/// A coin per call.
class Coin {
 public:
  explicit Coin(std::uint32_t seed) : state_(seed * 2654435761u + 0x9E3779B9u) {}
  bool toss() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_ >> 31 != 0;
  }

 private:
  std::uint32_t state_;
};

}  // namespace karat::bounds
