// Rows of a head in the kernel's order, and taking means out of them (SageAttention).
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::attention {

/// @throws Error(usage) unless q, k and v have tokens x channels values
void require_values(const HeadInput& input, std::int64_t tokens, std::size_t channels);

/// body(begin, end) for bands of some hundred of `rows`.
template <typename Body>
void for_row_bands(std::size_t rows, int threads, const Body& body) {
  constexpr std::size_t kRows = 256;
  numerics::parallel_for((rows + kRows - 1) / kRows, threads, [&](std::size_t band, int) {
    body(band * kRows, std::min(rows, (band + 1) * kRows));
  });
}

/// Rows of channels in the order of `token_at`, each filled up with zeros to `width`; padding is
/// zero. @param values tokens x channels
std::vector<float> ordered_rows(std::span<const float> values, std::size_t channels,
                                std::span<const std::int32_t> token_at, std::size_t width,
                                int threads = 1);

/// Subtracts from every row of `rows` (positions x channels) the mean over `range`'s tokens of each
/// channel and returns the means: mean = type(f64(exact sum)/n), x = type(f32(x - mean)),
/// subnormals kept, where type is the rule's smooth_mean: a cast to the input's format, one
/// rounding from f64, or none (f32). Padding stays zero.
std::vector<float> subtract_mean(std::span<float> rows, video::Range range,
                                 const video::TokenOrder& order, std::size_t channels,
                                 const recipe::Operand& rule, numerics::FormatId input_format,
                                 int threads);

}  // namespace karat::attention
