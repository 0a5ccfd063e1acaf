// From values to codes and scales, rounding by rounding as the rule says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/numerics/tensor_core/matrix_view.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/quant/rule.hpp"
#include "karat/video/token_order.hpp"

namespace karat::quant {

/// Which group each element belongs to: a row part, times the runs of channels where each has its
/// own.
struct Grouping {
  std::vector<std::int32_t> row_part;  ///< per position; empty: all 0
  std::int32_t row_parts = 1;
  std::int32_t channels = 1;  ///< groups side by side in a row
  std::int32_t width = 1;     ///< channels of each, where there are several
  float beyond = 0;           ///< largest magnitude outside these rows of what shares the scales

  std::int32_t count() const { return row_parts * channels; }
  std::int32_t group(std::size_t row, std::size_t channel) const {
    const std::int32_t part = row_part.empty() ? 0 : row_part[row];
    return channels == 1 ? part : part * channels + static_cast<std::int32_t>(channel) / width;
  }
};

/// Groups of `rule` over the positions of `order`; tiles are those of rule.tile on `grid`, whatever
/// the token order, and text behind the video is one more; groups of rows are counted from the
/// start of each of `blocks`. Padding positions join group 0 where groups follow tokens (their
/// values are zero).
Grouping group_positions(const Rule& rule, video::Extent3 grid, const video::TokenOrder& order,
                         std::span<const video::Range> blocks, std::size_t channels);

float largest_finite(numerics::FormatId format);

/// Policy of a cast whose overflow no field decides: see usual_overflow().
numerics::Policy cast_policy(numerics::FormatId format,
                             numerics::Rounding rounding = numerics::Rounding::nearest_even);

/// One operand as the kernel reads it: x = scale * value, value = what a code decodes to. Where
/// rule.enters is bf16 the values are dequantised, and there are neither codes nor scales.
struct Quantised {
  numerics::FormatId format = numerics::FormatId::f32;
  std::size_t rows = 0;
  std::size_t channels = 0;
  std::vector<float> values;        ///< rows x channels, exact in `format`
  std::vector<std::uint8_t> codes;  ///< rows x channels when has_scale(format), else empty
  std::vector<float> scales;        ///< one per group when has_scale(format), else empty
  Grouping grouping;

  numerics::MatrixView<const float> view() const {
    return numerics::row_major(values.data(), rows, channels);
  }
  /// 1 where the format has no scale.
  float scale(std::size_t row, std::size_t channel) const {
    return scales.empty() ? 1.0f : scales[grouping.group(row, channel)];
  }
};

/// Scale of a group whose largest magnitude is amax: guard, rule, scale format, in that order.
/// Every operation is f32 nearest-even with subnormal results flushed to zero.
float scale_of(float amax, const Rule& rule);

/// What becomes RN of x: x divided by, or times, the operand; one for all of a group. f32,
/// subnormal results flushed to zero.
struct CodeStep {
  bool divide;
  float operand;
};
/// @param scale  scale_of(amax, rule)
CodeStep code_step(float amax, float scale, const Rule& rule);

/// Quantises rows x channels values. Path::scalar and Path::fast give the same bits.
/// Smoothing is not done here: the caller subtracts the mean first.
/// @param stream  of stochastic rounding: row i, channel j draws word i*channels + j (seed 0)
Quantised quantise(numerics::MatrixView<const float> x, const Rule& rule, Grouping grouping,
                   numerics::Path path, int threads = 1, std::uint64_t stream = 0);

/// 1 for each element whose code (by quantise()) stands for a magnitude beyond the largest finite
/// value of the format: what is rounded lies there. rows x channels.
std::vector<std::uint8_t> saturates(numerics::MatrixView<const float> x, const Rule& rule,
                                    const Grouping& grouping);

/// The way back in: codes and scales made elsewhere.
/// @throws Error(usage) when counts do not fit.
Quantised from_codes(std::span<const std::uint8_t> codes, std::span<const float> scales,
                     std::size_t rows, std::size_t channels, numerics::FormatId format,
                     Grouping grouping);

}  // namespace karat::quant
