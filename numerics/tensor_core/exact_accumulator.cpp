// Limb arithmetic of the exact accumulator.
// A product of two f32 is an integer below 2^48 times a power of two: it touches two limbs.
#include "karat/numerics/tensor_core/exact_accumulator.hpp"

#include <bit>
#include <cmath>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::numerics {
namespace {

struct Parts {
  std::uint64_t significand;
  int unit;  ///< magnitude = significand * 2^unit
  bool negative;
};

Parts parts(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t exponent = (bits >> 23) & 0xFF, fraction = bits & 0x7FFFFF;
  return {exponent ? fraction | 0x800000u : fraction,
          static_cast<int>(exponent ? exponent : 1) - 150, (bits >> 31) != 0};
}

}  // namespace

void ExactAccumulator::add_product(float a, float b) {
  const Parts x = parts(a), y = parts(b);
  const std::uint64_t product = x.significand * y.significand;
  if (product == 0) return;
  const auto position = static_cast<std::size_t>(x.unit + y.unit - kUnit);
  const std::size_t limb = position / 64, shift = position % 64;
  const std::uint64_t low = product << shift, high = shift ? product >> (64 - shift) : 0;
  const bool subtract = x.negative != y.negative;
  std::uint64_t carry = 0;
  for (std::size_t i = limb; i < kLimbs; ++i) {
    const std::uint64_t term = i == limb ? low : i == limb + 1 ? high : 0;
    if (i > limb + 1 && carry == 0) break;
    const std::uint64_t before = limbs_[i];
    if (subtract) {
      limbs_[i] = before - term - carry;
      carry = before < term || (carry && before == term);
    } else {
      limbs_[i] = before + term + carry;
      carry = limbs_[i] < before || (carry && limbs_[i] == before);
    }
  }
}

void ExactAccumulator::add_dot(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) {
    throw Error(ErrorKind::internal, "exact dot product",
                "sizes differ: " + std::to_string(a.size()) + " and " + std::to_string(b.size()));
  }
  for (std::size_t i = 0; i < a.size(); ++i) add_product(a[i], b[i]);
}

bool ExactAccumulator::is_negative() const { return limbs_.back() >> 63; }

bool ExactAccumulator::is_zero() const { return limbs_ == Limbs{}; }

ExactAccumulator::Leading ExactAccumulator::leading() const {
  Limbs magnitude = limbs_;
  if (is_negative()) {
    std::uint64_t carry = 1;
    for (std::uint64_t& limb : magnitude) {
      limb = ~limb + carry;
      carry = carry && limb == 0;
    }
  }
  int top = -1;
  for (std::size_t i = 0; i < kLimbs; ++i) {
    if (magnitude[i]) top = static_cast<int>(64 * i) + std::bit_width(magnitude[i]) - 1;
  }
  const auto bit = [&](int i) { return (magnitude[static_cast<std::size_t>(i) / 64] >> (i % 64)) & 1; };
  const int lowest = top - 62;
  std::uint64_t bits = 0;
  for (int i = top; i >= 0 && i >= lowest; --i) bits = bits << 1 | bit(i);
  bool sticky = false;
  for (int i = lowest - 1; i >= 0; --i) sticky |= bit(i) != 0;
  return {bits << 1 | sticky, std::max(lowest, 0) + kUnit - 1};
}

float ExactAccumulator::to_f32(Rounding rounding) const {
  if (is_zero()) return 0;
  const Leading lead = leading();
  const bool negative = is_negative();
  const std::uint64_t code =
      round_magnitude(lead.bits, lead.exponent, 23, -126, negative, rounding);
  const bool back = rounding == Rounding::toward_zero ||
                    rounding == (negative ? Rounding::up : Rounding::down);
  const std::uint32_t largest = back ? 0x7F7FFFFF : 0x7F800000;
  const auto bits = static_cast<std::uint32_t>(std::min<std::uint64_t>(code, largest));
  return std::bit_cast<float>(bits | (negative ? 0x80000000u : 0));
}

double ExactAccumulator::to_f64() const {
  if (is_zero()) return 0;
  const Leading lead = leading();
  const std::uint64_t code = round_magnitude(lead.bits, lead.exponent, 52, -1022, is_negative(),
                                             Rounding::nearest_even);
  const double magnitude = std::bit_cast<double>(code);
  return is_negative() ? -magnitude : magnitude;
}

}  // namespace karat::numerics
