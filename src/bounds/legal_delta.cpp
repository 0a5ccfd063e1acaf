// Exact sums in FP64 and gamma_n around them; kernels that turn the row.
#include "legal_delta.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "any_order.hpp"
#include "non_finite.hpp"

namespace karat::bounds {
namespace {

bool reordered(const Freedom& freedom) { return freedom.summation != Summation::fixed; }
bool is_free(const Freedom& freedom) {
  return reordered(freedom) || freedom.contraction != Contraction::none;
}

std::vector<float> turned(std::span<const float> row, std::size_t by) {
  std::vector<float> values(row.begin(), row.end());
  std::rotate(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(by), values.end());
  return values;
}

}  // namespace

Interval legal_deltas(const attention::BackwardView& view, const Freedom& freedom,
                      std::int64_t position, std::span<const Interval> o) {
  if (!is_free(freedom)) return view.delta_of(position, o);
  const auto [d_o, scale] = view.delta_operand(position);
  double low = 0, high = 0, magnitude = 0;
  for (std::size_t j = 0; j < o.size(); ++j) {
    if (!is_finite(o[j]) || !std::isfinite(d_o[j])) return kAnything;
    const double a = static_cast<double>(o[j].low) * d_o[j];
    const double b = static_cast<double>(o[j].high) * d_o[j];
    low += std::min(a, b);
    high += std::max(a, b);
    magnitude += std::max(std::abs(a), std::abs(b));
  }
  // A term is rounded once as a product and by at most n - 1 additions; one more covers the FP64
  // sums. Every operation may lose 2^-126 to a flush.
  const auto n = static_cast<double>(o.size());
  const double room = rounding_share(freedom.summation, n + 1) * magnitude + n * 0x1p-125;
  const Interval sum{numerics::rounded_down(low - room), numerics::rounded_up(high + room)};
  return attention::delta_of(view.kernel(), sum, scale);
}

float legal_delta(const attention::BackwardView& view, const Freedom& freedom,
                  const LegalKernel& kernel, std::int64_t position, std::span<const float> o) {
  using recipe::DeltaSum;
  if (!is_free(freedom)) return view.delta_of(position, o);
  const auto [d_o, scale] = view.delta_operand(position);
  DeltaSum order = view.kernel().backward.delta_sum;
  const bool every_second = kernel.seed % 2 != 0;
  if (reordered(freedom)) order = every_second ? DeltaSum::pairwise : DeltaSum::sequential;
  if (freedom.contraction != Contraction::none && order == DeltaSum::sequential &&
      (reordered(freedom) || every_second))
    order = DeltaSum::fused;
  const std::size_t by = reordered(freedom) ? kernel.seed * o.size() / 6 : 0;
  const std::vector<float> left = turned(o, by), right = turned(d_o, by);
  const float sum =
      attention::sum_of_products(view.kernel().fp32, order, std::span<const float>(left), right);
  return attention::delta_of(view.kernel(), sum, scale);
}

}  // namespace karat::bounds
