// f32 arithmetic of lanes against MPFR, and PTX's own rules: flushing, NaN, saturation, extremes.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <string>

#include "exact.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::uint32_t kNan = 0x7FFFFFFF;

std::uint32_t flush(std::uint32_t x) { return (x & 0x7F800000) == 0 ? x & 0x80000000 : x; }

/// Bits of the exact value rounded once; zeros and what is not finite as IEEE 754 says.
std::uint32_t expected(const std::string& operation, float a, float b, float c, mpfr_rnd_t mode) {
  const double x = a, y = b, z = c;
  const double plain = operation == "add"   ? x + y
                       : operation == "sub" ? x - y
                       : operation == "mul" ? x * y
                                            : std::fma(x, y, z);
  if (std::isnan(plain)) return kNan;
  if (std::isinf(a) || std::isinf(b) || (operation == "fma" && std::isinf(c))) {
    return bits_of(static_cast<float>(plain));
  }
  const Exact exact = operation == "add"   ? Exact::add(x, y)
                      : operation == "sub" ? Exact::add(x, -y)
                      : operation == "mul" ? Exact::fused(x, y, 0)
                                           : Exact::fused(x, y, z);
  if (mpfr_zero_p(exact.value())) {
    if (operation == "mul") return bits_of(static_cast<float>(plain));
    const double first = operation == "fma" ? x * y : x, second = operation == "fma"   ? z
                                                                  : operation == "sub" ? -y
                                                                                       : y;
    const bool same_sign = std::signbit(first) == std::signbit(second) && first == 0 && second == 0;
    if (same_sign) return bits_of(std::copysign(0.0f, static_cast<float>(first)));
    return mode == MPFR_RNDD ? 0x80000000 : 0;
  }
  const float rounded = exact.to_f32(mode);
  return bits_of(rounded == 0 ? std::copysign(0.0f, static_cast<float>(mpfr_sgn(exact.value())))
                              : rounded);
}

TEST(PtxF32, RoundsOnceInEveryMode) {
  const std::pair<const char*, mpfr_rnd_t> modes[] = {
      {"rn", MPFR_RNDN}, {"rz", MPFR_RNDZ}, {"rm", MPFR_RNDD}, {"rp", MPFR_RNDU}};
  Words words(1);
  for (const std::string operation : {"add", "sub", "mul", "fma"}) {
    for (const auto& [suffix, mode] : modes) {
      for (const bool ftz : {false, true}) {
        const std::string opcode = operation + "." + suffix + (ftz ? ".ftz" : "") + ".f32";
        for (int round = 0; round < 60; ++round) {
          const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
                     c = words.next<std::uint32_t>();
          const Register d = operation == "fma" ? run<std::uint32_t>(opcode, a, b, c)
                                                : run<std::uint32_t>(opcode, a, b);
          for (std::size_t l = 0; l < kLanes; ++l) {
            const auto in = [&](std::uint32_t x) { return f32(ftz ? flush(x) : x); };
            std::uint32_t want = expected(operation, in(a[l]), in(b[l]), in(c[l]), mode);
            if (ftz) want = flush(want);
            ASSERT_EQ(d[l], want) << opcode << std::hex << " " << a[l] << " " << b[l] << " "
                                  << c[l];
          }
        }
      }
    }
  }
}

TEST(PtxF32, WithoutAModifierIsNearestEven) {
  Words words(2);
  for (const std::string operation : {"add", "sub", "mul"}) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    EXPECT_EQ(run<std::uint32_t>(operation + ".f32", a, b),
              run<std::uint32_t>(operation + ".rn.f32", a, b));
  }
}

TEST(PtxF32, SaturationClampsAndTakesNanToZero) {
  Words words(3);
  for (int round = 0; round < 50; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    const Register plain = run<std::uint32_t>("add.ftz.f32", a, b);
    const Register d = run<std::uint32_t>("add.ftz.sat.f32", a, b);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const float x = f32(plain[l]);
      const float want = std::isnan(x) || x <= 0 ? 0.0f : x >= 1 ? 1.0f : x;
      ASSERT_EQ(d[l], bits_of(want)) << std::hex << a[l] << " " << b[l];
    }
  }
}

// A single NaN loses, two give the canonical one; -0 lies below +0; .NaN lets a NaN win.
TEST(PtxF32, ExtremesFollowPtx) {
  const auto check = [](const char* opcode, std::uint32_t a, std::uint32_t b, std::uint32_t want) {
    Register x, y;
    x.fill(a);
    y.fill(b);
    EXPECT_EQ(run<std::uint32_t>(opcode, x, y)[7], want)
        << opcode << std::hex << " " << a << " " << b;
  };
  const std::uint32_t one = 0x3F800000, two = 0x40000000, minus = 0x80000000, tiny = 0x00000001;
  check("max.f32", one, two, two);
  check("min.f32", one, two, one);
  check("max.f32", 0x7FC00001, one, one);
  check("min.f32", one, 0xFFFFFFFF, one);
  check("max.f32", 0x7FC00001, 0xFFC00000, kNan);
  check("max.NaN.f32", 0x7FC00001, one, kNan);
  check("max.f32", minus, 0, 0);
  check("max.f32", 0, minus, 0);
  check("min.f32", 0, minus, minus);
  check("min.f32", minus, 0, minus);
  check("max.ftz.f32", tiny, minus, 0);
  check("max.f32", tiny, minus, tiny);
  check("min.f32", 0xFF800000, 0x80000001, 0xFF800000);
  check("max.xorsign.abs.f32", 0xC0000000, one, 0xC0000000);
  check("min.xorsign.abs.f32", 0xC0000000, 0xBF800000, one);
}

TEST(PtxF32, SignsAndMagnitudes) {
  Words words(4);
  const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
  const Register absolute = run<std::uint32_t>("abs.f32", a),
                 negated = run<std::uint32_t>("neg.f32", a),
                 copied = run<std::uint32_t>("copysign.f32", a, b),
                 flushed = run<std::uint32_t>("neg.ftz.f32", a);
  for (std::size_t l = 0; l < kLanes; ++l) {
    EXPECT_EQ(absolute[l], a[l] & 0x7FFFFFFF);
    EXPECT_EQ(negated[l], a[l] ^ 0x80000000);
    EXPECT_EQ(copied[l], (a[l] & 0x80000000) | (b[l] & 0x7FFFFFFF));
    EXPECT_EQ(flushed[l], flush(a[l]) ^ 0x80000000);
  }
}

TEST(PtxF32, TheResultMayReplaceAnOperand) {
  Words words(5);
  for (const char* opcode :
       {"add.f32", "mul.ftz.f32", "max.f32", "div.full.ftz.f32", "div.rn.f32"}) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    const Register want = run<std::uint32_t>(opcode, a, b);
    Register first = a, second = b;
    lane_op(opcode).run(first.data(), first.data(), b.data(), nullptr);
    lane_op(opcode).run(second.data(), a.data(), second.data(), nullptr);
    EXPECT_EQ(first, want) << opcode;
    EXPECT_EQ(second, want) << opcode;
  }
}

TEST(PtxF64, RoundsOnce) {
  Words words(6);
  for (int round = 0; round < 100; ++round) {
    const auto a = words.next<std::uint64_t>(), b = words.next<std::uint64_t>(),
               c = words.next<std::uint64_t>();
    const WideRegister d = run<std::uint64_t>("fma.rn.f64", a, b, c),
                       s = run<std::uint64_t>("add.f64", a, b);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const double x = f64(a[l]), y = f64(b[l]), z = f64(c[l]);
      if (std::isfinite(x) && std::isfinite(y) && std::isfinite(z)) {
        EXPECT_EQ(f64(d[l]), Exact::fused(x, y, z).rounded(53, -1074, 1024, MPFR_RNDN));
        EXPECT_EQ(f64(s[l]), Exact::add(x, y).rounded(53, -1074, 1024, MPFR_RNDN));
      } else if (std::isnan(x + y)) {
        EXPECT_EQ(s[l], 0xFFF8000000000000);
      }
    }
  }
}

TEST(PtxF64, ApproximationsAreStandIns) {
  WideRegister a;
  a.fill(std::bit_cast<std::uint64_t>(3.0));
  EXPECT_EQ(run<std::uint64_t>("rcp.approx.ftz.f64", a)[5], 0x3FD5555500000000);
  EXPECT_EQ(run<std::uint64_t>("rsqrt.approx.f64", a)[5],
            std::bit_cast<std::uint64_t>(1 / std::sqrt(3.0)));
  EXPECT_EQ(run<std::uint64_t>("rsqrt.approx.ftz.f64", a)[5] & 0xFFFFFFFF, 0u);
  EXPECT_EQ(lane_op("rsqrt.approx.f64").fidelity, Fidelity::stand_in);
}

TEST(PtxLaneOp, RefusesWhatItLacks) {
  for (const char* opcode :
       {"add.cc.u32", "fma.rn.f128", "ex2.approx.bf16x2", "add.rz.f64", "mul.wide.s64", "foo.f32",
        "mul.f32.f32", "cvt.rs.f16x2.f32", "lg2.f32", "min.relu.u32", "cvt.rn.e4m3x2.f32"}) {
    EXPECT_THROW(lane_op(opcode), Error) << opcode;
  }
  EXPECT_TRUE(is_lane_op("fma.rn.f32"));
  EXPECT_FALSE(is_lane_op("wgmma.fence"));
}

}  // namespace
}  // namespace karat::ptx::units
