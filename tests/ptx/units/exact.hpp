// What MPFR says an operation gives, rounded once to a format of up to 53 bits.
#pragma once

#include <mpfr.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace karat::ptx::units {

/// A number of 2200 bits: every sum of products of f64 that occurs here is exact.
class Exact {
 public:
  Exact() { mpfr_init2(value_, 4400); }
  explicit Exact(double x) : Exact() { mpfr_set_d(value_, x, MPFR_RNDN); }
  Exact(const Exact& other) : Exact() { mpfr_set(value_, other.value_, MPFR_RNDN); }
  Exact& operator=(const Exact&) = delete;
  ~Exact() { mpfr_clear(value_); }

  static Exact add(double a, double b) {
    Exact sum(a);
    mpfr_add_d(sum.value_, sum.value_, b, MPFR_RNDN);
    return sum;
  }
  static Exact fused(double a, double b, double c) {
    Exact sum(a);
    mpfr_mul_d(sum.value_, sum.value_, b, MPFR_RNDN);
    const bool zero = mpfr_zero_p(sum.value_) != 0;
    if (!zero || c != 0) mpfr_add_d(sum.value_, sum.value_, c, MPFR_RNDN);
    return sum;
  }
  static Exact divided(double a, double b) {  // 4400 bits: no tie of an f32 is in doubt
    Exact quotient(a);
    mpfr_div_d(quotient.value_, quotient.value_, b, MPFR_RNDN);
    return quotient;
  }
  static Exact root(double a) {
    Exact result(a);
    mpfr_sqrt(result.value_, result.value_, MPFR_RNDN);
    return result;
  }

  /// To `bits` significant bits with the exponents of a format (smallest subnormal 2^low, first
  /// power that overflows 2^high).
  double rounded(int bits, int low, int high, mpfr_rnd_t mode) const {
    const mpfr_exp_t before_low = mpfr_get_emin(), before_high = mpfr_get_emax();
    mpfr_t x;
    mpfr_init2(x, bits);
    mpfr_set_emin(low + 1);
    mpfr_set_emax(high);
    int lost = mpfr_set(x, value_, mode);
    lost = mpfr_check_range(x, lost, mode);
    mpfr_subnormalize(x, lost, mode);
    const double result = mpfr_get_d(x, MPFR_RNDN);
    mpfr_clear(x);
    mpfr_set_emin(before_low);
    mpfr_set_emax(before_high);
    return result;
  }
  float to_f32(mpfr_rnd_t mode = MPFR_RNDN) const {
    return static_cast<float>(rounded(24, -149, 128, mode));
  }
  double to_f16(mpfr_rnd_t mode = MPFR_RNDN) const { return rounded(11, -24, 16, mode); }
  double to_bf16(mpfr_rnd_t mode = MPFR_RNDN) const { return rounded(8, -133, 128, mode); }
  const mpfr_t& value() const { return value_; }

 private:
  mpfr_t value_;
};

}  // namespace karat::ptx::units
