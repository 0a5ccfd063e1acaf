// Rows rounded while they are packed against a cast and a packing, what the kernels read and what
// they make of it, on every SIMD target.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/chain/packed.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

constexpr std::size_t kRows = 11;

/// Aligned sums whose rows are rounded.
std::vector<std::string> rounded_instructions() {
  std::vector<std::string> names;
  for (const Instruction& row : instructions())
    if (lanes_of(row) != Lanes::plain && row.arithmetic != Arithmetic::emulated &&
        row.input == row.multiplied)
      names.emplace_back(row.name);
  return names;
}

/// Not negative: zeros, values around every grid the format has, ties, values beyond the largest.
std::vector<float> draw(const Format& input, std::size_t count, testing::Random& random) {
  const float largest = decode(input.max_finite(), input.id);
  std::vector<float> x(count);
  for (float& value : x) {
    const std::uint32_t code = random() % (input.max_finite() + 1);
    const float low = decode(code, input.id);
    const float high = code == input.max_finite() ? low : decode(code + 1, input.id);
    switch (random() % 8) {
      case 0:
        value = 0;
        break;
      case 1:
        value = low / 2 + high / 2;
        break;  // a tie
      case 2:
        value = std::nextafter(low / 2 + high / 2, HUGE_VALF);
        break;
      case 3:
        value = std::nextafter(low / 2 + high / 2, 0.0f);
        break;
      case 4:
        value = random() % 16 == 0 ? largest * 1.5f : low;
        break;
      case 5:
        value = random() % 16 == 0 ? HUGE_VALF : high;
        break;
      default:
        value = low + (high - low) * static_cast<float>(random() % 1000) / 1000;
    }
    // Formats that reach far take no value above 2^100.
    if (largest > 0x1p100f) value = std::min(value, 0x1p99f);
  }
  return x;
}

/// What the kernel reads of a packed operand, back in the order of k.
struct Read {
  std::vector<float> values;
  std::vector<std::uint32_t> exponents;  ///< of a product left out, those of zeros
  std::size_t left_out = 0;              ///< products of pairs
};

Read read(const RowOperand::Packed& p) {
  const auto step = static_cast<std::size_t>(p.instruction->step);
  const std::size_t pairs = (p.rows + 1) / 2;
  const bool narrow = lanes_of(*p.instruction) == Lanes::split_f32;
  const std::uint32_t none =
      narrow ? (kNoExponent8 & 0xFFu) * 0x01010101u : (kNoExponent16 & 0xFFFFu) * 0x00010001u;
  Read made{.values = std::vector<float>(p.rows * p.padded),
            .exponents = std::vector<std::uint32_t>(2 * pairs * p.padded, none)};
  for (std::size_t i = 0; i < p.rows; ++i) p.unpack(i, &made.values[i * p.padded]);
  for (std::size_t i = 0; i < 2 * pairs; ++i)
    for (std::size_t q = 0; q < p.padded; ++q) {
      const std::size_t place = (i / 2 * p.padded + q) / step, used = p.used.data()[place];
      if (q % step >= used) {
        made.left_out += i % 2;
        continue;
      }
      const std::size_t k = p.schedule.data()[i / 2 * p.padded + q] / (2 * kPanel);
      const std::size_t at = used < step ? q / step * step + k : q;
      // Filling may stand for any k.
      const std::uint32_t exponent = p.exponent.data()[i * p.padded + q];
      if (used == step || exponent != none) made.exponents[i * p.padded + at] = exponent;
    }
  return made;
}

void expect_equal(const RowOperand& a, const RowOperand& b) {
  const Read x = read(a.packed()), y = read(b.packed());
  EXPECT_EQ(std::memcmp(x.values.data(), y.values.data(), x.values.size() * sizeof(float)), 0);
  EXPECT_EQ(x.exponents, y.exponents);
  for (std::size_t i = 0; i < a.rows(); ++i)
    EXPECT_EQ(a.packed().special.data()[i], b.packed().special.data()[i]);
}

/// Both by random columns, onto what D holds.
void expect_equal_products(const Instruction& row, const RowOperand& a, const RowOperand& b,
                           testing::Random& random) {
  const Format& input = format(input_format(row));
  constexpr std::size_t kColumns = 75;
  std::vector<float> values(kColumns * a.k());
  for (float& value : values) {
    value = decode(random() % (input.max_finite() + 1), input.id) * (random() % 2 ? 1 : -1);
    if (input.min_exponent() == -126) value = std::ldexp(value, value > 1 || value < -1 ? -100 : 0);
    value = decode(encode(value, input.id), input.id);
  }
  ColumnOperand columns;
  columns.pack(row, row_major<const float>(values.data(), kColumns, a.k()));
  std::vector<float> x(a.rows() * kColumns, 1.5f), y = x;
  chain(row, a, columns, Start::from_d, row_major(x.data(), a.rows(), kColumns));
  chain(row, b, columns, Start::from_d, row_major(y.data(), b.rows(), kColumns));
  EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size() * sizeof(float)), 0);
}

std::vector<float> cast(std::vector<float> x, float factor, FormatId id) {
  for (float& value : x) {
    value *= factor;
    value = decode(encode(value, id), id);
  }
  return x;
}

class RoundRows : public ::testing::TestWithParam<std::string> {};

TEST_P(RoundRows, EqualACastAndAPacking) {
  const Instruction& row = instruction(GetParam());
  const Format& input = format(row.input);
  const std::size_t k = std::max<std::size_t>(3 * static_cast<std::size_t>(row.k), 48);
  const std::size_t stride = k + 5;
  testing::Random random(7);
  testing::for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    for (const float factor : {1.0f, 448.0f, 0.37f}) {
      if (factor != 1 && input.min_exponent() == -126) continue;  // subnormal products
      const std::vector<float> x = draw(input, kRows * stride, random);
      const std::vector<float> values = cast(x, factor, row.input);
      RowOperand rounded, packed;
      packed.pack(row, {values.data(), kRows, k, stride, 1});
      // Mixed signs before: what they leave must not stay.
      rounded.pack(row,
                   row_major<const float>(std::vector<float>(kRows * k, -1.0f).data(), kRows, k));
      rounded.reserve(row, kRows, k);
      std::size_t beyond = 0, expected = 0;
      for (const std::size_t first : {std::size_t{0}, std::size_t{8}}) {
        const std::size_t count = std::min<std::size_t>(8, kRows - first);
        const auto made =
            rounded.round_rows(first, {&x[first * stride], count, k, stride, 1}, factor);
        ASSERT_TRUE(made.packed);
        beyond += made.beyond;
      }
      for (std::size_t i = 0; i < kRows; ++i)
        for (std::size_t j = 0; j < k; ++j)
          expected += x[i * stride + j] * factor > decode(input.max_finite(), input.id);
      EXPECT_EQ(beyond, expected);
      expect_equal(rounded, packed);
      expect_equal_products(row, rounded, packed, random);
      // A second time, on what the first left.
      ASSERT_TRUE(rounded.round_rows(8, {&x[8 * stride], kRows - 8, k, stride, 1}, factor).packed);
      expect_equal(rounded, packed);
    }
  });
}

/// Products that both rows of a pair make zero are left out, whatever was there before.
TEST_P(RoundRows, LeaveOutZeros) {
  const Instruction& row = instruction(GetParam());
  const Format& input = format(row.input);
  const auto step = static_cast<std::size_t>(row.step);
  const std::size_t k = std::max<std::size_t>(4 * static_cast<std::size_t>(row.k), 64);
  testing::Random random(11);
  testing::for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    RowOperand rounded;
    for (const unsigned sparsity : {2u, 7u, 0u, 1u, 16u, 3u}) {
      // Of `sparsity` + 1 keys one is not zero, in either row; a whole step is once.
      std::vector<float> x = draw(input, kRows * k, random);
      for (std::size_t pair = 0; pair < (kRows + 1) / 2; ++pair)
        for (std::size_t j = 0; j < k; ++j)
          if (random() % (sparsity + 1) != 0 || (pair == 1 && j < step))
            for (std::size_t i = 2 * pair; i < std::min(2 * pair + 2, kRows); ++i) x[i * k + j] = 0;
      const std::vector<float> values = cast(x, 1, row.input);
      RowOperand packed;
      packed.pack(row, row_major<const float>(values.data(), kRows, k));
      rounded.reserve(row, kRows, k);
      ASSERT_TRUE(rounded.round_rows(0, row_major<const float>(x.data(), kRows, k), 1).packed);
      expect_equal(rounded, packed);
      expect_equal_products(row, rounded, packed, random);
      std::vector<float> copied(kRows * k);
      rounded.copy_rounded(0, row_major(copied.data(), kRows, k));
      EXPECT_EQ(std::memcmp(copied.data(), values.data(), copied.size() * sizeof(float)), 0);
      const std::size_t left_out = read(rounded.packed()).left_out;
      EXPECT_GE(left_out, step == 16 || step == 32 ? step : 0);
      EXPECT_GE(left_out, sparsity == 7 && step == 32 ? kRows * k / 4 : 0);
    }
    // And a packing over what left some out.
    const std::vector<float> ones(kRows * k, 1.0f);
    RowOperand packed;
    packed.pack(row, row_major<const float>(ones.data(), kRows, k));
    rounded.pack_rows(0, row_major<const float>(ones.data(), kRows, k));
    expect_equal(rounded, packed);
    expect_equal_products(row, rounded, packed, random);
  });
}

TEST_P(RoundRows, RefusesWhatItCannotRound) {
  const Instruction& row = instruction(GetParam());
  const std::size_t k = std::max<std::size_t>(static_cast<std::size_t>(row.k), 16);
  testing::for_each_target([&](const std::string& target) {
    SCOPED_TRACE(target);
    for (const float bad : {-1.0f, -0.0f, std::nanf(""), -std::nanf("")}) {
      std::vector<float> x(2 * k, 0.5f);
      x[k + 3] = bad;
      RowOperand rows;
      rows.reserve(row, 2, k);
      EXPECT_FALSE(rows.round_rows(0, row_major<const float>(x.data(), 2, k), 1).packed) << bad;
    }
    const std::vector<float> x(2 * k + 2, 0.5f);
    RowOperand ragged;
    ragged.reserve(row, 2, k + 1);
    EXPECT_FALSE(ragged.round_rows(0, row_major<const float>(x.data(), 2, k + 1), 1).packed);
  });
}

INSTANTIATE_TEST_SUITE_P(Table, RoundRows, ::testing::ValuesIn(rounded_instructions()),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

/// Every f32 from 0 to 512 in E4M3, every 61st.
TEST(RoundE4m3, EveryValue) {
  const Instruction& row = instruction("hopper.wgmma.e4m3.f32");
  constexpr std::size_t kWidth = 1024;
  const auto end = std::bit_cast<std::uint32_t>(512.0f);
  std::vector<float> x(2 * kWidth);
  RowOperand rounded, packed;
  for (std::uint32_t next = 0; next < end;) {
    for (float& value : x) {
      value = std::bit_cast<float>(std::min(next, end));
      next += 61;
    }
    const std::vector<float> values = cast(x, 1, FormatId::e4m3);
    rounded.reserve(row, 2, kWidth);
    ASSERT_TRUE(rounded.round_rows(0, row_major<const float>(x.data(), 2, kWidth), 1).packed);
    packed.pack(row, row_major<const float>(values.data(), 2, kWidth));
    expect_equal(rounded, packed);
  }
}

TEST(RowOperand, RowsMustFit) {
  const Instruction& row = instruction("hopper.wgmma.e4m3.f32");
  const std::vector<float> x(4 * 32, 0.5f);
  RowOperand rows;
  EXPECT_THROW(rows.pack_rows(0, row_major<const float>(x.data(), 1, 32)), Error);
  rows.reserve(row, 4, 32);
  EXPECT_NO_THROW(rows.pack_rows(2, row_major<const float>(x.data(), 2, 32)));
  EXPECT_THROW(rows.pack_rows(0, row_major<const float>(x.data(), 3, 32)), Error);
  EXPECT_THROW(rows.pack_rows(1, row_major<const float>(x.data(), 2, 32)), Error);
  EXPECT_THROW(rows.pack_rows(4, row_major<const float>(x.data(), 1, 32)), Error);
  EXPECT_THROW(rows.round_rows(0, row_major<const float>(x.data(), 2, 64), 1), Error);
}

}  // namespace
}  // namespace karat::numerics
