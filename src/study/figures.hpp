// Sampled rows, and the figures that one recipe makes of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/statistics/draws.hpp"
#include "karat/study/measure.hpp"

namespace karat::study {

/// rows x channels in f64.
using Rows = std::vector<double>;

/// Per row the sum over channels of a^2.
inline std::vector<double> squares(const Rows& a, std::size_t channels) {
  std::vector<double> sums(a.size() / channels, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) sums[i / channels] += a[i] * a[i];
  return sums;
}

/// Per row the sum over channels of a*b.
inline std::vector<double> products(const Rows& a, const Rows& b, std::size_t channels) {
  std::vector<double> sums(a.size() / channels, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) sums[i / channels] += a[i] * b[i];
  return sums;
}

/// x*a + y*b.
inline Rows combined(double x, const Rows& a, double y, const Rows& b) {
  Rows sum(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) sum[i] = x * a[i] + y * b[i];
  return sum;
}

/// Per row the sum over channels of (a - b)^2.
inline std::vector<double> squares(const Rows& a, const Rows& b, std::size_t channels) {
  return squares(combined(1, a, -1, b), channels);
}

/// Collects figures of one recipe and branch.
class Figures {
 public:
  Figures(std::vector<Figure>& out, video::Branch branch, std::int32_t recipe,
          const statistics::Draws& draws)
      : out_(out), branch_(branch), recipe_(recipe), draws_(draws) {}
  void ratio(Quantity quantity, const std::vector<double>& errors,
             const std::vector<double>& references) {
    add(quantity, statistics::relative_l2(draws_, errors, references));
  }
  void cosine(Quantity quantity, const Rows& a, const Rows& b, std::size_t channels) {
    add(quantity, statistics::cosine(draws_, products(a, b, channels), squares(a, channels),
                                     squares(b, channels)));
  }
  void average(Quantity quantity, const std::vector<double>& values) {
    add(quantity, statistics::mean(draws_, values));
  }
  void add(Quantity quantity, const statistics::Estimate& estimate) {
    if (!std::isfinite(estimate.value))
      throw Error(ErrorKind::input_output, to_string(quantity), "the error is no finite number",
                  "look for NaN or zeros in the tensors");
    out_.push_back({branch_, recipe_, quantity, estimate.value, estimate.standard_error});
  }

 private:
  std::vector<Figure>& out_;
  video::Branch branch_;
  std::int32_t recipe_;
  const statistics::Draws& draws_;
};

}  // namespace karat::study
