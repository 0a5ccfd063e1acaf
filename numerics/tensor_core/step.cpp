// The aligned truncated sum and the instructions made of it, on raw codes.
// Steps are numbered as in docs/numerics.md.
#include "karat/numerics/tensor_core/step.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"

namespace karat::numerics {
namespace {

using Class = Factor::Class;

/// Step 1: NaN, Inf * 0 and opposite infinities give NaN, else any infinity wins.
/// Returns false when every value is finite.
bool special_result(FormatId accumulator, std::span<const Factor> a, std::span<const Factor> b,
                    const Factor& c, std::uint32_t& result) {
  bool nan = c.kind == Class::nan, plus = false, minus = false;
  const auto add_infinity = [&](bool negative) { (negative ? minus : plus) = true; };
  if (c.kind == Class::infinite) add_infinity(c.negative);
  for (std::size_t i = 0; i < a.size(); ++i) {
    nan |= a[i].kind == Class::nan || b[i].kind == Class::nan;
    if (a[i].kind != Class::infinite && b[i].kind != Class::infinite) continue;
    const bool zero = (a[i].kind == Class::finite && a[i].significand == 0) ||
                      (b[i].kind == Class::finite && b[i].significand == 0);
    nan |= zero;
    if (!zero) add_infinity(a[i].negative != b[i].negative);
  }
  const Format& f = format(accumulator);
  if (nan || (plus && minus)) {
    result = nan_word(accumulator);
  } else if (plus || minus) {
    result = f.infinity() | (minus ? f.sign_mask() : 0);
  }
  return nan || plus || minus;
}

/// floor(|term| / 2^grid), with the sign put back.
void align(AlignedTerm& term, int grid) {
  const int shift = grid - term.unit;
  std::uint64_t magnitude = 0;
  if (shift <= 0) {
    magnitude = term.significand << -shift;
  } else if (shift < 64) {
    magnitude = term.significand >> shift;
  }
  term.truncated = shift > 0 && (shift >= 64 ? term.significand != 0
                                             : (magnitude << shift) != term.significand);
  term.kept = term.negative ? -static_cast<std::int64_t>(magnitude)
                            : static_cast<std::int64_t>(magnitude);
}

/// Step 6: |sum| * 2^grid rounded to the accumulator's bits. Never -0.
std::uint32_t round_sum(const Instruction& row, std::int64_t sum, int grid) {
  const Format& f = format(row.accumulator);
  const bool negative = sum < 0;
  const auto magnitude = static_cast<std::uint64_t>(negative ? -sum : sum);
  const std::uint64_t code =
      round_magnitude(magnitude, grid, row.out_fraction, f.min_exponent(), negative,
                      row.out_rounding) << (f.fraction_bits - row.out_fraction);
  if (code == 0) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(code, f.infinity())) |
         (negative ? f.sign_mask() : 0);
}

std::uint32_t float_bits(float x) {
  return std::isnan(x) ? nan_word(FormatId::f32) : std::bit_cast<std::uint32_t>(x);
}

/// x as a multiple of 2^-24, the unit of all finite f16.
std::int64_t f16_units(std::uint32_t code) {
  const Factor x = take_apart(code, FormatId::f16);
  const auto units = static_cast<std::int64_t>(x.significand) << (x.unit + 24);
  return x.negative ? -units : units;
}

/// IEEE nearest-even addition of two accumulators.
std::uint32_t ieee_add(const Instruction& row, std::uint32_t x, std::uint32_t y) {
  if (row.accumulator == FormatId::f32) {
    return float_bits(std::bit_cast<float>(x) + std::bit_cast<float>(y));
  }
  const Factor terms[] = {take_apart(x, FormatId::f16), take_apart(y, FormatId::f16)};
  std::uint32_t special = 0;
  const Factor one{.significand = 1};
  if (special_result(row.accumulator, {&terms[0], 1}, {&one, 1}, terms[1], special)) return special;
  return round_sum(row, f16_units(x) + f16_units(y), -24);
}

std::uint32_t integer_step(std::span<const Factor> a, std::span<const Factor> b,
                           std::uint32_t c) {
  std::uint32_t sum = c;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::uint32_t product = a[i].significand * b[i].significand;
    sum += a[i].negative != b[i].negative ? -product : product;
  }
  return sum;
}

float value(const Factor& x) {
  if (x.kind == Class::nan) return std::bit_cast<float>(0x7FC00000u);
  const float magnitude = x.kind == Class::infinite
                              ? std::bit_cast<float>(0x7F800000u)
                              : std::ldexp(static_cast<float>(x.significand), x.unit);
  return x.negative ? -magnitude : magnitude;
}

/// The f64 sum of the whole chain, rounded once. Products of two f32 are exact in f64.
std::uint32_t exact_chain(std::span<const Factor> a, std::span<const Factor> b, std::uint32_t c) {
  double sum = std::bit_cast<float>(c);
  for (std::size_t k = 0; k < a.size(); ++k) {
    sum += static_cast<double>(value(a[k])) * static_cast<double>(value(b[k]));
  }
  return float_bits(static_cast<float>(sum));
}

/// k mod 4 in {0, 1} first, then {2, 3}: the order in which two HMMA see an FP8 fragment.
std::vector<Factor> interleaved_half(std::span<const Factor> x, std::size_t half) {
  std::vector<Factor> chosen;
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (k % 4 / 2 == half) chosen.push_back(x[k]);
  }
  return chosen;
}

}  // namespace

Factor take_apart(std::uint32_t code, FormatId id) {
  const Format& f = format(id);
  Factor x;
  if (f.kind == Kind::integer) {
    const std::int64_t number = ordinal(code, id);
    x.negative = number < 0;
    x.significand = static_cast<std::uint32_t>(std::abs(number));
    return x;
  }
  const std::uint32_t magnitude = code & f.magnitude_mask();
  x.negative = code & f.sign_mask();
  x.kind = f.is_nan(code) ? Class::nan : f.is_infinity(code) ? Class::infinite : Class::finite;
  const auto biased = static_cast<int>(magnitude >> f.fraction_bits);
  const std::uint32_t fraction = magnitude & ((1u << f.fraction_bits) - 1);
  x.significand = biased ? fraction | (1u << f.fraction_bits) : fraction;
  x.exponent = std::max(biased, 1) - f.bias;
  x.unit = x.exponent - f.fraction_bits;
  return x;
}

namespace {

Factor factor_as(std::uint32_t code, FormatId input, FormatId multiplied) {
  if (multiplied == input) return take_apart(code, input);
  return take_apart(encode(decode(code, input), multiplied, {.overflow = Overflow::infinity}),
                    multiplied);
}

}  // namespace

Factor row_factor(const Instruction& row, std::uint32_t code) {
  return factor_as(code, row.input, row.multiplied);
}
Factor column_factor(const Instruction& row, std::uint32_t code) {
  return factor_as(code, column_format(row), multiplied_columns(row));
}

std::uint32_t aligned_step(const Instruction& row, std::span<const Factor> a,
                           std::span<const Factor> b, std::uint32_t c_bits, StepTrace* trace) {
  const Factor c = take_apart(c_bits, row.accumulator);
  std::uint32_t result = 0;
  if (special_result(row.accumulator, a, b, c, result)) {
    if (trace) *trace = {.special = true, .result = result, .terms = {}};
    return result;
  }
  // Steps 2 and 3: products stay un-normalised; the largest exponent of what is not zero.
  std::vector<AlignedTerm> terms(a.size() + 1);
  int largest = row.floor;
  for (std::size_t i = 0; i < a.size(); ++i) {
    terms[i] = {.negative = a[i].negative != b[i].negative,
                .significand = std::uint64_t{a[i].significand} * b[i].significand,
                .exponent = a[i].exponent + b[i].exponent,
                .unit = a[i].unit + b[i].unit};
  }
  terms.back() = {.negative = c.negative, .significand = c.significand, .exponent = c.exponent,
                  .unit = c.unit};
  for (const AlignedTerm& term : terms) {
    if (term.significand != 0) largest = std::max(largest, term.exponent);
  }
  const bool nothing = std::all_of(terms.begin(), terms.end(),
                                   [](const AlignedTerm& t) { return t.significand == 0; });
  const int grid = nothing ? 0 : largest - row.fraction;
  // Steps 4 and 5: each term truncated on its own, then an exact sum.
  std::int64_t sum = 0;
  for (AlignedTerm& term : terms) {
    if (term.significand != 0) align(term, grid);
    sum += term.kept;
  }
  result = round_sum(row, sum, grid);
  if (trace) {
    *trace = {.special = false, .largest_exponent = grid + row.fraction, .grid = grid, .sum = sum,
              .result = result, .terms = std::move(terms)};
  }
  return result;
}

std::uint32_t instruction_step(const Instruction& row, std::span<const Factor> a,
                               std::span<const Factor> b, std::uint32_t c,
                               std::vector<StepTrace>* traces) {
  const auto step = [&](std::span<const Factor> x, std::span<const Factor> y, std::uint32_t z) {
    if (!traces) return aligned_step(row, x, y, z);
    traces->emplace_back();
    return aligned_step(row, x, y, z, &traces->back());
  };
  switch (row.arithmetic) {
    case Arithmetic::aligned_sum: {
      const auto size = static_cast<std::size_t>(row.step);
      for (std::size_t k = 0; k < static_cast<std::size_t>(row.k); k += size) {
        const std::size_t first = std::min(k, a.size()), count = std::min(size, a.size() - first);
        c = step(a.subspan(first, count), b.subspan(first, count), c);
      }
      return c;
    }
    case Arithmetic::emulated: {
      std::uint32_t d = 0;
      for (std::size_t half : {0, 1}) {
        d = step(interleaved_half(a, half), interleaved_half(b, half), d);
      }
      return ieee_add(row, d, c);
    }
    case Arithmetic::integer: return integer_step(a, b, c);
    case Arithmetic::fused:
      return a.empty() ? c : float_bits(std::fma(value(a[0]), value(b[0]),
                                                 std::bit_cast<float>(c)));
    case Arithmetic::exact: return exact_chain(a, b, c);
  }
  return c;
}

std::uint32_t step_bits(const Instruction& row, std::span<const std::uint32_t> a,
                        std::span<const std::uint32_t> b, std::uint32_t c) {
  if (a.size() > static_cast<std::size_t>(row.k)) {
    throw Error(ErrorKind::usage, std::string(row.name),
                std::to_string(a.size()) + " operands are more than one instruction's " +
                    std::to_string(row.k),
                "use chain_bits()");
  }
  return chain_bits(row, a, b, c);
}

namespace {

/// chain_bits() and explain() in one.
std::uint32_t run_codes(const Instruction& row, std::span<const std::uint32_t> a,
                        std::span<const std::uint32_t> b, std::uint32_t c,
                        std::vector<StepTrace>* traces) {
  if (a.size() != b.size()) {
    throw Error(ErrorKind::usage, std::string(row.name),
                std::to_string(a.size()) + " a operands and " + std::to_string(b.size()) +
                    " b operands");
  }
  std::vector<Factor> x(a.size()), y(b.size());
  for (std::size_t k = 0; k < a.size(); ++k) {
    x[k] = row_factor(row, a[k]);
    y[k] = column_factor(row, b[k]);
  }
  return chain_factors(row, x, y, c, traces);
}

}  // namespace

std::uint32_t chain_bits(const Instruction& row, std::span<const std::uint32_t> a,
                         std::span<const std::uint32_t> b, std::uint32_t c) {
  return run_codes(row, a, b, c, nullptr);
}

std::vector<StepTrace> explain(const Instruction& row, std::span<const std::uint32_t> a,
                               std::span<const std::uint32_t> b, std::uint32_t c) {
  std::vector<StepTrace> traces;
  run_codes(row, a, b, c, &traces);
  return traces;
}

std::uint32_t chain_factors(const Instruction& row, std::span<const Factor> x,
                            std::span<const Factor> y, std::uint32_t c,
                            std::vector<StepTrace>* traces) {
  if (row.arithmetic == Arithmetic::exact) return instruction_step(row, x, y, c);
  const auto group = static_cast<std::size_t>(row.k);
  // No operands at all is still one instruction: it truncates c.
  for (std::size_t k = 0; k == 0 || k < x.size(); k += group) {
    const std::size_t count = std::min(group, x.size() - k);
    c = instruction_step(row, x.subspan(k, count), y.subspan(k, count), c, traces);
  }
  return c;
}

}  // namespace karat::numerics
