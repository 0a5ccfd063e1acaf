// exp2 and log2: correct rounding against MPFR, error bounds, special values, equal bits in
// vectors. Ordinary runs try a stride of the inputs and the hardest ones; KARAT_LONG=1 tries all
// 2^32.
#include "karat/numerics/functions/exp2.hpp"

#include <gtest/gtest.h>
#include <mpfr.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/functions/exp2_polynomial.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

/// 2^x correctly rounded to f32 with its subnormals, by MPFR.
class Oracle {
 public:
  Oracle() {
    mpfr_init2(x_, 24);
    mpfr_init2(y_, 24);
  }
  ~Oracle() {
    mpfr_clears(x_, y_, static_cast<mpfr_ptr>(nullptr));
    mpfr_free_cache();  // it is per thread, and these threads end
  }
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  float operator()(float x) {
    mpfr_set_emin(-148);
    mpfr_set_emax(128);
    mpfr_set_flt(x_, x, MPFR_RNDN);
    const int inexact = mpfr_exp2(y_, x_, MPFR_RNDN);
    mpfr_subnormalize(y_, inexact, MPFR_RNDN);
    return mpfr_get_flt(y_, MPFR_RNDN);
  }

 private:
  mpfr_t x_, y_;
};

void check(std::span<const float> x, Oracle& oracle) {
  std::vector<float> flushed(x.size()), kept(x.size());
  exp2_rounded(x, flushed, Subnormals::flush);
  exp2_rounded(x, kept, Subnormals::keep);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float expected = oracle(x[i]);
    ASSERT_EQ(bits(kept[i]), bits(expected)) << std::hexfloat << x[i];
    ASSERT_EQ(bits(flushed[i]), expected < 0x1p-126f ? 0u : bits(expected)) << std::hexfloat << x[i];
  }
}

TEST(Exp2, CorrectlyRounded) {
  // Below 2^-26 in magnitude everything is 1, beyond 160 everything is 0 or Inf.
  const std::uint32_t first = bits(0x1p-27f), last = bits(161.0f);
  const std::uint32_t stride = testing::long_run() ? 1 : 1021;
  constexpr std::uint32_t kChunk = 1 << 16;
  const std::uint32_t count = (last - first) / stride + 1;
  parallel_for((count + kChunk - 1) / kChunk * 2, 0, [&](std::size_t item, int) {
    Oracle oracle;
    std::vector<float> x;
    const auto begin = static_cast<std::uint32_t>(item / 2) * kChunk;
    for (std::uint32_t i = begin; i < std::min(count, begin + kChunk); ++i) {
      const float value = std::bit_cast<float>(first + i * stride);
      x.push_back(item % 2 ? -value : value);
    }
    check(x, oracle);
  });
}

/// Every input whose power lies within 2^-50 of the middle of two f32 (found by trying all).
const std::vector<float>& hardest_inputs() {
  static const std::vector<float> x = {
      0x1.715476p-24f,  0x1.0f39eep-18f,  0x1.0f0af8p-11f,  0x1.853a6ep-9f,
      0x1.05535ap-7f,   0x1.9357c4p-4f,   -0x1.715476p-25f, -0x1.cda996p-23f,
      -0x1.2c14a4p-21f, -0x1.5a3f34p-21f, -0x1.77a744p-14f, -0x1.a7a04cp-14f,
      -0x1.d8568p-10f,  -0x1.5e9a04p-6f,  -0x1.e7526ep-6f,  -0x1.3e53bcp-3f};
  return x;
}

TEST(Exp2, HardestInputs) {
  Oracle oracle;
  check(hardest_inputs(), oracle);
  for (int n = -149; n <= 127; ++n) {
    EXPECT_EQ(exp2_rounded(static_cast<float>(n), Subnormals::keep), std::ldexp(1.0f, n));
  }
}

TEST(Exp2, InputsWhoseResultIsTrivial) {
  testing::Random random(1);
  for (int n = 0; n < 20000; ++n) {
    const float small = std::bit_cast<float>((random() & 0x807FFFFF) | (random.below(100) << 23));
    ASSERT_EQ(exp2_rounded(small), 1.0f) << std::hexfloat << small;
    const float large = std::bit_cast<float>((random() & 0x7FFFFF) | ((135 + random.below(120)) << 23));
    ASSERT_EQ(exp2_rounded(large), kInf);
    ASSERT_EQ(bits(exp2_rounded(-large)), 0u);
  }
}

TEST(Exp2, SpecialValues) {
  EXPECT_EQ(bits(exp2_rounded(-kInf)), 0u);
  EXPECT_EQ(exp2_rounded(kInf), kInf);
  EXPECT_EQ(exp2_rounded(0.0f), 1.0f);
  EXPECT_EQ(exp2_rounded(-0.0f), 1.0f);
  EXPECT_EQ(bits(exp2_rounded(std::nanf(""))), 0x7FFFFFFFu);
  EXPECT_EQ(exp2_rounded(128.0f), kInf);
  EXPECT_EQ(bits(exp2_rounded(-126.5f)), 0u);
  EXPECT_GT(exp2_rounded(-126.5f, Subnormals::keep), 0.0f);
  EXPECT_EQ(exp2_f64(-1023), 0.0);
  EXPECT_EQ(exp2_f64(-1022), 0x1p-1022);
  EXPECT_EQ(exp2_f64(1024), std::numeric_limits<double>::infinity());
  EXPECT_EQ(exp2_f64(1023), 0x1p1023);
  EXPECT_TRUE(std::isnan(exp2_f64(std::nan(""))));
}

TEST(Exp2, VectorsHaveTheScalarBits) {
  std::vector<float> x;
  std::vector<double> wide;
  testing::Random random(2);
  for (int n = 0; n < 100003; ++n) {
    const std::uint32_t word = random();
    x.push_back(n % 2 ? std::bit_cast<float>(word)
                      : std::ldexp(static_cast<float>(static_cast<std::int32_t>(word)), -24));
    wide.push_back(n % 3 ? std::ldexp(static_cast<double>(static_cast<std::int32_t>(word)), -20)
                         : static_cast<double>(x.back()));
  }
  std::vector<float> y(x.size());
  std::vector<double> z(x.size());
  testing::for_each_target([&](const std::string& target) {
    for (Subnormals mode : {Subnormals::flush, Subnormals::keep}) {
      exp2_rounded(x, y, mode);
      for (std::size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(bits(y[i]), bits(exp2_rounded(x[i], mode))) << target << std::hexfloat << x[i];
      }
    }
    exp2_f64(wide, z);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double scalar = exp2_f64(wide[i]);
      if (std::isnan(scalar)) {
        ASSERT_TRUE(std::isnan(z[i]));
      } else {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(z[i]), std::bit_cast<std::uint64_t>(scalar)) << wide[i];
      }
    }
  });
}

/// Compares the arrays of all targets with the scalar function, in both modes.
void expect_scalar_bits(const std::vector<float>& x) {
  constexpr std::size_t kChunk = 1 << 12;
  const std::size_t chunks = (x.size() + kChunk - 1) / kChunk;
  std::vector<float> scalar(x.size()), y(x.size());
  for (Subnormals mode : {Subnormals::flush, Subnormals::keep}) {
    parallel_for(chunks, 0, [&](std::size_t chunk, int) {
      const std::size_t end = std::min(x.size(), (chunk + 1) * kChunk);
      for (std::size_t i = chunk * kChunk; i < end; ++i) scalar[i] = exp2_rounded(x[i], mode);
    });
    testing::for_each_target([&](const std::string& target) {
      parallel_for(chunks, 0, [&](std::size_t chunk, int) {
        const std::size_t at = chunk * kChunk, count = std::min(kChunk, x.size() - at);
        exp2_rounded({&x[at], count}, {&y[at], count}, mode);
        for (std::size_t i = at; i < at + count; ++i) {
          ASSERT_EQ(bits(y[i]), bits(scalar[i])) << target << ' ' << std::hexfloat << x[i];
        }
      });
    });
  }
}

TEST(Exp2, ArraysHaveTheScalarBitsForAllInputs) {
  constexpr std::uint64_t kAll = std::uint64_t{1} << 32, kPart = 1 << 22;
  const std::uint64_t stride = testing::long_run() ? 1 : 2053;
  std::vector<float> x;
  for (std::uint64_t word = 0; word < kAll; word += stride) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(word)));
    if (x.size() == kPart || word + stride >= kAll) {
      expect_scalar_bits(x);
      if (HasFatalFailure()) return;
      x.clear();
    }
  }
}

TEST(Exp2, ArraysHaveTheScalarBitsAroundEveryEdge) {
  std::vector<float> centers = hardest_inputs();
  // Multiples of 1/64: where the nearest 1/32 changes, and where the f32 path's argument is 0.
  for (int n = -152 * 64; n <= 130 * 64; ++n) centers.push_back(static_cast<float>(n) / 64);
  for (const float edge : {0.0f, 0x1p-149f, 0x1p-126f, 0x1p-25f, 0x1p-24f, 1e30f, kInf}) {
    centers.push_back(edge);
    centers.push_back(-edge);
  }
  std::vector<float> x;
  for (const float center : centers) {
    for (std::uint32_t step = 0; step <= 40; ++step) {
      x.push_back(std::bit_cast<float>(bits(center) + step - 20));  // beyond Inf lie NaNs
    }
  }
  expect_scalar_bits(x);
}

TEST(Exp2, FewElementsNeedTheF64Path) {
  std::vector<float> x(1 << 20);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(-30 * random_uniform(4, 0, i));
  const std::vector<float> trivial = {0.0f, -0.0f, -kInf, -126.5f, -1e30f, -1.0f, 1.0f, 127.0f};
  testing::for_each_target([&](const std::string& target) {
    const double share = static_cast<double>(exp2_undecided(x)) / static_cast<double>(x.size());
    if (target == "AVX3" || target == "AVX2") {
      // Powers that lie within the error of a middle of two f32, 2^-23 apart.
      const double expected = 2 * double{kStepError} * 0x1p23;
      EXPECT_NEAR(share, expected, 0.2 * expected) << target;
      EXPECT_EQ(exp2_undecided(trivial), 0u) << target;
    } else {
      EXPECT_EQ(share, 1) << target;
    }
    RecordProperty("undecided_" + target, std::to_string(share));
  });
}

/// Memory for `count` floats that end where a page begins that nobody may touch.
class GuardedFloats {
 public:
  explicit GuardedFloats(std::size_t count) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    void* map = mmap(nullptr, 3 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) throw std::bad_alloc();
    map_ = static_cast<char*>(map);
    if (mprotect(map_ + page_, page_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    behind_ = {reinterpret_cast<float*>(map_ + 2 * page_) - count, count};
    ahead_ = {reinterpret_cast<float*>(map_ + page_), count};
  }
  ~GuardedFloats() { munmap(map_, 3 * page_); }
  GuardedFloats(const GuardedFloats&) = delete;
  GuardedFloats& operator=(const GuardedFloats&) = delete;

  std::span<float> at_end() const { return behind_; }
  std::span<float> at_begin() const { return ahead_; }

 private:
  std::size_t page_;
  char* map_ = nullptr;
  std::span<float> behind_, ahead_;
};

TEST(Exp2, ArraysOfAnyLengthStayInTheirSpans) {
  testing::for_each_target([&](const std::string& target) {
    for (std::size_t count = 0; count <= 70; ++count) {
      const GuardedFloats memory(count);
      for (const std::span<float> x : {memory.at_begin(), memory.at_end()}) {
        std::vector<float> expected(count);
        for (std::size_t i = 0; i < count; ++i) {
          // Few hard cases: full vectors and tails of both paths.
          x[i] = i % 37 == 5 ? kHardExp2[0].x : -0.37f * static_cast<float>(i + count);
          expected[i] = exp2_rounded(x[i]);
        }
        exp2_rounded(x, x);  // in place
        ASSERT_TRUE(std::equal(x.begin(), x.end(), expected.begin())) << target << ' ' << count;
      }
      std::vector<float> x(count, -1.0f), y(count + 2, 7.0f);
      exp2_rounded(x, std::span(y).subspan(1, count));
      EXPECT_EQ(y.front(), 7.0f) << target << ' ' << count;
      EXPECT_EQ(y.back(), 7.0f) << target << ' ' << count;
      EXPECT_EQ(std::count(y.begin() + 1, y.end() - 1, 0.5f), static_cast<std::ptrdiff_t>(count));
    }
  });
}

/// |y - f(x)| / |f(x)| with f in 120 bits.
double relative_error(double x, double y, int (*f)(mpfr_t, const mpfr_t, mpfr_rnd_t)) {
  mpfr_set_emin(mpfr_get_emin_min());
  mpfr_set_emax(mpfr_get_emax_max());
  mpfr_t exact, error;
  mpfr_init2(exact, 120);
  mpfr_init2(error, 120);
  mpfr_set_d(exact, x, MPFR_RNDN);
  f(exact, exact, MPFR_RNDN);
  mpfr_d_sub(error, y, exact, MPFR_RNDN);
  if (!mpfr_zero_p(error)) mpfr_div(error, error, exact, MPFR_RNDN);
  const double result = std::fabs(mpfr_get_d(error, MPFR_RNDN));
  mpfr_clears(exact, error, static_cast<mpfr_ptr>(nullptr));
  return result;
}

int mpfr_exp2_plain(mpfr_t r, const mpfr_t x, mpfr_rnd_t m) { return mpfr_exp2(r, x, m); }
int mpfr_log2_plain(mpfr_t r, const mpfr_t x, mpfr_rnd_t m) { return mpfr_log2(r, x, m); }

TEST(Exp2, ErrorBoundsOfTheF64Sequences) {
  testing::Random random(3);
  double exp2_error = 0, log2_error = 0;
  for (int n = 0; n < 60000; ++n) {
    const double unit = (static_cast<double>(random()) + static_cast<double>(random()) * 0x1p-32) * 0x1p-32;
    const double x = (unit - 0.5) * (n % 2 ? 2.0 : 2000.0);
    exp2_error = std::max(exp2_error, relative_error(x, exp2_f64(x), mpfr_exp2_plain));
    const double y = n % 2 ? 0.5 + 1.5 * unit : std::ldexp(1 + unit, static_cast<int>(random.below(2000)) - 1000);
    log2_error = std::max(log2_error, relative_error(y, log2_f64(y), mpfr_log2_plain));
  }
  EXPECT_LT(exp2_error, 0x1p-51);
  EXPECT_LT(log2_error, 0x1p-50);
  RecordProperty("exp2_f64_bits", std::to_string(-std::log2(exp2_error)));
  RecordProperty("log2_f64_bits", std::to_string(-std::log2(log2_error)));
  EXPECT_EQ(log2_f64(1.0), 0.0);
  for (int n = -1022; n < 1024; ++n) EXPECT_EQ(log2_f64(std::ldexp(1.0, n)), n);
}

TEST(Exp2, SizesMustAgree) {
  std::vector<float> x(3), y(2);
  EXPECT_THROW(exp2_rounded(x, y), Error);
}

}  // namespace
}  // namespace karat::numerics
