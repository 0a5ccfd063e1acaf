// Helpers of the numerics tests: every SIMD target of this machine, long runs, random bits.
// The library never reads the environment; tests may.
#pragma once

#include <hwy/targets.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "karat/numerics/random/philox.hpp"

namespace karat::numerics::testing {

/// Runs body() once with each SIMD target this processor supports.
template <typename Body>
void for_each_target(Body body) {
  const std::int64_t supported = hwy::SupportedTargets();
  for (const std::int64_t target : {HWY_AVX3, HWY_AVX2, HWY_NEON, HWY_EMU128, HWY_SCALAR}) {
    if (!(target & (supported | HWY_EMU128 | HWY_SCALAR))) continue;
    hwy::SetSupportedTargetsForTest(target);
    body(std::string(hwy::TargetName(target)));
  }
  hwy::SetSupportedTargetsForTest(0);
}

inline bool long_run() {
  const char* value = std::getenv("KARAT_LONG");
  return value && std::string(value) == "1";
}

/// A sequence of random words for one test.
class Random {
 public:
  explicit Random(std::uint64_t stream) : stream_(stream) {}
  std::uint32_t operator()() { return random_bits(20, stream_, next_++); }
  std::uint32_t below(std::uint32_t limit) {
    return static_cast<std::uint32_t>((std::uint64_t{(*this)()} * limit) >> 32);
  }

 private:
  std::uint64_t stream_;
  std::uint64_t next_ = 0;
};

}  // namespace karat::numerics::testing
