// The step from accumulators to outputs.
#include <algorithm>
#include <limits>

#include "karat/numerics/formats/convert.hpp"
#include "launch.hpp"
#include "fast/softmax_rows.hpp"

namespace karat::attention {
namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;
constexpr float kInf = std::numeric_limits<float>::infinity();

numerics::Policy cast_policy(numerics::FormatId format) {
  return quant::cast_policy(format, numerics::Rounding::nearest_even, numerics::Overflow::saturate);
}

float cast(float x, numerics::FormatId format) {
  if (format == numerics::FormatId::f32) return x;
  return numerics::decode(numerics::encode(x, format, cast_policy(format)), format);
}

/// `normalised` = fl(O*r), `factor` = fl(s_v/multiplier); `mean`: what smoothing took out of v.
float output_value(const Launch& launch, float normalised, float factor, const float* mean) {
  const recipe::Recipe& recipe = launch.recipe;
  if (recipe.finish.cast == recipe::Cast::after_scale) {
    const float value = launch.fp32.multiply(normalised, factor);
    return cast(mean == nullptr ? value : launch.fp32.add(value, *mean), recipe.output);
  }
  return cast(launch.fp32.multiply(cast(normalised, recipe.output), factor), output_format(recipe));
}

/// From the accumulators of one row to its outputs.
class OutputRow {
 public:
  OutputRow(const Launch& launch, video::Range queries)
      : launch_(launch), factor_(launch.channels + kPadding) {
    const recipe::P& p = launch.recipe.p;
    const float multiplier = p.apply == recipe::PApply::multiply ? p.multiplier : 1.0f;
    for (std::size_t j = 0; j < launch.channels; ++j) {
      const float s_v = launch.v_scaled_per_block ? 1.0f : launch.head.v.scale(queries.begin, j);
      factor_[j] = launch.fp32.round(static_cast<double>(s_v / multiplier));
    }
  }

  void by_elements(const float* o, float r, float* out) const {
    const std::vector<float>& mean = launch_.head.smoothed.v_mean;
    for (std::size_t j = 0; j < launch_.channels; ++j)
      out[j] = output_value(launch_, launch_.fp32.multiply(o[j], r), factor_[j],
                            mean.empty() ? nullptr : &mean[j]);
  }

  /// The same by array functions.
  void by_arrays(const float* o, float r, float* out) {
    const recipe::Recipe& recipe = launch_.recipe;
    const std::span<float> values(out, launch_.channels);
    multiply({o, values.size()}, r, recipe.subnormals, values);
    const bool scales_last = recipe.finish.cast == recipe::Cast::before_scale;
    if (scales_last) cast_row(values, recipe.output);
    multiply_columns({out, 1, values.size(), values.size()}, factor_, recipe.subnormals);
    const std::vector<float>& mean = launch_.head.smoothed.v_mean;
    if (!scales_last && !mean.empty()) add(values, mean, recipe.subnormals);
    cast_row(values, output_format(recipe));
  }

 private:
  void cast_row(std::span<float> x, numerics::FormatId format) {
    if (format == numerics::FormatId::f32) return;
    if (numerics::format(format).bits <= 8)
      cast_through(bytes_, x, format);
    else
      cast_through(words_, x, format);
  }
  template <typename Code>
  static void cast_through(std::vector<Code>& buffer, std::span<float> x,
                           numerics::FormatId format) {
    buffer.resize(x.size());
    const std::span<Code> codes(buffer);
    numerics::encode(x, codes, format, cast_policy(format));
    numerics::decode(codes, x, format);
  }

  const Launch& launch_;
  std::vector<float> factor_;  ///< fl(s_v/multiplier) per channel
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint16_t> words_;
};

/// (m + log2 l) * ln 2 in f64, what P's offset and k's smoothing changed put back, one rounding.
float log_sum_exp(const Launch& launch, std::int64_t position, float m, float l) {
  const recipe::Recipe& recipe = launch.recipe;
  const Fp32& fp = launch.fp32;
  double log2_sum = m;
  if (launch.fused) log2_sum = fp.multiply(m, launch.factor(position, 0));
  log2_sum += numerics::log2_f64(l);
  if (recipe.p.apply == recipe::PApply::exponent_offset) log2_sum -= recipe.p.offset;
  const auto& lost = launch.head.smoothed.q_dot_k_mean;
  if (!lost.empty())
    log2_sum += lost[position] * (kLog2E / std::sqrt(static_cast<double>(launch.channels)));
  return static_cast<float>(recipe.softmax.lse == recipe::Lse::log2 ? log2_sum : log2_sum * kLn2);
}

}  // namespace

numerics::FormatId output_format(const recipe::Recipe& recipe) {
  return recipe.finish.cast == recipe::Cast::before_scale ? numerics::FormatId::bf16
                                                          : recipe.output;
}

void finish(const Launch& launch, video::Range queries, const RowState& state, numerics::Path path,
            HeadResult& result) {
  const Fp32& fp = launch.fp32;
  const recipe::Recipe& recipe = launch.recipe;
  OutputRow row(launch, queries);
  for (std::int64_t i = 0; i < queries.size(); ++i) {
    const std::int32_t token = launch.layout.order.token_at[queries.begin + i];
    if (token < 0) continue;
    const float l = row_sum(launch, &state.partial[i * 4]);
    result.m[token] = state.m[i];
    result.l[token] = l;
    float* out = &result.o[token * launch.channels];
    if (l == 0.0f) {
      const bool nan = recipe.finish.fully_masked == recipe::FullyMasked::nan;
      std::fill_n(out, launch.channels, nan ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
      result.lse[token] = -kInf;
      continue;
    }
    const float r = fp.flushed(1.0f / l);
    const float* o = &state.o[i * launch.channels];
    if (path == numerics::Path::fast)
      row.by_arrays(o, r, out);
    else
      row.by_elements(o, r, out);
    result.lse[token] = log_sum_exp(launch, queries.begin + i, state.m[i], l);
  }
}

}  // namespace karat::attention
