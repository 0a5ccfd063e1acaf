// Sums in ascending order, in the arithmetic that the recipe names.
#include "pooled.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::attention {
namespace {

float to_bf16(float x) {
  const numerics::Policy policy{.overflow = numerics::Overflow::infinity};
  return numerics::decode(numerics::encode(x, numerics::FormatId::bf16, policy),
                          numerics::FormatId::bf16);
}

template <typename Sum>
std::vector<Sum> sums(std::span<const float> rows, std::size_t channels, video::Range range) {
  std::vector<Sum> sum(channels, 0);
  for (std::int64_t i = range.begin; i < range.end; ++i)
    for (std::size_t j = 0; j < channels; ++j) sum[j] += rows[i * channels + j];
  return sum;
}

double or_least(double x) { return std::isnan(x) ? -std::numeric_limits<double>::infinity() : x; }

}  // namespace

std::vector<double> range_means(std::span<const float> rows, std::size_t channels,
                                std::span<const video::Range> ranges, recipe::Means means,
                                int threads) {
  std::vector<double> all(ranges.size() * channels);
  numerics::parallel_for(ranges.size(), threads, [&](std::size_t r, int) {
    const video::Range range = ranges[r];
    double* mean = &all[r * channels];
    if (means == recipe::Means::f64) {
      for (const double sum : sums<double>(rows, channels, range))
        *mean++ = sum / static_cast<double>(range.size());
    } else {
      for (const float sum : sums<float>(rows, channels, range))
        *mean++ = to_bf16(sum / static_cast<float>(range.size()));
    }
  });
  return all;
}

std::vector<double> mean_scores(std::span<const double> q, std::span<const double> k,
                                std::size_t channels, recipe::MeanScores scores, int threads) {
  const std::size_t rows = q.size() / channels, columns = k.size() / channels;
  std::vector<double> made(rows * columns);
  const double root = std::sqrt(static_cast<double>(channels));
  if (scores == recipe::MeanScores::f64) {
    numerics::parallel_for(rows, threads, [&](std::size_t i, int) {
      for (std::size_t j = 0; j < columns; ++j) {
        double dot = 0;
        for (std::size_t c = 0; c < channels; ++c) dot += q[i * channels + c] * k[j * channels + c];
        made[i * columns + j] = or_least(dot / root);
      }
    });
    return made;
  }
  const std::vector<float> narrow_q(q.begin(), q.end()), narrow_k(k.begin(), k.end());
  const auto& fma = numerics::instruction("f32.fma");
  numerics::ColumnOperand right;
  right.pack(fma, numerics::row_major(narrow_k.data(), columns, channels));
  const auto scale = static_cast<float>(1 / root);
  const bool rounded = scores == recipe::MeanScores::bf16;
  constexpr std::size_t kRows = 16;
  numerics::parallel_for((rows + kRows - 1) / kRows, threads, [&](std::size_t band, int) {
    const std::size_t first = band * kRows, count = std::min(kRows, rows - first);
    numerics::RowOperand left;
    left.pack(fma, numerics::row_major(&narrow_q[first * channels], count, channels));
    std::vector<float> dots(count * columns);
    numerics::chain(fma, left, right, numerics::Start::absent,
                    numerics::row_major(dots.data(), count, columns));
    for (std::size_t e = 0; e < dots.size(); ++e)
      made[first * columns + e] =
          or_least(rounded ? to_bf16(to_bf16(dots[e]) * scale) : dots[e] * scale);
  });
  return made;
}

}  // namespace karat::attention
