// Every instruction against a second formulation: real numbers in exact big-float arithmetic (MPFR,
// 1200 bits, nothing rounds), exponents taken from values instead of bits, rounding by integer
// parts. It shares the parameters of the table with the library and none of its code.
// Ten thousand random cases each in ordinary runs, a million with KARAT_LONG=1.
#include <gtest/gtest.h>
#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr std::uint32_t kNan32 = 0x7FFFFFFF, kNan16 = 0x7FFF;

/// An exact real number.
class Real {
 public:
  Real(double x = 0) {  // NOLINT: numbers are reals
    mpfr_init2(x_, 1200);
    mpfr_set_d(x_, x, MPFR_RNDN);
  }
  Real(const Real& other) : Real() { mpfr_set(x_, other.x_, MPFR_RNDN); }
  Real& operator=(const Real& other) {
    mpfr_set(x_, other.x_, MPFR_RNDN);
    return *this;
  }
  ~Real() { mpfr_clear(x_); }

  Real operator*(const Real& b) const {
    Real r;
    EXPECT_EQ(mpfr_mul(r.x_, x_, b.x_, MPFR_RNDN), 0);
    return r;
  }
  Real operator+(const Real& b) const {
    Real r;
    EXPECT_EQ(mpfr_add(r.x_, x_, b.x_, MPFR_RNDN), 0);
    return r;
  }
  bool is_zero() const { return mpfr_zero_p(x_) != 0; }
  bool negative() const { return mpfr_sgn(x_) < 0; }
  /// Integer part of this / 2^e, times 2^e.
  Real on_grid(long e, mpfr_rnd_t mode) const {
    Real r;
    mpfr_mul_2si(r.x_, x_, -e, MPFR_RNDN);
    mpfr_rint(r.x_, r.x_, mode);
    mpfr_mul_2si(r.x_, r.x_, e, MPFR_RNDN);
    return r;
  }
  /// floor(log2 |this|) of a number that is not zero.
  long exponent() const { return mpfr_get_exp(x_) - 1; }
  double value() const { return mpfr_get_d(x_, MPFR_RNDN); }

 private:
  mpfr_t x_;
};

/// Rounded to `fraction` bits with smallest exponent `emin`; beyond emax Inf; zero is +0.
double round_real(const Real& x, int fraction, int emin, int emax, mpfr_rnd_t mode) {
  if (x.is_zero()) return 0;
  const long q = std::max<long>(x.exponent(), emin) - fraction;
  const Real rounded = x.on_grid(q, mode);
  if (rounded.is_zero()) return 0;
  if (rounded.exponent() > emax) {
    return x.negative() ? -std::numeric_limits<double>::infinity()
                        : std::numeric_limits<double>::infinity();
  }
  return rounded.value();
}

int emin_of(FormatId id) { return id == FormatId::f16 ? -14 : -126; }
int emax_of(FormatId id) { return id == FormatId::f16 ? 15 : 127; }

/// Exponent as the multiplier sees it: never below the format's smallest.
long operand_exponent(double x, FormatId multiplied) {
  const int smallest = multiplied == FormatId::e4m3 ? -6
                       : multiplied == FormatId::e5m2 || multiplied == FormatId::f16 ? -14
                                                                                   : -126;
  return std::max<long>(Real(x).exponent(), smallest);
}

/// The aligned sum of products a_i * b_i and c as real numbers; NaN stands for NaN.
double aligned_sum(const Instruction& row, const std::vector<double>& a,
                   const std::vector<double>& b, double c) {
  double special = std::isfinite(c) ? 0 : c;  // IEEE addition decides among specials
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) special += a[i] * b[i];
  }
  if (!std::isfinite(special)) return special;
  long largest = row.floor == kNoFloor ? -100000 : row.floor;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == 0 || b[i] == 0) continue;
    largest = std::max(largest, operand_exponent(a[i], row.multiplied) +
                                    operand_exponent(b[i], multiplied_columns(row)));
  }
  if (c != 0) largest = std::max<long>(largest, std::max<long>(Real(c).exponent(), emin_of(row.accumulator)));
  const long grid = largest - row.fraction;
  Real sum = Real(c).on_grid(grid, MPFR_RNDZ);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != 0 && b[i] != 0) sum = sum + (Real(a[i]) * Real(b[i])).on_grid(grid, MPFR_RNDZ);
  }
  return round_real(sum, row.out_fraction, emin_of(row.accumulator), emax_of(row.accumulator),
                    row.out_rounding == Rounding::toward_zero ? MPFR_RNDZ : MPFR_RNDN);
}

double emulated(const Instruction& row, const std::vector<double>& a, const std::vector<double>& b,
                double c) {
  double d = 0;
  for (int half : {0, 1}) {
    std::vector<double> x, y;
    for (std::size_t k = 0; k < a.size(); ++k) {
      if ((k % 4 >= 2) != (half == 1)) continue;
      x.push_back(a[k]);
      y.push_back(b[k]);
    }
    d = aligned_sum(row, x, y, d);
  }
  if (!std::isfinite(d) || !std::isfinite(c)) return d + c;
  const int fraction = row.accumulator == FormatId::f16 ? 10 : 23;
  return round_real(Real(d) + Real(c), fraction, emin_of(row.accumulator),
                    emax_of(row.accumulator), MPFR_RNDN);
}

/// The instruction's D as accumulator bits.
std::uint32_t oracle(const Instruction& row, const std::vector<double>& a,
                     const std::vector<double>& b, std::uint32_t c_bits) {
  if (row.arithmetic == Arithmetic::integer) {
    std::int64_t sum = static_cast<std::int32_t>(c_bits);
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<std::int64_t>(a[i] * b[i]);
    return static_cast<std::uint32_t>(sum);
  }
  const bool f16 = row.accumulator == FormatId::f16;
  const double c = static_cast<double>(f16 ? decode(c_bits, FormatId::f16)
                                           : std::bit_cast<float>(c_bits));
  double d;
  switch (row.arithmetic) {
    case Arithmetic::aligned_sum: {
      d = c;
      for (std::size_t k = 0; k < a.size(); k += static_cast<std::size_t>(row.step)) {
        const auto end = static_cast<std::ptrdiff_t>(std::min(a.size(), k + static_cast<std::size_t>(row.step)));
        const auto begin = static_cast<std::ptrdiff_t>(k);
        d = aligned_sum(row, {a.begin() + begin, a.begin() + end}, {b.begin() + begin, b.begin() + end}, d);
      }
      break;
    }
    case Arithmetic::emulated: d = emulated(row, a, b, c); break;
    default: {  // one product and c; "exact" rounds to f64 in between
      const double product = a[0] * b[0];
      if (!std::isfinite(product) || !std::isfinite(c)) {
        d = product + c;
      } else if (product == 0 && c == 0) {
        d = product + c;  // the sign of a zero sum
      } else {
        const Real sum = Real(a[0]) * Real(b[0]) + Real(c);
        d = row.arithmetic == Arithmetic::exact
                ? round_real(Real(round_real(sum, 52, -1022, 1023, MPFR_RNDN)), 23, -126, 127, MPFR_RNDN)
                : round_real(sum, 23, -126, 127, MPFR_RNDN);
        if (d == 0 && sum.negative()) d = -0.0;
      }
    }
  }
  if (std::isnan(d)) return f16 ? kNan16 : kNan32;
  return f16 ? encode(static_cast<float>(d), FormatId::f16, {.overflow = Overflow::infinity})
             : std::bit_cast<std::uint32_t>(static_cast<float>(d));
}

/// Random bits, then one of several ways to make them interesting.
std::uint32_t draw(FormatId id, std::uint32_t flavour, testing::Random& random) {
  const Format& f = format(id);
  std::uint32_t code = random() & f.mask();
  if (f.kind == Kind::integer) return code;
  const auto narrow = [&] {
    const auto exponent = static_cast<std::uint32_t>(f.bias) - 4 + random.below(8);
    code = (code & ~f.infinity()) | exponent << f.fraction_bits;
  };
  switch (flavour) {
    case 0: return code;  // anything
    case 1: narrow(); break;
    case 2: if (random() % 4) narrow(); break;
    case 3: code &= f.sign_mask() | ((4u << f.fraction_bits) - 1); break;  // subnormals, small
    default: if (random() % 2) code &= f.sign_mask(); break;               // many zeros
  }
  // Flavours but the first stay finite.
  return f.is_nan(code) || f.is_infinity(code) ? code & f.sign_mask() : code;
}

class SecondFormulation : public ::testing::TestWithParam<std::string> {};

TEST_P(SecondFormulation, AgreesOnRandomBits) {
  const Instruction& row = instruction(GetParam());
  testing::Random random(300);
  const int cases = testing::long_run() ? 1'000'000 : 10'000;
  std::size_t different = 0;
  for (int n = 0; n < cases && different < 5; ++n) {
    const std::uint32_t flavour = random.below(5), c_flavour = random.below(5);
    std::vector<std::uint32_t> a(static_cast<std::size_t>(row.k)), b(a.size());
    std::vector<double> x(a.size()), y(a.size());
    for (std::size_t k = 0; k < a.size(); ++k) {
      // Special operands are frequent in random bits; keep most sums finite.
      const std::uint32_t f = flavour == 0 && random() % 16 ? 2 : flavour;
      a[k] = draw(row.input, f, random);
      b[k] = draw(column_format(row), f, random);
      x[k] = static_cast<double>(decode(a[k], row.input));
      y[k] = static_cast<double>(decode(b[k], column_format(row)));
    }
    const std::uint32_t c = draw(row.accumulator, c_flavour, random);
    const std::uint32_t expected = oracle(row, x, y, c), got = step_bits(row, a, b, c);
    if (got == expected) continue;
    ++different;
    ADD_FAILURE() << row.name << " case " << n << std::hex << ": got " << got << ", expected "
                  << expected << ", c " << c;
  }
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Instruction& row : instructions()) all.emplace_back(row.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Table, SecondFormulation, ::testing::ValuesIn(names()),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& ch : name) ch = ch == '.' ? '_' : ch;
                           return name;
                         });

}  // namespace
}  // namespace karat::numerics
