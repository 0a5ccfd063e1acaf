// Approximate functions by the scalings ptxas writes around the unit's tables; exact ones by MPFR.
#include <gtest/gtest.h>

#include <cmath>

#include "exact.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

using numerics::ex2_approx_ftz;
using numerics::lg2_approx_ftz;
using numerics::rcp_approx_ftz;
using numerics::rsqrt_approx_ftz;

bool subnormal(float x) { return x != 0 && std::fabs(x) < 0x1p-126f; }
float flushed(float x) { return subnormal(x) ? std::copysign(0.0f, x) : x; }
std::uint32_t canonical(float x) { return std::isnan(x) ? 0x7FFFFFFF : bits_of(x); }

template <typename Reference>
void check1(const char* opcode, Reference reference) {
  Words words(11);
  for (int round = 0; round < 300; ++round) {
    const auto a = words.next<std::uint32_t>();
    const Register d = run<std::uint32_t>(opcode, a);
    for (std::size_t l = 0; l < kLanes; ++l) {
      ASSERT_EQ(d[l], canonical(reference(f32(a[l])))) << opcode << " " << f32(a[l]);
    }
  }
}
template <typename Reference>
void check2(const char* opcode, Reference reference) {
  Words words(12);
  for (int round = 0; round < 300; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    const Register d = run<std::uint32_t>(opcode, a, b);
    for (std::size_t l = 0; l < kLanes; ++l) {
      ASSERT_EQ(d[l], canonical(reference(f32(a[l]), f32(b[l]))))
          << opcode << " " << f32(a[l]) << " " << f32(b[l]);
    }
  }
}

TEST(PtxFunctions, FlushedFormsAreTheUnitAlone) {
  check1("ex2.approx.ftz.f32", [](float x) { return ex2_approx_ftz(x); });
  check1("rcp.approx.ftz.f32", [](float x) { return rcp_approx_ftz(x); });
  check1("rsqrt.approx.ftz.f32", [](float x) { return rsqrt_approx_ftz(x); });
  check1("lg2.approx.ftz.f32", [](float x) { return lg2_approx_ftz(x); });
}

TEST(PtxFunctions, UnflushedFormsScaleAroundTheUnit) {
  check1("ex2.approx.f32", [](float x) {
    if (!(x < -126)) return ex2_approx_ftz(x);
    const float half = ex2_approx_ftz(x * 0.5f);
    return half * half;
  });
  check1("rcp.approx.f32", [](float x) {
    if (std::fabs(x) > 0x1p126f) return rcp_approx_ftz(x * 0.25f) * 0.25f;
    if (std::fabs(x) < 0x1p-126f) return rcp_approx_ftz(x * 0x1p24f) * 0x1p24f;
    return rcp_approx_ftz(x);
  });
  check1("lg2.approx.f32", [](float x) {
    return std::fabs(x) < 0x1p-126f ? lg2_approx_ftz(x * 0x1p24f) - 24 : lg2_approx_ftz(x);
  });
  check1("rsqrt.approx.f32", [](float x) {
    return std::fabs(x) < 0x1p-126f ? rsqrt_approx_ftz(x * 0x1p24f) * 4096 : rsqrt_approx_ftz(x);
  });
}

TEST(PtxFunctions, FullDivisionScalesTheDivisor) {
  check2("div.full.f32", [](float a, float b) {
    const float s = std::fabs(b) > 0x1p126f ? 0.25f : std::fabs(b) < 0x1p-126f ? 0x1p24f : 1.0f;
    return (a * s) * rcp_approx_ftz(b * s);
  });
  check2("div.full.ftz.f32", [](float a, float b) {
    const float s = std::fabs(b) > 0x1p126f ? 0.25f : 1.0f;
    return flushed(flushed(flushed(a) * s) * rcp_approx_ftz(flushed(b) * s));
  });
  check2("div.approx.ftz.f32",
         [](float a, float b) { return flushed(flushed(a) * rcp_approx_ftz(b)); });
}

TEST(PtxFunctions, UnflushedResultsAreClose) {
  for (float x = -149; x < 128; x += 0.37f) {
    Register a;
    a.fill(bits_of(x));
    const float y = f32(run<std::uint32_t>("ex2.approx.f32", a)[0]);
    const float error = std::fabs(y - static_cast<float>(std::exp2(double{x})));
    EXPECT_LE(error, std::ldexp(1.0f, -20) * std::exp2(x) + 0x1p-149f) << x;
  }
}

TEST(PtxFunctions, ExactFormsRoundOnce) {
  const std::pair<const char*, mpfr_rnd_t> modes[] = {
      {"rn", MPFR_RNDN}, {"rz", MPFR_RNDZ}, {"rm", MPFR_RNDD}, {"rp", MPFR_RNDU}};
  Words words(13);
  for (const auto& [suffix, mode] : modes) {
    const std::string s(suffix);
    for (int round = 0; round < 60; ++round) {
      const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
      const Register quotient = run<std::uint32_t>("div." + s + ".f32", a, b),
                     root = run<std::uint32_t>("sqrt." + s + ".f32", a),
                     inverse = run<std::uint32_t>("rcp." + s + ".f32", b),
                     flush = run<std::uint32_t>("div." + s + ".ftz.f32", a, b);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const float x = f32(a[l]), y = f32(b[l]);
        const auto divided = [mode = mode](float p, float q) {
          if (std::isnan(p / q) || q == 0 || std::isinf(q) || std::isinf(p) || p == 0) return p / q;
          return Exact::divided(p, q).to_f32(mode);
        };
        ASSERT_EQ(quotient[l], canonical(divided(x, y))) << x << " / " << y << " " << s;
        ASSERT_EQ(inverse[l], canonical(divided(1, y))) << y << " " << s;
        ASSERT_EQ(flush[l], canonical(flushed(divided(flushed(x), flushed(y)))));
        const float r = x > 0 && std::isfinite(x) ? Exact::root(x).to_f32(mode) : std::sqrt(x);
        ASSERT_EQ(root[l], canonical(r)) << x << " " << s;
      }
    }
  }
}

TEST(PtxFunctions, HalvesAreThatOfF32Rounded) {
  Words words(14);
  const auto a = words.next<std::uint32_t>();
  for (const auto& [type, flush] : {std::pair("f16", ""), std::pair("bf16", ".ftz")}) {
    const std::string to(type), half = "." + to, pair = half + "x2", ex2 = "ex2.approx";
    for (const std::string& base : {ex2 + flush, std::string("tanh.approx")}) {
      EXPECT_EQ(lane_op(base + pair).fidelity, Fidelity::stand_in);
      const auto low = run<std::uint32_t>("cvt.f32" + half, a);
      const std::string single = base == "tanh.approx" ? base : ex2;
      const auto wanted =
          run<std::uint32_t>("cvt.rn" + half + ".f32", run<std::uint32_t>(single + ".f32", low));
      const auto one = run<std::uint32_t>(base + half, a), two = run<std::uint32_t>(base + pair, a);
      for (std::size_t l = 0; l < kLanes; ++l) {
        EXPECT_EQ(one[l], wanted[l]) << base << type << a[l];
        EXPECT_EQ(two[l] & 0xFFFF, wanted[l]) << base << type << a[l];
      }
    }
  }
}

TEST(PtxFunctions, StandInsSaySo) {
  for (const char* opcode : {"sin.approx.f32", "cos.approx.ftz.f32", "tanh.approx.f32",
                             "sqrt.approx.f32", "lg2.approx.f32", "div.approx.f32"}) {
    EXPECT_EQ(lane_op(opcode).fidelity, Fidelity::stand_in) << opcode;
  }
  EXPECT_EQ(lane_op("ex2.approx.ftz.f32").fidelity, Fidelity::supported);
  EXPECT_EQ(lane_op("add.f32").fidelity, Fidelity::definition);
  Register a;
  for (float x : {-7.0f, -1.5f, -0.0f, 1e-7f, 0.3f, 2.0f, 30.0f}) {
    a.fill(bits_of(x));
    EXPECT_NEAR(f32(run<std::uint32_t>("sin.approx.f32", a)[3]), std::sin(x), 1e-6) << x;
    EXPECT_NEAR(f32(run<std::uint32_t>("cos.approx.f32", a)[3]), std::cos(x), 1e-6) << x;
    EXPECT_NEAR(f32(run<std::uint32_t>("tanh.approx.f32", a)[3]), std::tanh(x), 1e-6) << x;
  }
}

}  // namespace
}  // namespace karat::ptx::units
