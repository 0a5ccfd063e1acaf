// The special-function unit as published in 2005: the leading bits of the argument pick one of
// 2^segment_bits quadratics, the remaining bits feed a multiplier and a truncated squarer.
// Source: Oberman and Siu, "A high-performance area-efficient multifunction interpolator" (ARITH
// 17). Its evaluation, and its coefficients from the results of one octave.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace karat::evidence {

/// Fraction bits of an argument within its octave, and of a result.
inline constexpr int kFractionBits = 23;

/// Sums are integers in units of 2^-kFinestGrid or coarser, so that they fit 64 bits.
inline constexpr int kFinestGrid = 56;

/// One function's coefficients. With segment i = argument's top segment_bits, x = the other
/// w = 23 - segment_bits bits as an integer, and square = floor(x^2 / 2^square_dropped):
///   result = floor(2^23 * (c0 * 2^-f0 + c1 * x * 2^-(f1+w) + c2 * square *
///   2^-(f2+2w-square_dropped)))
/// The constant that the hardware adds before it truncates is part of every c0.
struct QuadraticTable {
  int segment_bits = 6;
  int square_dropped = 0;
  int f0 = 26, f1 = 22, f2 = 23;                      ///< fraction bits of the coefficients
  std::vector<std::array<std::int64_t, 3>> segments;  ///< c0, c1, c2

  bool operator==(const QuadraticTable&) const = default;
};

/// A table ready to be evaluated: coefficients aligned to one grid of 2^-grid.
class Interpolator {
 public:
  /// @throws Error(usage) for a table whose number of segments or widths cannot be
  explicit Interpolator(const QuadraticTable& table);

  /// Result for a 23-bit fraction, in units of 2^-23.
  std::int64_t operator()(std::uint32_t fraction) const {
    const std::uint32_t x = fraction & mask_;
    const Aligned& c = segments_[fraction >> shift_];
    const auto square = static_cast<std::int64_t>((std::uint64_t{x} * x) >> square_dropped_);
    return (c.c0 + c.c1 * x + c.c2 * square) >> (grid_ - kFractionBits);
  }

 private:
  struct Aligned {
    std::int64_t c0, c1, c2;
  };
  int shift_, square_dropped_, grid_;
  std::uint32_t mask_;
  std::vector<Aligned> segments_;
};

/// ex2.approx.ftz.f32 on bits, with a table of 2^fraction. Subnormal x counts as zero, +-0 -> 1,
/// -Inf -> +0, +Inf -> +Inf, NaN -> 0x7FFFFFFF; results below 2^-126 -> +0, from 2^128 on -> +Inf.
/// x is cut toward -Inf to fixed point 7.23 first.
std::uint32_t ex2_bits(const Interpolator& table, std::uint32_t x);

/// rcp.approx.ftz.f32 on bits: the interpolator gives 1/(1+fraction), in units of 2^-24 once
/// doubled into [1, 2). +-Inf -> +-0, +-0 and subnormals -> +-Inf, NaN -> 0x7FFFFFFF, subnormal
/// results -> +-0.
std::uint32_t rcp_bits(const Interpolator& table, std::uint32_t x);

/// {"segment_bits", "square_dropped", "fraction_bits": [f0, f1, f2], "segments": [[c0, c1, c2],
/// ...]}
nlohmann::ordered_json to_json(const QuadraticTable& table);
/// @throws Error(input_output) naming the field that is missing or absurd
QuadraticTable table_from_json(const nlohmann::ordered_json& json, const std::string& subject);

/// What a unit looks like from outside, before its widths are known.
struct FitShape {
  int segment_bits = 6;  ///< 6 for exp2, 7 for the reciprocal
  int threads = 0;
};

struct FitResult {
  std::optional<QuadraticTable> table;  ///< reproduces every value; absent when none does
  int square_dropped = 0;               ///< of the table, or of the squarer most segments accept
  std::vector<int> refused;             ///< segments that no quadratic of that squarer reproduces
};

/// A table that reproduces every value, with few bits: the squarer truncated as far as the values
/// allow, then the fewest fraction bits for c2, c1 and c0. Exact: every segment is a system of
/// linear inequalities v * 2^g <= c0 + c1 x + c2 square(x) < (v + 1) * 2^g over all its x, solved
/// by cutting planes, rounded to whole coefficients and verified on every value.
/// @param values 2^23 results in units of 2^-23, ascending argument
/// @throws Error(usage) for another number of values
FitResult fit_octave(std::span<const std::uint32_t> values, const FitShape& shape);

}  // namespace karat::evidence
