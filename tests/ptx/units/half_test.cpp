// f16 and bf16 arithmetic of lanes against MPFR, single and in pairs.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "exact.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;

struct Half {
  const char* name;
  FormatId format;
};
constexpr Half kHalves[] = {{"f16", FormatId::f16}, {"bf16", FormatId::bf16}};

double value(std::uint32_t code, FormatId format) {
  return numerics::decode_f64(code & 0xFFFF, format);
}
std::uint32_t code(double x, FormatId format) {
  return std::isnan(x) ? 0x7FFF : numerics::encode_f64(x, format, numerics::kAsComputed);
}

/// Rounded once from the exact value; zeros and specials as f64 has them.
std::uint32_t rounded(const Exact& exact, double plain, FormatId format) {
  if (!std::isfinite(plain) || mpfr_zero_p(exact.value())) return code(plain, format);
  const double x = format == FormatId::f16 ? exact.to_f16() : exact.to_bf16();
  return code(x == 0 ? std::copysign(0.0, plain) : x, format);
}

TEST(PtxHalves, RoundOnce) {
  Words words(41);
  for (const auto& [name, format] : kHalves) {
    for (const bool two : {false, true}) {
      const std::string type = std::string(".") + name + (two ? "x2" : "");
      for (int round = 0; round < 100; ++round) {
        auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
             c = words.next<std::uint32_t>();
        if (!two)
          for (std::size_t l = 0; l < kLanes; ++l) a[l] >>= 16, b[l] >>= 16, c[l] >>= 16;
        const auto sum = run<std::uint32_t>("add.rn" + type, a, b),
                   difference = run<std::uint32_t>("sub" + type, a, b),
                   product = run<std::uint32_t>("mul" + type, a, b),
                   fused = run<std::uint32_t>("fma.rn" + type, a, b, c),
                   relu = run<std::uint32_t>("fma.rn.relu" + type, a, b, c);
        for (std::size_t l = 0; l < kLanes; ++l) {
          for (int half = 0; half < (two ? 32 : 16); half += 16) {
            const double x = value(a[l] >> half, format), y = value(b[l] >> half, format),
                         z = value(c[l] >> half, format);
            const auto part = [&](const Register& r) { return (r[l] >> half) & 0xFFFF; };
            const auto number = [](double v) { return std::isfinite(v) ? v : 0.0; };
            const Exact s = Exact::add(number(x), number(y)), d = Exact::add(number(x), -number(y)),
                        p = Exact::fused(number(x), number(y), 0),
                        f = Exact::fused(number(x), number(y), number(z));
            ASSERT_EQ(part(sum), rounded(s, x + y, format)) << name << x << " + " << y;
            ASSERT_EQ(part(difference), rounded(d, x - y, format));
            ASSERT_EQ(part(product), rounded(p, x * y, format)) << x << " * " << y;
            const std::uint32_t want = rounded(f, x * y + z, format);
            ASSERT_EQ(part(fused), want) << name << " " << x << " * " << y << " + " << z;
            const bool negative = want != 0x7FFF && (want & 0x8000) != 0;
            ASSERT_EQ(part(relu), negative ? 0 : want);
          }
          if (!two) {
            ASSERT_EQ(sum[l] >> 16, 0u);
          }
        }
      }
    }
  }
}

TEST(PtxHalves, ExtremesAndSigns) {
  Words words(42);
  for (const auto& [name, format] : kHalves) {
    const std::string type = std::string(".") + name + "x2";
    for (int round = 0; round < 50; ++round) {
      const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
      const auto low = run<std::uint32_t>("min" + type, a, b),
                 high = run<std::uint32_t>("max.NaN" + type, a, b),
                 magnitude = run<std::uint32_t>("max.NaN.xorsign.abs" + type, a, b),
                 absolute = run<std::uint32_t>("abs" + type, a),
                 negated = run<std::uint32_t>("neg" + type, a);
      for (std::size_t l = 0; l < kLanes; ++l) {
        EXPECT_EQ(absolute[l], a[l] & 0x7FFF7FFF);
        EXPECT_EQ(negated[l], a[l] ^ 0x80008000);
        for (const int half : {0, 16}) {
          const std::uint32_t p = (a[l] >> half) & 0xFFFF, q = (b[l] >> half) & 0xFFFF;
          const double x = value(p, format), y = value(q, format);
          const bool first = std::signbit(x) != std::signbit(y) ? std::signbit(x) : x <= y;
          const std::uint32_t smaller = std::isnan(x) && std::isnan(y) ? 0x7FFF
                                        : std::isnan(x)                ? q
                                        : std::isnan(y)                ? p
                                        : first                        ? p
                                                                       : q;
          const std::uint32_t larger = std::isnan(x) || std::isnan(y) ? 0x7FFF : first ? q : p;
          ASSERT_EQ((low[l] >> half) & 0xFFFF, smaller) << x << " " << y;
          ASSERT_EQ((high[l] >> half) & 0xFFFF, larger) << x << " " << y;
          const std::uint32_t most = std::isnan(x) || std::isnan(y)
                                         ? 0x7FFF
                                         : std::max(p & 0x7FFF, q & 0x7FFF) | ((p ^ q) & 0x8000);
          ASSERT_EQ((magnitude[l] >> half) & 0xFFFF, most) << x << " " << y;
        }
      }
    }
  }
}

TEST(PtxHalves, FlushingAndSaturation) {
  Register a, b;
  a.fill(0x0001);
  b.fill(0x8002);
  EXPECT_EQ(run<std::uint32_t>("add.ftz.f16", a, b)[0], 0u);
  EXPECT_EQ(run<std::uint32_t>("add.f16", a, b)[0], 0x8001u);
  a.fill(0x4000);
  b.fill(0x3800);
  EXPECT_EQ(run<std::uint32_t>("add.sat.f16", a, b)[0], 0x3C00u);
  EXPECT_EQ(run<std::uint32_t>("sub.sat.f16", b, a)[0], 0u);
}

}  // namespace
}  // namespace karat::ptx::units
