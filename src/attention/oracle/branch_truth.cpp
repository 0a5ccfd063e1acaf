// The branches of attention/branch.hpp in f64, nothing rounded between the operations.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "karat/attention/branch.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "predict/pooled.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

double exp_f64(double x) { return numerics::exp2_f64(x * std::numbers::log2e); }

std::vector<double> softmax_of(std::vector<double> row) {
  const double largest = *std::ranges::max_element(row);
  double sum = 0;
  for (double& x : row) sum += x = exp_f64(x - largest);
  for (double& x : row) x /= sum;
  return row;
}

std::vector<double> row_of(std::span<const float> values, std::size_t token, std::size_t d) {
  return {values.begin() + token * d, values.begin() + (token + 1) * d};
}

/// KV and z of linear attention over all tokens.
struct LinearSums {
  std::vector<double> kv, z;
};
LinearSums linear_sums(const HeadInput& input, std::size_t d) {
  LinearSums sums{std::vector<double>(d * d, 0.0), std::vector<double>(d, 0.0)};
  for (std::size_t token = 0; token < input.k.size() / d; ++token) {
    const std::vector<double> phi = softmax_of(row_of(input.k, token, d));
    for (std::size_t i = 0; i < d; ++i) {
      sums.z[i] += phi[i];
      for (std::size_t j = 0; j < d; ++j) sums.kv[i * d + j] += phi[i] * input.v[token * d + j];
    }
  }
  return sums;
}

std::vector<double> linear_row(const LinearSums& sums, const HeadInput& input, std::size_t token,
                               std::size_t d, double epsilon) {
  const std::vector<double> phi = softmax_of(row_of(input.q, token, d));
  std::vector<double> out(d, 0.0);
  double below = epsilon;
  for (std::size_t i = 0; i < d; ++i) {
    below += phi[i] * sums.z[i];
    for (std::size_t j = 0; j < d; ++j) out[j] += phi[i] * sums.kv[i * d + j];
  }
  for (double& x : out) x /= below;
  return out;
}

}  // namespace

std::vector<double> branch_truth(const layout::Layout& layout, const HeadInput& input,
                                 std::span<const std::int32_t> tokens, int threads) {
  const recipe::Branch& branch = layout.branch;
  const std::size_t d = layout.channels;
  if (branch.kind == recipe::BranchKind::none) return {};
  std::vector<double> made(tokens.size() * d);
  const auto fill = [&](const auto& row_of_token) {
    numerics::parallel_for(tokens.size(), threads, [&](std::size_t i, int) {
      const std::vector<double> row = row_of_token(static_cast<std::size_t>(tokens[i]));
      for (std::size_t j = 0; j < d; ++j) made[i * d + j] = branch.weight * row[j];
    });
  };
  if (branch.kind == recipe::BranchKind::linear) {
    const LinearSums sums = linear_sums(input, d);
    fill([&](std::size_t token) {
      return linear_row(sums, input, token, d, double{branch.epsilon});
    });
    return made;
  }
  const auto means = [&](std::span<const float> values, const std::vector<video::Range>& of) {
    const std::vector<float> rows = ordered_rows(values, d, layout.order.token_at, d);
    return range_means(rows, d, of, recipe::Means::f64);
  };
  const std::vector<video::Range>&queries = layout.means.queries, &keys = layout.means.keys;
  const std::vector<double> q = means(input.q, queries), k = means(input.k, keys);
  const std::vector<double> v = means(input.v, keys);
  const std::vector<double> s = mean_scores(q, k, d, recipe::MeanScores::f64, threads);
  fill([&](std::size_t token) {
    const std::int64_t position = layout.order.position_of[token];
    const auto range = std::ranges::upper_bound(queries, position, {}, &video::Range::begin);
    const auto at = static_cast<std::size_t>(range - queries.begin()) - 1;
    const auto first = s.begin() + static_cast<std::ptrdiff_t>(at * keys.size());
    const std::vector<double> p =
        softmax_of({first, first + static_cast<std::ptrdiff_t>(keys.size())});
    std::vector<double> out(d, 0.0);
    for (std::size_t n = 0; n < keys.size(); ++n)
      for (std::size_t j = 0; j < d; ++j) out[j] += p[n] * v[n * d + j];
    return out;
  });
  return made;
}

}  // namespace karat::attention
