// Conversions at the edges: published words per policy, ties, and round trips of every code.
// The sweep over all floats is convert_sweep_test.cpp.
#include "karat/numerics/formats/convert.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Convert, E4m3TableOfConventions) {
  struct Row {
    const char* policy;
    std::uint32_t minus_zero, at_464, above, below, inf, minus_inf, nan, minus_nan;
  };
  const Row rows[] = {
      {"nvidia_satfinite", 0x80, 0x7E, 0x7E, 0xFE, 0x7E, 0xFE, 0x7F, 0x7F},
      {"nvidia_nosat", 0x80, 0x7E, 0x7F, 0xFF, 0x7F, 0xFF, 0x7F, 0x7F},
      {"torch", 0x80, 0x7E, 0x7F, 0xFF, 0x7F, 0xFF, 0x7F, 0xFF},
      {"ml_dtypes", 0x80, 0x7E, 0x7F, 0xFF, 0x7F, 0xFF, 0x7F, 0xFF},
      {"onnx_saturate", 0x80, 0x7E, 0x7E, 0xFE, 0x7E, 0xFE, 0x7F, 0xFF},
  };
  const float above = std::nextafter(464.0f, 1000.0f);
  for (const Row& row : rows) {
    SCOPED_TRACE(row.policy);
    const Policy& p = policy(row.policy);
    const auto code = [&](float x) { return encode(x, FormatId::e4m3, p); };
    EXPECT_EQ(code(-0.0f), row.minus_zero);
    EXPECT_EQ(code(464.0f), row.at_464);
    EXPECT_EQ(code(above), row.above);
    EXPECT_EQ(code(-above), row.below);
    EXPECT_EQ(code(kInf), row.inf);
    EXPECT_EQ(code(-kInf), row.minus_inf);
    EXPECT_EQ(code(kNan), row.nan);
    EXPECT_EQ(code(-kNan), row.minus_nan);
  }
  EXPECT_EQ(encode(1e9f, FormatId::e4m3, policy("torch_2_12")), 0x7Eu);
}

TEST(Convert, E5m2OverflowsToInfinity) {
  EXPECT_EQ(encode(61440.0f, FormatId::e5m2, policy("nvidia_nosat")), 0x7Cu);
  EXPECT_EQ(encode(std::nextafter(61440.0f, 0.0f), FormatId::e5m2, policy("nvidia_nosat")), 0x7Bu);
  EXPECT_EQ(encode(-kInf, FormatId::e5m2, policy("nvidia_satfinite")), 0xFBu);
  EXPECT_EQ(encode(-kNan, FormatId::e5m2, policy("nvidia_satfinite")), 0x7Fu);
  EXPECT_EQ(encode(-kNan, FormatId::e5m2, policy("ml_dtypes")), 0xFEu);
}

TEST(Convert, DirectedRoundingStopsAtTheLargestFinite) {
  const auto code = [](float x, Rounding r, Overflow o) {
    return encode(x, FormatId::e4m3, {.rounding = r, .overflow = o});
  };
  EXPECT_EQ(code(1000, Rounding::toward_zero, Overflow::nan), 0x7Eu);
  EXPECT_EQ(code(1000, Rounding::down, Overflow::nan), 0x7Eu);
  EXPECT_EQ(code(1000, Rounding::up, Overflow::nan), 0x7Fu);
  EXPECT_EQ(code(-1000, Rounding::up, Overflow::nan), 0xFEu);
  EXPECT_EQ(code(kInf, Rounding::toward_zero, Overflow::nan), 0x7Fu);
  EXPECT_EQ(code(0x1p-100f, Rounding::up, Overflow::nan), 0x01u);
  EXPECT_EQ(code(-0x1p-149f, Rounding::down, Overflow::nan), 0x81u);
  EXPECT_EQ(code(-0x1p-149f, Rounding::up, Overflow::nan), 0x80u);
}

TEST(Convert, TiesGoWhereTheModeSays) {
  // 1.0625 lies halfway between 1 (0x38) and 1.125 (0x39); 1.1875 between 0x39 and 0x3A.
  EXPECT_EQ(encode(1.0625f, FormatId::e4m3), 0x38u);
  EXPECT_EQ(encode(1.1875f, FormatId::e4m3), 0x3Au);
  EXPECT_EQ(encode(1.0625f, FormatId::e4m3, {.rounding = Rounding::nearest_away}), 0x39u);
  EXPECT_EQ(encode(0x1p-10f, FormatId::e4m3), 0x00u);
  EXPECT_EQ(encode(-0x1p-10f, FormatId::e4m3), 0x80u);
  EXPECT_EQ(encode(std::nextafter(0x1p-10f, 1.0f), FormatId::e4m3), 0x01u);
}

TEST(Convert, E8m0PowersOfTwo) {
  const auto code = [](float x, Rounding r) { return encode(x, FormatId::e8m0, {.rounding = r}); };
  EXPECT_EQ(code(1.0f, Rounding::up), 127u);
  EXPECT_EQ(code(1.0001f, Rounding::up), 128u);
  EXPECT_EQ(code(1.9f, Rounding::down), 127u);
  EXPECT_EQ(code(1.4f, Rounding::nearest_even), 127u);
  EXPECT_EQ(code(1.6f, Rounding::nearest_even), 128u);
  EXPECT_EQ(code(0.0f, Rounding::up), 0u);
  EXPECT_EQ(code(0x1p-149f, Rounding::down), 0u);
  EXPECT_EQ(code(0x1.8p-127f, Rounding::up), 1u);
  EXPECT_EQ(code(-1.0f, Rounding::up), 0xFFu);
  EXPECT_EQ(code(kNan, Rounding::up), 0xFFu);
  EXPECT_EQ(code(std::numeric_limits<float>::max(), Rounding::up), 0xFEu);
}

TEST(Convert, E8m0TiesAsThePolicyHasThem) {
  for (const auto& [name, three, six] : {std::tuple{"nvidia_satfinite", 128u, 130u},
                                         {"ocp_mx", 128u, 130u},
                                         {"ml_dtypes", 129u, 130u},
                                         {"torch", 129u, 130u},
                                         {"torch_2_12", 129u, 130u}}) {
    const auto code = [&](float x) { return encode(x, FormatId::e8m0, policy(name)); };
    EXPECT_EQ(code(3), three) << name;
    EXPECT_EQ(code(6), six) << name;
    EXPECT_EQ(code(std::nextafter(3.0f, 0.0f)), 128u) << name;
    EXPECT_EQ(code(std::nextafter(3.0f, 4.0f)), 129u) << name;
    const std::vector<float> x{3, 6};
    std::vector<std::uint8_t> codes(2);
    encode(x, codes, FormatId::e8m0, policy(name));
    EXPECT_EQ(codes, (std::vector<std::uint8_t>{static_cast<std::uint8_t>(three),
                                                static_cast<std::uint8_t>(six)}));
  }
  // Floats keep their ties: 1.0625 lies between two codes of E4M3, the lower of them even.
  EXPECT_EQ(encode(1.0625f, FormatId::e4m3, policy("ml_dtypes")), 0x38u);
}

TEST(Convert, AnF64IsRoundedOnce) {
  std::mt19937 random(5);
  for (int i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    const Format& f = formats()[i % formats().size()];
    const Policy how{.rounding = static_cast<Rounding>(random() % 6),
                     .overflow = static_cast<Overflow>(random() % 3)};
    const auto chance = static_cast<std::uint32_t>(random());
    ASSERT_EQ(encode_f64(x, f.id, how, chance), encode(x, f.id, how, chance)) << f.name << " " << x;
  }
  const double above = 1.0625 + 0x1p-40;  // as an f32 it is the tie
  EXPECT_EQ(encode(static_cast<float>(above), FormatId::e4m3), 0x38u);
  EXPECT_EQ(encode_f64(above, FormatId::e4m3), 0x39u);
  EXPECT_EQ(decode_f64(16777217, FormatId::int32), 16777217.0);
  EXPECT_EQ(decode_f64(0x80000001u, FormatId::int32), -2147483647.0);
}

TEST(Convert, AsComputedKeepsInfNanAndSigns) {
  for (const FormatId id : {FormatId::f16, FormatId::bf16, FormatId::e5m2}) {
    const Format& f = format(id);
    EXPECT_EQ(encode(kInf, id, kAsComputed), f.infinity());
    EXPECT_EQ(encode(-kInf, id, kAsComputed), f.infinity() | f.sign_mask());
    EXPECT_TRUE(f.is_nan(encode(kNan, id, kAsComputed)));
    EXPECT_EQ(encode(-kNan, id, kAsComputed) & f.sign_mask(), f.sign_mask());
    EXPECT_EQ(encode(-0.0f, id, kAsComputed), f.sign_mask());
  }
}

TEST(Convert, Integers) {
  EXPECT_EQ(encode(2.5f, FormatId::int8), 2u);
  EXPECT_EQ(encode(3.5f, FormatId::int8), 4u);
  EXPECT_EQ(encode(-1.0f, FormatId::int8), 0xFFu);
  EXPECT_EQ(encode(-128.4f, FormatId::int8), 0x80u);
  EXPECT_EQ(encode(1e30f, FormatId::int8), 0x7Fu);
  EXPECT_EQ(encode(-kInf, FormatId::int4), 0x8u);
  EXPECT_EQ(encode(kNan, FormatId::int8), 0u);
}

// Halves, the ends of the range, specials, and any bits at all, in vectors and behind them.
TEST(Convert, ArraysOfIntegersAndE2m1EqualSingleValues) {
  std::vector<float> x{kNan, -kNan, kInf, -kInf, 0.0f, -0.0f, 1e30f, -1e30f, 0x1p-149f};
  for (float half = -140; half <= 140; half += 0.5f)
    for (const float near : {half, std::nextafter(half, -kInf), std::nextafter(half, kInf)})
      x.push_back(near);
  std::mt19937 random(9);
  for (int i = 0; i < 4000; ++i)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  testing::for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    std::vector<std::uint8_t> codes(x.size());
    for (const FormatId id : {FormatId::int8, FormatId::int4, FormatId::e2m1})
      for (const Rounding rounding :
           {Rounding::nearest_even, Rounding::toward_zero, Rounding::up}) {
        const Policy policy{.rounding = rounding};
        encode(x, codes, id, policy);
        for (std::size_t i = 0; i < x.size(); ++i)
          ASSERT_EQ(codes[i], encode(x[i], id, policy)) << x[i];
      }
    for (const FormatId id : {FormatId::int8, FormatId::int4, FormatId::e2m1}) {
      std::vector<std::uint8_t> all(format(id).mask() + 1);
      std::iota(all.begin(), all.end(), std::uint8_t{0});
      all.insert(all.end(), {3, 1, 2});
      std::vector<float> values(all.size());
      decode(all, values, id);
      for (std::size_t i = 0; i < all.size(); ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]),
                  std::bit_cast<std::uint32_t>(decode(all[i], id)));
    }
  });
}

TEST(Convert, EveryCodeSurvivesTheRoundTrip) {
  for (const Format& f : formats()) {
    if (f.bits > 19) continue;
    for (std::uint32_t code = 0; code <= f.mask(); ++code) {
      if (f.is_nan(code)) {
        EXPECT_TRUE(std::isnan(decode(code, f.id)));
        continue;
      }
      const Policy exact{.rounding = Rounding::toward_zero, .overflow = Overflow::infinity};
      ASSERT_EQ(encode(decode(code, f.id), f.id, exact), code) << f.name;
    }
  }
}

TEST(Convert, StochasticRoundingIsUnbiased) {
  // 1.03125 is a quarter of the way from 0x38 to 0x39.
  const std::vector<float> x(40000, 1.03125f);
  std::vector<std::uint8_t> codes(x.size());
  encode_e4m3(x, codes, {.rounding = Rounding::stochastic}, {.seed = 3, .stream = 1, .first = 2});
  std::size_t up = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    ASSERT_TRUE(codes[i] == 0x38 || codes[i] == 0x39);
    ASSERT_EQ(codes[i], encode(x[i], FormatId::e4m3, {.rounding = Rounding::stochastic},
                               random_bits(3, 1, 2 + i)));
    up += codes[i] == 0x39;
  }
  EXPECT_NEAR(static_cast<double>(up) / codes.size(), 0.25, 0.01);
}

TEST(Convert, WideningAgreesWithDecode) {
  std::vector<std::uint16_t> codes(65536);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint16_t>(i);
  std::vector<float> bf16(codes.size()), f16(codes.size());
  testing::for_each_target([&](const std::string& target) {
    widen_bf16(codes, bf16);
    widen_f16(codes, f16);
    for (std::uint32_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(bf16[i]),
                std::bit_cast<std::uint32_t>(decode(i, FormatId::bf16)))
          << target;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(f16[i]),
                std::bit_cast<std::uint32_t>(decode(i, FormatId::f16)))
          << target;
    }
  });
}

TEST(Convert, ArraysOfBytesDecodeLikeSingleCodes) {
  // Twice over, and one more, so that vectors and the tail behind them see every kind of code.
  std::vector<std::uint8_t> codes(513);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(i * 255);
  std::vector<float> x(codes.size());
  testing::for_each_target([&](const std::string& target) {
    for (const FormatId id : {FormatId::e4m3, FormatId::e5m2, FormatId::e8m0, FormatId::int8}) {
      decode(codes, x, id);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(x[i]),
                  std::bit_cast<std::uint32_t>(decode(codes[i], id)))
            << target << ", " << format(id).name << " code " << +codes[i];
      }
    }
  });
}

TEST(Convert, MisuseIsAnError) {
  std::vector<float> x(3);
  std::vector<std::uint8_t> codes(2);
  EXPECT_THROW(encode_e4m3(x, codes), Error);
  std::vector<std::uint8_t> enough(3);
  EXPECT_THROW(encode(x, enough, FormatId::bf16), Error);
  EXPECT_THROW(policy("nvidia"), Error);
}

}  // namespace
}  // namespace karat::numerics
