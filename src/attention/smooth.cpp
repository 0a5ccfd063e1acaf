// Means by exact sums, so that no order of tokens shows in them.
#include "smooth.hpp"

#include <cmath>

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
