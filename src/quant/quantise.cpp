// Groups' largest values, and codes by their scales.
#include "karat/quant/quantise.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <mutex>
#include <string>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::quant {
namespace {

using numerics::FormatId;
constexpr auto flush = numerics::flush_subnormal;

/// Rows that one worker takes at a time.
constexpr std::size_t kRows = 256;

/// body(first row, end) over all rows, some at a time.
void for_rows(std::size_t rows, int threads,
              const std::function<void(std::size_t, std::size_t)>& body) {
  numerics::parallel_for((rows + kRows - 1) / kRows, threads, [&](std::size_t item, int) {
    body(item * kRows, std::min(rows, (item + 1) * kRows));
  });
}

/// |x| as bits, which are in order as the numbers are; 0 for NaN, which no maximum is.
std::int32_t magnitude(float x) {
  const std::int32_t bits = std::bit_cast<std::int32_t>(x) & 0x7FFFFFFF;
  return bits & -(bits <= 0x7F800000);
}

/// The larger of `most` and |x| over `count` elements, by loops that compilers vectorise.
void raise(const float* x, std::size_t count, std::size_t stride, std::int32_t& most) {
  if (stride == 1)
    for (std::size_t j = 0; j < count; ++j) most = std::max(most, magnitude(x[j]));
  else
    for (std::size_t j = 0; j < count; ++j) most = std::max(most, magnitude(x[j * stride]));
}
/// The same column by column.
void raise_each(const float* x, std::size_t count, std::size_t stride, std::int32_t* most) {
  if (stride == 1)
    for (std::size_t j = 0; j < count; ++j) most[j] = std::max(most[j], magnitude(x[j]));
  else
    for (std::size_t j = 0; j < count; ++j) most[j] = std::max(most[j], magnitude(x[j * stride]));
}

/// Exact maximum of |x| per group, and of grouping.beyond.
std::vector<float> group_maxima(numerics::MatrixView<const float> x, const Grouping& grouping,
                                int threads) {
  const auto width = static_cast<std::size_t>(std::max(grouping.width, 1));
  std::vector<float> maxima(grouping.count(), grouping.beyond);
  if (maxima.empty()) return maxima;
  std::mutex mutex;
  for_rows(x.rows, threads, [&](std::size_t first, std::size_t end) {
    const auto group_of = [&](std::size_t row) {
      return static_cast<std::size_t>(grouping.group(row, 0));
    };
    // Rows of one group follow each other more often than not: one line of maxima for them.
    const auto channels = static_cast<std::size_t>(grouping.channels);
    std::vector<std::int32_t> most(std::max<std::size_t>(channels, 1));
    for (std::size_t i = first, next; i < end; i = next) {
      std::ranges::fill(most, 0);
      for (next = i; next < end && group_of(next) == group_of(i); ++next) {
        const float* row = x.data + next * x.row_stride;
        if (channels <= 1)
          raise(row, x.columns, x.column_stride, most[0]);
        else if (width == 1)
          raise_each(row, x.columns, x.column_stride, most.data());
        else
          for (std::size_t j = 0; j < x.columns; j += width)
            raise(row + j * x.column_stride, std::min(width, x.columns - j), x.column_stride,
                  most[j / width]);
      }
      const std::lock_guard lock(mutex);
      float* amax = &maxima[group_of(i)];
      for (std::size_t g = 0; g < most.size(); ++g)
        amax[g] = std::max(amax[g], std::bit_cast<float>(most[g]));
    }
  });
  return maxima;
}

void scale_elements(const float* x, std::size_t count, std::size_t stride, const CodeStep& step,
                    float* scaled) {
  if (step.divide)
    for (std::size_t j = 0; j < count; ++j) scaled[j] = flush(x[j * stride] / step.operand);
  else
    for (std::size_t j = 0; j < count; ++j) scaled[j] = flush(x[j * stride] * step.operand);
}

/// What is rounded to codes.
void scale_row(numerics::MatrixView<const float> x, std::size_t row, const Grouping& grouping,
               std::span<const CodeStep> steps, float* scaled) {
  const CodeStep* step = &steps[grouping.group(row, 0)];
  const float* from = x.data + row * x.row_stride;
  const auto width = static_cast<std::size_t>(std::max(grouping.width, 1));
  if (grouping.channels <= 1 || width > 1) {
    const std::size_t size = grouping.channels <= 1 ? x.columns : width;
    for (std::size_t j = 0; j < x.columns; j += size)
      scale_elements(from + j * x.column_stride, std::min(size, x.columns - j), x.column_stride,
                     step[j / size], scaled + j);
    return;
  }
  // A step for each channel, all of one kind: the rule's.
  const bool divides = step[0].divide;
  for (std::size_t j = 0; j < x.columns; ++j) {
    const float value = from[j * x.column_stride];
    scaled[j] = flush(divides ? value / step[j].operand : value * step[j].operand);
  }
}

/// Codes of x, and their values. Element e of stochastic rounding draws word `first` + e.
void encode(std::span<const float> x, FormatId format, numerics::Policy policy, numerics::Path path,
            numerics::RandomStream random, std::span<std::uint8_t> codes, std::span<float> values) {
  if (path == numerics::Path::fast) {
    numerics::encode(x, codes, format, policy, random);
    return numerics::decode(codes, values, format);
  }
  const bool stochastic = policy.rounding == numerics::Rounding::stochastic;
  for (std::size_t e = 0; e < x.size(); ++e) {
    const std::uint32_t word =
        stochastic ? numerics::random_bits(0, random.stream, random.first + e) : 0;
    codes[e] = static_cast<std::uint8_t>(numerics::encode(x[e], format, policy, word));
    values[e] = numerics::decode(codes[e], format);
  }
}

void quantise_rows(numerics::MatrixView<const float> x, std::size_t first, std::size_t end,
                   const Rule& rule, std::span<const CodeStep> steps, numerics::Path path,
                   std::uint64_t stream, Quantised& out) {
  constexpr std::size_t kTogether = 16;  // rows that stay in the first-level cache
  const std::size_t n = x.columns;
  if (n == 0) return;  // nor are there groups
  std::vector<float> scaled(kTogether * n);
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  for (std::size_t i = first; i < end; i += kTogether) {
    const std::size_t rows = std::min(kTogether, end - i);
    for (std::size_t r = 0; r < rows; ++r)
      scale_row(x, i + r, out.grouping, steps, scaled.data() + r * n);
    encode(std::span(scaled).first(rows * n), rule.format, policy, path,
           {.stream = stream, .first = i * n}, {out.codes.data() + i * n, rows * n},
           {out.values.data() + i * n, rows * n});
  }
}

/// Values of a format without scales, through codes of 16 bits where it has them.
void cast_rows(numerics::MatrixView<const float> x, std::size_t first, std::size_t end,
               const Rule& rule, numerics::Path path, std::uint64_t stream, Quantised& out) {
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  const bool short_codes = numerics::format(rule.format).bits <= 16;
  std::vector<std::uint16_t> codes(x.columns);
  for (std::size_t i = first; i < end; ++i) {
    const std::span values(out.values.data() + i * x.columns, x.columns);
    for (std::size_t j = 0; j < x.columns; ++j) values[j] = x(i, j);
    if (rule.format == FormatId::f32) continue;
    if (path == numerics::Path::fast && short_codes) {
      numerics::encode(values, codes, rule.format, policy,
                       {.stream = stream, .first = i * x.columns});
      numerics::decode(codes, values, rule.format);
      continue;
    }
    for (std::size_t j = 0; j < x.columns; ++j) {
      const std::uint32_t random =
          stochastic ? numerics::random_bits(0, stream, i * x.columns + j) : 0;
      values[j] =
          numerics::decode(numerics::encode(values[j], rule.format, policy, random), rule.format);
    }
  }
}

Quantised cast(numerics::MatrixView<const float> x, const Rule& rule, Grouping grouping,
               numerics::Path path, int threads, std::uint64_t stream) {
  Quantised out{.format = rule.format,
                .rows = x.rows,
                .channels = x.columns,
                .values = std::vector<float>(x.rows * x.columns),
                .codes = {},
                .scales = {},
                .grouping = std::move(grouping)};
  for_rows(x.rows, threads, [&](std::size_t first, std::size_t end) {
    cast_rows(x, first, end, rule, path, stream, out);
  });
  return out;
}

/// Values become RN(fl(code*scale)) in BF16; codes and scales go.
void dequantise(Quantised& x) {
  std::vector<std::uint16_t> codes(x.channels);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const std::span values(x.values.data() + i * x.channels, x.channels);
    for (std::size_t j = 0; j < x.channels; ++j) values[j] = flush(values[j] * x.scale(i, j));
    numerics::encode(values, codes, FormatId::bf16, cast_policy(FormatId::bf16));
    numerics::decode(codes, values, FormatId::bf16);
  }
  x.format = FormatId::bf16;
  x.codes.clear();
  x.scales.clear();
}

}  // namespace

bool has_scale(FormatId format) {
  return format != FormatId::f32 && format != FormatId::f16 && format != FormatId::bf16 &&
         format != FormatId::tf32;
}

float largest_finite(FormatId format) {
  return numerics::decode(numerics::format(format).max_finite(), format);
}

numerics::Policy cast_policy(FormatId format, numerics::Rounding rounding) {
  return {.rounding = rounding, .overflow = usual_overflow(format)};
}

bool leaves_scales(const Rule& rule) {
  return has_scale(rule.format) && rule.enters == Enters::codes;
}

FormatId entering_format(const Rule& rule) {
  return has_scale(rule.format) && rule.enters == Enters::bf16 ? FormatId::bf16 : rule.format;
}

Quantised quantise(numerics::MatrixView<const float> x, const Rule& rule, Grouping grouping,
                   numerics::Path path, int threads, std::uint64_t stream) {
  if (!has_scale(rule.format)) return cast(x, rule, std::move(grouping), path, threads, stream);
  Quantised out{.format = rule.format,
                .rows = x.rows,
                .channels = x.columns,
                .values = std::vector<float>(x.rows * x.columns),
                .codes = std::vector<std::uint8_t>(x.rows * x.columns),
                .scales = {},
                .grouping = std::move(grouping)};
  const std::vector<float> maxima = group_maxima(x, out.grouping, threads);
  std::vector<CodeStep> steps;
  for (const float amax : maxima) {
    out.scales.push_back(scale_of(amax, rule));
    steps.push_back(code_step(amax, out.scales.back(), rule));
  }
  for_rows(x.rows, threads, [&](std::size_t first, std::size_t end) {
    quantise_rows(x, first, end, rule, steps, path, stream, out);
  });
  if (rule.enters == Enters::bf16) dequantise(out);
  return out;
}

std::vector<std::uint8_t> saturates(numerics::MatrixView<const float> x, const Rule& rule,
                                    const Grouping& grouping) {
  const float largest = largest_finite(rule.format);
  std::vector<std::uint8_t> beyond(x.rows * x.columns);
  std::vector<CodeStep> steps;
  if (has_scale(rule.format))
    for (const float amax : group_maxima(x, grouping, 1))
      steps.push_back(code_step(amax, scale_of(amax, rule), rule));
  std::vector<float> scaled(x.columns);
  for (std::size_t i = 0; i < x.rows; ++i) {
    if (!steps.empty()) scale_row(x, i, grouping, steps, scaled.data());
    for (std::size_t j = 0; j < x.columns; ++j)
      beyond[i * x.columns + j] = std::abs(steps.empty() ? x(i, j) : scaled[j]) > largest;
  }
  return beyond;
}

Quantised from_codes(std::span<const std::uint8_t> codes, std::span<const float> scales,
                     std::size_t rows, std::size_t channels, FormatId format, Grouping grouping) {
  if (codes.size() != rows * channels)
    throw Error(ErrorKind::usage, "codes",
                std::to_string(codes.size()) + " codes for " + std::to_string(rows) + " x " +
                    std::to_string(channels) + " values",
                "give one code per token and channel");
  if (scales.size() != static_cast<std::size_t>(grouping.count()))
    throw Error(ErrorKind::usage, "scales",
                std::to_string(scales.size()) + " scales for " + std::to_string(grouping.count()) +
                    " groups",
                "give one scale per group of the recipe");
  Quantised out{.format = format,
                .rows = rows,
                .channels = channels,
                .values = std::vector<float>(codes.size()),
                .codes = {codes.begin(), codes.end()},
                .scales = {scales.begin(), scales.end()},
                .grouping = std::move(grouping)};
  for (std::size_t i = 0; i < codes.size(); ++i) out.values[i] = numerics::decode(codes[i], format);
  return out;
}

}  // namespace karat::quant
