// amax -> scale -> code, in the order of arithmetic that docs/recipes states.
#include "karat/quant/quantise.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
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

float code_limit(const Rule& rule) {
  return rule.limit > 0 ? rule.limit : largest_finite(rule.format);
}

float guarded(float amax, const Rule& rule) {
  if (rule.guard == Guard::floor_1e_7) return std::max(amax, 1e-7f);
  if (rule.guard == Guard::floor_1e_4) return std::max(amax, 1e-4f);
  return amax;
}

float rounded(float x, FormatId format) {
  return numerics::decode(numerics::encode(x, format, cast_policy(format)), format);
}

/// 2^floor(log2 x) of a positive number.
float power_below(float x) { return std::ldexp(1.0f, std::ilogb(x)); }

/// The scale before guard `one` and the scale format. 0 where it is too small for FP32.
float scale_before_rounding(float amax, const Rule& rule) {
  const float limit = code_limit(rule);
  amax = guarded(amax, rule);
  switch (rule.scale_rule) {
    case ScaleRule::divide:
      return flush(amax / limit);
    case ScaleRule::multiply:
      return flush(amax * flush(1.0f / limit));
    case ScaleRule::given:
      return flush(1.0f / rule.multiplier);
    case ScaleRule::exponent:
      break;
  }
  if (amax == 0.0f || std::isinf(amax)) return amax;
  return flush(power_below(amax) / power_below(limit));
}

float to_scale_format(float s, ScaleFormat format) {
  switch (format) {
    case ScaleFormat::f32:
      return s;
    case ScaleFormat::bf16:
      return rounded(s, FormatId::bf16);
    case ScaleFormat::e4m3:
      return rounded(s, FormatId::e4m3);
    case ScaleFormat::ue8m0_up:
    case ScaleFormat::ue8m0_nearest:
    case ScaleFormat::ue8m0_floor:
      break;
  }
  int exponent;
  const float fraction =
      std::frexp(s, &exponent);  // s = fraction * 2^exponent, fraction in [0.5, 1)
  exponent -= 1;                 // s in [2^exponent, 2^(exponent+1))
  const float significand = 2 * fraction;
  if (format == ScaleFormat::ue8m0_up && significand > 1.0f) ++exponent;
  if (format == ScaleFormat::ue8m0_nearest && significand >= 1.5f) ++exponent;
  return std::ldexp(1.0f, std::clamp(exponent, -127, 127));
}

/// Exact maximum of |x| per group.
std::vector<float> group_maxima(numerics::MatrixView<const float> x, const Grouping& grouping) {
  std::vector<float> maxima(grouping.count(), grouping.beyond);
  for (std::size_t i = 0; i < x.rows; ++i) {
    float* row = &maxima[grouping.group(i, 0)];
    if (grouping.channels > 1) {
      for (std::size_t j = 0; j < x.columns; ++j) {
        float& amax = row[j / grouping.width];
        amax = std::max(amax, std::abs(x(i, j)));
      }
    } else {
      for (std::size_t j = 0; j < x.columns; ++j) *row = std::max(*row, std::abs(x(i, j)));
    }
  }
  return maxima;
}

/// What is rounded to codes.
void scale_row(numerics::MatrixView<const float> x, std::size_t row, const Grouping& grouping,
               std::span<const CodeStep> steps, std::span<float> scaled) {
  const CodeStep* step = &steps[grouping.group(row, 0)];
  const bool several = grouping.channels > 1;
  for (std::size_t j = 0; j < x.columns; ++j) {
    const CodeStep& s = step[several ? j / grouping.width : 0];
    scaled[j] = flush(s.divide ? x(row, j) / s.operand : x(row, j) * s.operand);
  }
}

void quantise_row(numerics::MatrixView<const float> x, std::size_t row, const Rule& rule,
                  std::span<const CodeStep> steps, numerics::Path path, std::uint64_t stream,
                  std::span<float> scaled, Quantised& out) {
  const std::size_t n = x.columns;
  scale_row(x, row, out.grouping, steps, scaled);
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  const std::span codes(out.codes.data() + row * n, n);
  const std::span values(out.values.data() + row * n, n);
  if (path == numerics::Path::fast) {
    numerics::encode(scaled, codes, rule.format, policy, {.stream = stream, .first = row * n});
    numerics::decode(codes, values, rule.format);
    return;
  }
  for (std::size_t j = 0; j < n; ++j) {
    const std::uint32_t random = stochastic ? numerics::random_bits(0, stream, row * n + j) : 0;
    codes[j] = static_cast<std::uint8_t>(numerics::encode(scaled[j], rule.format, policy, random));
    values[j] = numerics::decode(codes[j], rule.format);
  }
}

Quantised cast(numerics::MatrixView<const float> x, const Rule& rule, Grouping grouping,
               std::uint64_t stream) {
  Quantised out{.format = rule.format,
                .rows = x.rows,
                .channels = x.columns,
                .values = std::vector<float>(x.rows * x.columns),
                .codes = {},
                .scales = {},
                .grouping = std::move(grouping)};
  const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
  const bool stochastic = rule.rounding == numerics::Rounding::stochastic;
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.columns; ++j) {
      const std::size_t e = i * x.columns + j;
      const std::uint32_t random = stochastic ? numerics::random_bits(0, stream, e) : 0;
      out.values[e] = rule.format == FormatId::f32
                          ? x(i, j)
                          : numerics::decode(numerics::encode(x(i, j), rule.format, policy, random),
                                             rule.format);
    }
  return out;
}

/// Values become RN(fl(code*scale)) in BF16; codes and scales go.
void dequantise(Quantised& x) {
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.channels; ++j) {
      float& value = x.values[i * x.channels + j];
      value = rounded(flush(value * x.scale(i, j)), FormatId::bf16);
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

float scale_of(float amax, const Rule& rule) {
  float s = scale_before_rounding(amax, rule);
  if (rule.scale_rule == ScaleRule::given) return s;
  if (rule.guard == Guard::add_1e_7) s = flush(s + 1e-7f);
  if (s == 0.0f) return 1.0f;
  s = to_scale_format(s, rule.scale);
  return s == 0.0f ? 1.0f : s;  // too small for E4M3
}

CodeStep code_step(float amax, float scale, const Rule& rule) {
  if (rule.scale_rule == ScaleRule::given) return {false, rule.multiplier};
  switch (rule.code_rule) {
    case CodeRule::divide:
      return {true, scale};
    case CodeRule::reciprocal:
      return {false, flush(1.0f / scale)};
    case CodeRule::inverse_scale:
      break;
  }
  // The factor of a group whose scale became 1 is that of the scale.
  if (scale_before_rounding(amax, rule) == 0.0f) return {false, 1.0f};
  return {false, flush(code_limit(rule) / guarded(amax, rule))};
}

Quantised quantise(numerics::MatrixView<const float> x, const Rule& rule, Grouping grouping,
                   numerics::Path path, int threads, std::uint64_t stream) {
  if (!has_scale(rule.format)) return cast(x, rule, std::move(grouping), stream);
  Quantised out{.format = rule.format,
                .rows = x.rows,
                .channels = x.columns,
                .values = std::vector<float>(x.rows * x.columns),
                .codes = std::vector<std::uint8_t>(x.rows * x.columns),
                .scales = {},
                .grouping = std::move(grouping)};
  const std::vector<float> maxima = group_maxima(x, out.grouping);
  std::vector<CodeStep> steps;
  for (const float amax : maxima) {
    out.scales.push_back(scale_of(amax, rule));
    steps.push_back(code_step(amax, out.scales.back(), rule));
  }
  constexpr std::size_t kRows = 256;  // rows per work item
  const std::size_t items = (x.rows + kRows - 1) / kRows;
  numerics::parallel_for(items, threads, [&](std::size_t item, int) {
    std::vector<float> scaled(x.columns);
    for (std::size_t i = item * kRows; i < std::min(x.rows, (item + 1) * kRows); ++i)
      quantise_row(x, i, rule, steps, path, stream, scaled, out);
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
    for (const float amax : group_maxima(x, grouping))
      steps.push_back(code_step(amax, scale_of(amax, rule), rule));
  std::vector<float> scaled(x.columns);
  for (std::size_t i = 0; i < x.rows; ++i) {
    if (!steps.empty()) scale_row(x, i, grouping, steps, scaled);
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
