// Rows by position; means by exact sums, so that no order of tokens shows in them.
#include "smooth.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/round_to_odd.hpp"
#include "karat/numerics/tensor_core/exact_accumulator.hpp"

namespace karat::attention {
namespace {

constexpr numerics::Policy kCast{.overflow = numerics::Overflow::infinity};
/// Channels that one worker takes at a time.
constexpr std::size_t kChannels = 16;

bool stays_f32(const recipe::Operand& rule, numerics::FormatId input_format) {
  return rule.smooth_mean == recipe::SmoothMean::f32 || input_format == numerics::FormatId::f32;
}

float to_type(float x, const recipe::Operand& rule, numerics::FormatId input_format) {
  if (stays_f32(rule, input_format)) return x;
  return numerics::decode(numerics::encode(x, input_format, kCast), input_format);
}

/// to_type() of a row, in place.
void to_type(std::span<float> row, const recipe::Operand& rule, numerics::FormatId input_format,
             std::vector<std::uint16_t>& codes) {
  if (stays_f32(rule, input_format)) return;
  if (numerics::format(input_format).bits > 16) {
    for (float& x : row) x = to_type(x, rule, input_format);
    return;
  }
  codes.resize(row.size());
  numerics::encode(row, codes, input_format, kCast);
  numerics::decode(codes, row, input_format);
}

}  // namespace

void require_values(const HeadInput& input, std::int64_t tokens, std::size_t channels) {
  const std::size_t expected = static_cast<std::size_t>(tokens) * channels;
  for (const auto& [name, values] : {std::pair{"q", input.q}, {"k", input.k}, {"v", input.v}})
    if (values.size() != expected)
      throw Error(ErrorKind::usage, name,
                  std::to_string(values.size()) + " values where the setting has " +
                      std::to_string(expected),
                  "give tokens x channels values");
}

std::vector<float> ordered_rows(std::span<const float> values, std::size_t channels,
                                std::span<const std::int32_t> token_at, std::size_t width,
                                int threads) {
  std::vector<float> rows(token_at.size() * width, 0.0f);
  for_row_bands(token_at.size(), threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      if (token_at[i] >= 0)
        std::copy_n(&values[token_at[i] * channels], channels, &rows[i * width]);
  });
  return rows;
}

std::vector<float> subtract_mean(std::span<float> rows, video::Range range,
                                 const video::TokenOrder& order, std::size_t channels,
                                 const recipe::Operand& rule, numerics::FormatId input_format,
                                 int threads) {
  std::vector<float*> tokens;
  for (std::int64_t i = range.begin; i < range.end; ++i)
    if (order.token_at[i] >= 0) tokens.push_back(&rows[i * channels]);
  std::vector<float> means(channels, 0.0f);
  if (tokens.empty()) return means;
  const auto count = static_cast<double>(tokens.size());
  numerics::parallel_for((channels + kChannels - 1) / kChannels, threads, [&](std::size_t c, int) {
    const std::size_t first = c * kChannels, last = std::min(channels, first + kChannels);
    std::vector<numerics::ExactAccumulator> sums(last - first);
    for (const float* row : tokens)
      for (std::size_t j = first; j < last; ++j) sums[j - first].add(row[j]);
    for (std::size_t j = first; j < last; ++j) {
      const double mean = sums[j - first].to_f64() / count;
      means[j] = stays_f32(rule, input_format)
                     ? static_cast<float>(mean)
                     : to_type(numerics::round_to_odd(mean), rule, input_format);
    }
  });
  for_row_bands(tokens.size(), threads, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint16_t> codes;
    for (std::size_t i = begin; i < end; ++i) {
      float* row = tokens[i];
      for (std::size_t j = 0; j < channels; ++j) row[j] -= means[j];
      to_type({row, channels}, rule, input_format, codes);
    }
  });
  return means;
}

}  // namespace karat::attention
