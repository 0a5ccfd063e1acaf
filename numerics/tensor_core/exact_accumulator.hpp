// Sums and dot products without any rounding: a fixed-point number wide enough for every product of
// two f32. The truth any accumulation can be compared with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "karat/numerics/formats/rounding.hpp"

namespace karat::numerics {

/// Two's complement in units of 2^-298, the smallest product of two f32 (2^-149 squared). The
/// largest product is below 2^256; 704 bits leave room for 2^149 of them.
class ExactAccumulator {
 public:
  /// @pre all finite
  void add(float x) { add_product(x, 1.0f); }
  void add_product(float a, float b);
  void add_dot(std::span<const float> a, std::span<const float> b);

  bool is_zero() const;
  bool is_negative() const;
  /// Rounded once; overflow gives Inf (or the largest finite value where the mode points to zero).
  float to_f32(Rounding rounding = Rounding::nearest_even) const;
  /// Rounded once to nearest even; the range of f64 holds every value.
  double to_f64() const;

 private:
  static constexpr int kUnit = -298;
  static constexpr std::size_t kLimbs = 11;
  using Limbs = std::array<std::uint64_t, kLimbs>;

  /// The magnitude cut to 63 leading bits with a sticky lowest bit, and its exponent.
  struct Leading {
    std::uint64_t bits;
    int exponent;
  };
  Leading leading() const;

  Limbs limbs_{};  // low limb first
};

}  // namespace karat::numerics
