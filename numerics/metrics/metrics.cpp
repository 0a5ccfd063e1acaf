// The sums and counts behind ErrorMetrics.
// A square of two f32 is exact in f64, so only the additions round, and those are compensated.
#include "karat/numerics/metrics/metrics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::numerics {
namespace {

double ratio(double numerator, double denominator) {
  if (denominator != 0) return numerator / denominator;
  return numerator == 0 ? 0 : std::numeric_limits<double>::infinity();
}

}  // namespace

MetricsAccumulator::MetricsAccumulator(FormatId id)
    : format_(id), largest_(static_cast<double>(decode(format(id).max_finite(), id))) {}

void MetricsAccumulator::add_ulp(double reference, double candidate) {
  const Policy nearest{.overflow = Overflow::infinity};
  const std::int64_t distance =
      ulp_distance(encode(static_cast<float>(reference), format_, nearest),
                   encode(static_cast<float>(candidate), format_, nearest), format_);
  counts_.max_ulp = std::max(counts_.max_ulp, distance);
  const auto bucket = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(distance)));
  ++counts_.ulp_histogram[std::min(bucket, kUlpBuckets - 1)];
}

void MetricsAccumulator::add(double reference, double candidate) {
  const std::size_t index = counts_.count++;
  counts_.reference_nan += std::isnan(reference);
  counts_.candidate_nan += std::isnan(candidate);
  counts_.reference_infinite += std::isinf(reference);
  counts_.candidate_infinite += std::isinf(candidate);
  counts_.saturated += std::fabs(candidate) == largest_ && std::fabs(reference) > largest_;
  if (!std::isfinite(reference) || !std::isfinite(candidate)) {
    const bool same = reference == candidate || (std::isnan(reference) && std::isnan(candidate));
    counts_.unequal_specials += !same;
    return;
  }
  counts_.flushed += candidate == 0 && reference != 0;
  ++counts_.compared;
  const double error = candidate - reference;
  if (std::fabs(error) > counts_.max_abs) {
    counts_.max_abs = std::fabs(error);
    counts_.worst = index;
  }
  error_.add(error);
  absolute_.add(std::fabs(error));
  squares_.add(error * error);
  reference_squares_.add(reference * reference);
  reference_absolute_.add(std::fabs(reference));
  candidate_squares_.add(candidate * candidate);
  products_.add(candidate * reference);
  add_ulp(reference, candidate);
}

void MetricsAccumulator::add(std::span<const float> reference, std::span<const float> candidate) {
  if (reference.size() != candidate.size()) {
    throw Error(ErrorKind::internal, "error metrics",
                "sizes differ: " + std::to_string(reference.size()) + " and " +
                    std::to_string(candidate.size()));
  }
  for (std::size_t i = 0; i < reference.size(); ++i) {
    add(static_cast<double>(reference[i]), static_cast<double>(candidate[i]));
  }
}

ErrorMetrics MetricsAccumulator::result() const {
  ErrorMetrics m = counts_;
  const double e2 = squares_.value(), r2 = reference_squares_.value();
  const double c2 = candidate_squares_.value();
  if (m.compared > 0) {
    const auto n = static_cast<double>(m.compared);
    m.mean_abs = absolute_.value() / n;
    m.bias = error_.value() / n;
    m.rmse = std::sqrt(e2 / n);
  }
  m.relative_l2 = std::sqrt(ratio(e2, r2));
  m.relative_l1 = ratio(absolute_.value(), reference_absolute_.value());
  m.cosine = r2 == 0 && c2 == 0 ? 1 : r2 == 0 || c2 == 0 ? 0
                                                       : products_.value() / std::sqrt(r2) / std::sqrt(c2);
  m.sqnr_db = 10 * std::log10(ratio(r2, e2));
  if (e2 == 0) m.sqnr_db = std::numeric_limits<double>::infinity();
  return m;
}

ErrorMetrics compare(std::span<const float> reference, std::span<const float> candidate,
                     FormatId id) {
  MetricsAccumulator metrics(id);
  metrics.add(reference, candidate);
  return metrics.result();
}

}  // namespace karat::numerics
