// The chain's worst-case error against f64 sums, over ordinary and cancelling operands.
#include "chain_error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "karat/numerics/formats/convert.hpp"

namespace karat::bounds {
namespace {

class ChainError : public testing::TestWithParam<const char*> {};

TEST_P(ChainError, BoundsEveryChain) {
  const numerics::Instruction& instruction = numerics::instruction(GetParam());
  const auto format = numerics::input_format(instruction);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  double largest_share = 0;
  for (int round = 0; round < 3000; ++round) {
    const std::size_t k = 1 + random() % 160;
    const int spread = static_cast<int>(random() % 12);
    std::vector<float> a(k), b(k);
    for (auto* x : {&a, &b})
      for (float& value : *x) {
        value = std::ldexp(normal(random), -static_cast<int>(random() % (spread + 1)));
        if (format != numerics::FormatId::f32)
          value = numerics::decode(numerics::encode(value, format), format);
      }
    for (float& value : a) value = std::abs(value);  // P
    float d = round % 2 ? normal(random) * 8 : 0.0f;
    if (numerics::accumulator_format(instruction) == numerics::FormatId::f16)
      d = numerics::decode(numerics::encode(d, numerics::FormatId::f16), numerics::FormatId::f16);
    ChainSize size{.k = k, .start = std::abs(d)};
    double exact = d;
    for (std::size_t i = 0; i < k; ++i) {
      exact += static_cast<double>(a[i]) * b[i];
      size.a_max = std::max<double>(size.a_max, a[i]);
      size.b_max = std::max<double>(size.b_max, std::abs(b[i]));
      size.a_sum += a[i];
    }
    numerics::RowOperand row;
    numerics::ColumnOperand column;
    row.pack(instruction, numerics::row_major<const float>(a.data(), 1, k));
    column.pack(instruction, numerics::row_major<const float>(b.data(), 1, k));
    numerics::chain(instruction, row, column, numerics::Start::from_d,
                    numerics::row_major(&d, 1, 1));
    const double bound = ChainBound(instruction).of_size(size);
    ASSERT_LE(std::abs(d - exact), bound) << "k " << k << " round " << round;
    largest_share = std::max(largest_share, std::abs(d - exact) / bound);
  }
  RecordProperty("largest_share_of_bound", std::to_string(largest_share));
  EXPECT_GT(largest_share, 1e-6);  // a bound that nothing comes near would prove nothing
}

INSTANTIATE_TEST_SUITE_P(Instructions, ChainError,
                         testing::Values("hopper.wgmma.e4m3.f32", "hopper.wgmma.e4m3.f16",
                                         "hopper.wgmma.bf16.f32", "hopper.mma.e4m3.f32",
                                         "ada.mma.e4m3.f16", "ada.mma.f16.f32", "ada.mma.f16.f16",
                                         "blackwell.tcgen05.e4m3.f32", "f32.fma", "exact"));

/// Twelve more fraction bits count, where the input format alone would not tell.
TEST(ChainBound, ReadsTheInstructionsRow) {
  const ChainSize size{.k = 128, .a_max = 1, .b_max = 1, .a_sum = 128};
  const auto bound = [&](const char* name) {
    return ChainBound(numerics::instruction(name)).of_size(size);
  };
  EXPECT_LT(bound("blackwell.tcgen05.e4m3.f32"), 0x1p-9 * bound("hopper.wgmma.e4m3.f32"));
  EXPECT_LT(bound("exact"), 2 * 0x1p-24 * 128);
  EXPECT_EQ(bound("ampere.mma.s8.s32"), 0);
}

}  // namespace
}  // namespace karat::bounds
