// How far a candidate is from a reference, in one pass with compensated sums.
// e = candidate - reference; sums run over pairs that are both finite, the rest is counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "karat/numerics/arithmetic/compensated.hpp"
#include "karat/numerics/formats/format.hpp"

namespace karat::numerics {

/// Bucket 0 counts equal values, bucket b > 0 distances in [2^(b-1), 2^b), the last one the rest.
inline constexpr std::size_t kUlpBuckets = 34;

struct ErrorMetrics {
  std::size_t count = 0;     ///< pairs seen
  std::size_t compared = 0;  ///< pairs with both finite; what follows is about them
  double max_abs = 0;        ///< max |e|
  std::size_t worst = 0;     ///< index of the first pair with that |e|
  double mean_abs = 0;       ///< sum |e| / n
  double bias = 0;           ///< sum e / n
  double rmse = 0;           ///< sqrt(sum e^2 / n)
  double relative_l2 = 0;    ///< sqrt(sum e^2 / sum r^2); 0 when both are 0, Inf when only r is
  double relative_l1 = 0;    ///< sum |e| / sum |r|, likewise
  double cosine = 1;         ///< sum c*r / sqrt(sum c^2 * sum r^2); 1 when both are 0, 0 when one is
  double sqnr_db = 0;        ///< 10 log10(sum r^2 / sum e^2); Inf when e is 0
  std::int64_t max_ulp = 0;
  std::array<std::size_t, kUlpBuckets> ulp_histogram{};
  std::size_t reference_nan = 0, candidate_nan = 0;
  std::size_t reference_infinite = 0, candidate_infinite = 0;
  std::size_t unequal_specials = 0;  ///< pairs with a NaN or Inf that are not the same special
  std::size_t saturated = 0;  ///< |candidate| is the format's largest finite and |reference| larger
  std::size_t flushed = 0;    ///< candidate is zero, reference is not
};

/// Takes pairs one by one or span by span. Distances in ulp and saturation are those of `format`;
/// both values are first rounded to it (nearest even), which changes nothing when they are codes.
class MetricsAccumulator {
 public:
  explicit MetricsAccumulator(FormatId format = FormatId::f32);
  void add(double reference, double candidate);
  void add(std::span<const float> reference, std::span<const float> candidate);
  ErrorMetrics result() const;

 private:
  void add_ulp(double reference, double candidate);

  FormatId format_;
  double largest_;
  ErrorMetrics counts_;
  CompensatedSum error_, absolute_, squares_, reference_squares_, reference_absolute_,
      candidate_squares_, products_;
};

/// @throws Error(internal) when the sizes differ.
ErrorMetrics compare(std::span<const float> reference, std::span<const float> candidate,
                     FormatId format = FormatId::f32);

}  // namespace karat::numerics
