// Bits first; only what differs is looked at closely.
#include "tally.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "karat/bounds/bounds.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "same_value.hpp"

namespace karat::golden {
namespace {

/// As computed; in a format without Inf what lies beyond its numbers counts as the largest.
std::uint32_t code_of(float x, numerics::FormatId format) {
  if (format == numerics::FormatId::f32) return std::bit_cast<std::uint32_t>(x);
  const bool has_infinity =
      numerics::format(format).specials == numerics::Specials::infinity_and_nan;
  return numerics::encode(x, format, has_infinity ? numerics::kAsComputed : numerics::Policy{});
}

/// At least 1 for values that are not the same (zeros of different sign, values between codes).
std::int64_t distance(float a, float b, numerics::FormatId format) {
  if (std::isnan(a) != std::isnan(b)) return std::numeric_limits<std::int64_t>::max();
  return std::max<std::int64_t>(
      1, numerics::ulp_distance(code_of(a, format), code_of(b, format), format));
}

}  // namespace

Tally::Tally(std::string stage, numerics::FormatId format, bool fixed) {
  report_.stage = std::move(stage);
  report_.format = format;
  report_.fixed = fixed;
  const numerics::Format& row = numerics::format(format);
  largest_ = row.bits == 8 && row.kind != numerics::Kind::power_of_two
                 ? numerics::decode(row.max_finite(), format)
                 : std::numeric_limits<float>::quiet_NaN();
}

void Tally::count_specials(float value, Specials& specials) const {
  specials.nan += std::isnan(value);
  specials.infinite += std::isinf(value);
  specials.saturated += std::abs(value) == largest_;
  specials.zero += value == 0;
}

void Tally::note(std::size_t i, float golden, float candidate, float low, float high, bool outside,
                 const std::function<Location(std::size_t)>& locate) {
  const std::int64_t ulp = distance(golden, candidate, report_.format);
  report_.max_ulp = std::max(report_.max_ulp, ulp);
  const auto bin = std::min<std::size_t>(std::bit_width(static_cast<std::uint64_t>(ulp)),
                                         report_.ulp_histogram.size() - 1);
  ++report_.ulp_histogram[bin];
  ++report_.differing;
  const bool first_outside = outside && report_.outside == 0;
  report_.outside += outside;
  if (!outside && report_.outside > 0) return;
  const bool is_first = !report_.first || first_outside;
  const bool is_worst = !report_.worst || first_outside || ulp > report_.worst->ulp;
  if (!is_first && !is_worst) return;
  const Difference difference{locate(i), golden, candidate, low, high, ulp};
  if (is_first) report_.first = difference;
  if (is_worst) report_.worst = difference;
}

void Tally::add(std::span<const float> golden, std::span<const float> candidate,
                const std::function<Legal()>& legal,
                const std::function<Location(std::size_t)>& locate,
                const std::function<bool(std::size_t)>& skip,
                const std::function<void(std::size_t, bool)>& on_difference) {
  std::optional<Legal> range;
  for (std::size_t i = 0; i < golden.size(); ++i) {
    if (skip && skip(i)) continue;
    const float g = golden[i];
    const float c = candidate[i];
    ++report_.compared;
    count_specials(g, report_.golden);
    count_specials(c, report_.candidate);
    if (std::isfinite(g)) golden_squared_ += static_cast<double>(g) * g;
    if (same_value(g, c)) {
      ++report_.ulp_histogram[0];
      continue;
    }
    const double error = static_cast<double>(c) - g;
    error_squared_ += error * error;
    if (!range) range = legal ? legal() : Legal{};
    const bool bounded = !range->low.empty();
    const float low = bounded ? range->low[i] : g;
    const float high = bounded ? range->high[i] : g;
    const bool outside = !bounds::inside(c, low, high);
    note(i, g, c, low, high, outside, locate);
    if (on_difference) on_difference(i, outside);
  }
}

StageReport Tally::report() const {
  StageReport report = report_;
  report.verdict = report.outside > 0     ? Verdict::differs
                   : report.differing > 0 ? Verdict::within
                                          : Verdict::equal;
  if (report.differing > 0)
    report.relative_l2 = golden_squared_ > 0 ? std::sqrt(error_squared_ / golden_squared_)
                                             : std::numeric_limits<double>::infinity();
  return report;
}

}  // namespace karat::golden
