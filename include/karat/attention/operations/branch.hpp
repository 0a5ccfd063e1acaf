// The operations of a second branch, each written once; what they are made of (kernel values,
// intervals, kernels that sum in another order) is a parameter.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::attention {

/// body(begin, end) for pieces of [0, count), on the threads that `with` has: threads(), else one.
template <typename With, typename Body>
void for_pieces(const With& with, std::size_t count, const Body& body) {
  constexpr std::size_t kPiece = 1024;
  if constexpr (requires { with.threads(); })
    numerics::parallel_for((count + kPiece - 1) / kPiece, with.threads(), [&](std::size_t i, int) {
      body(i * kPiece, std::min(count, (i + 1) * kPiece));
    });
  else
    body(std::size_t{0}, count);
}

/// The transposed matrix.
template <typename With, typename Matrix>
typename With::Values transposed(const With& with, const Matrix& x, std::size_t width) {
  const std::size_t rows = x.size() / width;
  typename With::Values turned(x.size());
  for_pieces(with, rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t j = 0; j < width; ++j)
      for (std::size_t i = begin; i < end; ++i) turned[j * rows + i] = x[i * width + j];
  });
  return turned;
}

/// SLA's linear attention, tokens x channels (attention/branch.hpp says the formulas).
///
/// `With` may have threads(), which element-wise loops then run on; it gives Values, a vector of
/// one value an element, and
///   softmax(Values&, width)     each row becomes its softmax, cast
///   products(a, b, terms)       row i of a times row j of b, cast: rows of a x rows of b
///   sums(rows, width)           of each row, cast
///   means(rows, width, ranges)  of each range's rows, cast
///   add(a, b), multiply(a, b), divide(a, b)  of two values, rounded to f32
///   cast(Values&)               to the branch's type
template <typename With>
typename With::Values linear_branch(const With& with, const HeadInput& input, std::size_t channels,
                                    float epsilon) {
  using Rows = typename With::Values;
  const std::size_t tokens = input.k.size() / channels;
  Rows q(input.q.begin(), input.q.end()), k(input.k.begin(), input.k.end());
  with.softmax(q, channels);
  with.softmax(k, channels);
  const Rows features = transposed(with, k, channels);
  // Row j holds KV_ij for every i.
  const Rows kv = with.products(transposed(with, input.v, channels), features, tokens);
  const Rows z = with.sums(features, tokens);
  Rows rows = with.products(q, kv, channels), below = with.products(q, z, channels);
  for (auto& x : below) x = with.add(epsilon, x);
  with.cast(below);
  for_pieces(with, rows.size(), [&](std::size_t begin, std::size_t end) {
    for (std::size_t e = begin; e < end; ++e) rows[e] = with.divide(rows[e], below[e / channels]);
  });
  with.cast(rows);
  return rows;
}

/// VSA's attention between means: a row for each range of queries.
template <typename With>
typename With::Values coarse_rows(const With& with, const layout::Layout& layout,
                                  const HeadInput& input) {
  using Rows = typename With::Values;
  const std::size_t channels = layout.channels;
  const std::vector<std::int32_t>& token_at = layout.order.token_at;
  const auto means = [&](std::span<const float> values, const std::vector<video::Range>& ranges) {
    std::vector<float> rows(token_at.size() * channels, 0.0f);
    for (std::size_t at = 0; at < token_at.size(); ++at)
      if (token_at[at] >= 0)
        std::copy_n(&values[token_at[at] * channels], channels, &rows[at * channels]);
    return with.means(rows, channels, ranges);
  };
  const Rows q = means(input.q, layout.means.queries), k = means(input.k, layout.means.keys);
  Rows p = with.products(q, k, channels);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(channels)));
  for (auto& x : p) x = with.multiply(x, scale);
  with.cast(p);
  with.softmax(p, layout.means.keys.size());
  return with.products(p, transposed(with, means(input.v, layout.means.keys), channels),
                       layout.means.keys.size());
}

/// The branch of every token, original order: tokens x channels; nothing where there is none.
template <typename With>
typename With::Values branch_rows(const With& with, const recipe::Branch& branch,
                                  const layout::Layout& layout, const HeadInput& input) {
  const std::size_t channels = layout.channels;
  if (branch.kind == recipe::BranchKind::none) return {};
  if (branch.kind == recipe::BranchKind::linear)
    return linear_branch(with, input, channels, branch.epsilon);
  const auto of_range = coarse_rows(with, layout, input);
  typename With::Values rows(static_cast<std::size_t>(layout.order.tokens()) * channels);
  for (std::size_t r = 0; r < layout.means.queries.size(); ++r)
    for (std::int64_t at = layout.means.queries[r].begin; at < layout.means.queries[r].end; ++at)
      std::copy_n(&of_range[r * channels], channels, &rows[layout.order.token_at[at] * channels]);
  return rows;
}

}  // namespace karat::attention
