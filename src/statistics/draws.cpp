// Ratios of sums and their standard errors.
#include "karat/statistics/draws.hpp"

#include <array>
#include <cmath>
#include <numeric>

#include "karat/statistics/student.hpp"

namespace karat::statistics {
namespace {

struct DrawMeans {
  double error = 0, reference = 0;
};

/// The two means of one draw.
DrawMeans means_of(const std::vector<std::size_t>& rows, std::span<const double> errors,
                   std::span<const double> references) {
  DrawMeans sums;
  for (const std::size_t row : rows) {
    sums.error += errors[row];
    sums.reference += references[row];
  }
  return {sums.error / static_cast<double>(rows.size()),
          sums.reference / static_cast<double>(rows.size())};
}

/// Ratio of sums and its standard error.
Estimate ratio(const Draws& draws, std::span<const double> errors,
               std::span<const double> references) {
  if (draws.complete) {
    const double error = std::accumulate(errors.begin(), errors.end(), 0.0);
    const double reference = std::accumulate(references.begin(), references.end(), 0.0);
    return {error == 0 ? 0 : error / reference, 0};
  }
  std::vector<DrawMeans> means;
  DrawMeans total;
  for (const auto& rows : draws.rows) {
    means.push_back(means_of(rows, errors, references));
    total.error += means.back().error;
    total.reference += means.back().reference;
  }
  if (total.error == 0) return {};
  const double value = total.error / total.reference;
  double squares = 0;
  for (const DrawMeans& draw : means) {
    const double residual = draw.error - value * draw.reference;
    squares += residual * residual;
  }
  const auto n = static_cast<double>(means.size());
  const double variance = n > 1 ? n / (n - 1) * squares / (total.reference * total.reference) : 0;
  return {value, std::sqrt(variance)};
}

}  // namespace

Estimate relative_l2(const Draws& draws, std::span<const double> error_squares,
                     std::span<const double> reference_squares) {
  const Estimate squared = ratio(draws, error_squares, reference_squares);
  const double value = std::sqrt(squared.value);
  return {value, value > 0 ? squared.standard_error / (2 * value) : 0};
}

Estimate cosine(const Draws& draws, std::span<const double> products,
                std::span<const double> a_squares, std::span<const double> b_squares) {
  const std::array<std::span<const double>, 3> values{products, a_squares, b_squares};
  std::vector<std::array<double, 3>> means;
  std::array<double, 3> total{};
  for (const auto& rows : draws.rows) {
    auto& draw = means.emplace_back();
    for (std::size_t i = 0; i < values.size(); ++i) {
      for (const std::size_t row : rows) draw[i] += values[i][row];
      if (!draws.complete) draw[i] /= static_cast<double>(rows.size());
      total[i] += draw[i];
    }
  }
  if (total[1] == 0 && total[2] == 0) return {1, 0};
  if (total[1] == 0 || total[2] == 0) return {0, 0};
  const double value = total[0] / std::sqrt(total[1] * total[2]);
  const auto n = static_cast<double>(means.size());
  if (draws.complete || n < 2) return {value, 0};
  const double norm = std::sqrt(total[1] * total[2]);
  double squares = 0;
  for (const auto& draw : means) {
    const double residual = draw[0] / norm - value * (draw[1] / total[1] + draw[2] / total[2]) / 2;
    squares += residual * residual;
  }
  return {value, std::sqrt(n / (n - 1) * squares)};
}

Estimate mean(const Draws& draws, std::span<const double> values) {
  const std::vector<double> ones(values.size(), 1.0);
  return ratio(draws, values, ones);
}

double half_width(const Draws& draws, const Estimate& estimate) {
  if (draws.complete || draws.rows.size() < 2) return 0;
  return student_t95(static_cast<int>(draws.rows.size()) - 1) * estimate.standard_error;
}

}  // namespace karat::statistics
