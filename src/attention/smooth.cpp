// Rows by position; means by exact sums, so that no order of tokens shows in them.
#include "smooth.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/round_to_odd.hpp"
#include "karat/numerics/tensor_core/exact_accumulator.hpp"

namespace karat::attention {
namespace {

bool stays_f32(const recipe::Operand& rule, numerics::FormatId input_format) {
  return rule.smooth_mean == recipe::SmoothMean::f32 || input_format == numerics::FormatId::f32;
}

float to_type(float x, const recipe::Operand& rule, numerics::FormatId input_format) {
  if (stays_f32(rule, input_format)) return x;
  const numerics::Policy policy{.overflow = numerics::Overflow::infinity};
  return numerics::decode(numerics::encode(x, input_format, policy), input_format);
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
                                std::span<const std::int32_t> token_at, std::size_t width) {
  std::vector<float> rows(token_at.size() * width, 0.0f);
  for (std::size_t i = 0; i < token_at.size(); ++i)
    if (token_at[i] >= 0) std::copy_n(&values[token_at[i] * channels], channels, &rows[i * width]);
  return rows;
}

std::vector<float> subtract_mean(std::span<float> rows, video::Range range,
                                 const video::TokenOrder& order, std::size_t channels,
                                 const recipe::Operand& rule, numerics::FormatId input_format) {
  std::vector<numerics::ExactAccumulator> sums(channels);
  std::int64_t tokens = 0;
  const auto each_token = [&](auto&& visit) {
    for (std::int64_t i = range.begin; i < range.end; ++i)
      if (order.token_at[i] >= 0) visit(&rows[i * channels]);
  };
  each_token([&](const float* row) {
    ++tokens;
    for (std::size_t j = 0; j < channels; ++j) sums[j].add(row[j]);
  });
  std::vector<float> means(channels, 0.0f);
  if (tokens == 0) return means;
  for (std::size_t j = 0; j < channels; ++j) {
    const double mean = sums[j].to_f64() / static_cast<double>(tokens);
    means[j] = stays_f32(rule, input_format)
                   ? static_cast<float>(mean)
                   : to_type(numerics::round_to_odd(mean), rule, input_format);
  }
  each_token([&](float* row) {
    for (std::size_t j = 0; j < channels; ++j)
      row[j] = to_type(row[j] - means[j], rule, input_format);
  });
  return means;
}

}  // namespace karat::attention
