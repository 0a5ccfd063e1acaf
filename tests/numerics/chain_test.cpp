// The fast chains against the scalar definition, bit for bit: random and adversarial bits, shapes
// that do not fill panels, long chains, strided and transposed views, on every SIMD target.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

/// How operands and accumulators are drawn.
enum class Draw {
  ordinary,    ///< finite values of similar size
  spread,      ///< exponents 40 apart at most, sums far from overflow
  wild,        ///< any bits that are finite
  specials,    ///< any bits at all: NaN, Inf, subnormals, -0
  tiny,        ///< subnormals and zeros mostly
};

float draw_value(FormatId id, Draw draw, testing::Random& random) {
  const Format& f = format(id);
  for (;;) {
    std::uint32_t code = random() & f.mask();
    if (draw == Draw::tiny) code &= f.sign_mask() | ((2u << f.fraction_bits) - 1);
    if (draw == Draw::tiny && random() % 4 == 0) code &= f.sign_mask();
    if (draw == Draw::ordinary && f.kind == Kind::floating) {
      const std::uint32_t exponent = static_cast<std::uint32_t>(f.bias) - 3 + random.below(6);
      code = (code & ~f.infinity()) | (exponent << f.fraction_bits);
    }
    if (draw == Draw::spread && f.kind == Kind::floating) {
      const std::uint32_t least = f.bias > 20 ? static_cast<std::uint32_t>(f.bias) - 20 : 0;
      const std::uint32_t most = static_cast<std::uint32_t>(f.bias) + std::min(f.bias, 20);
      const std::uint32_t exponent = least + random.below(most - least);
      code = (code & ~f.infinity()) | (exponent << f.fraction_bits);
    }
    const bool special = f.is_nan(code) || f.is_infinity(code);
    if (special && (draw != Draw::specials || random() % 8 != 0)) continue;
    return decode(code, id);
  }
}

std::vector<float> draw_values(std::size_t count, FormatId id, Draw draw, testing::Random& random) {
  std::vector<float> values(count);
  for (float& x : values) x = draw_value(id, draw, random);
  return values;
}

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

struct Shape {
  std::size_t rows, columns, k;
};

void compare(const Instruction& i, Shape shape, Draw draw, Start start, testing::Random& random) {
  const auto a = draw_values(shape.rows * shape.k, input_format(i), draw, random);
  const auto b = draw_values(shape.columns * shape.k, column_format(i), draw, random);
  const FormatId accumulator = accumulator_format(i);
  auto c = accumulator == FormatId::int32
               ? std::vector<float>(shape.rows * shape.columns, 3.0f)
               : draw_values(shape.rows * shape.columns, accumulator, draw, random);
  if (draw == Draw::ordinary) {
    // Not on the grid of a short accumulator, as the caller's rescaled D is not.
    for (float& x : c) x = std::isnan(x) ? 0 : x * 64.01f;
  }
  const auto run = [&](Path path) {
    RowOperand rows;
    ColumnOperand columns;
    rows.pack(i, row_major<const float>(a.data(), shape.rows, shape.k));
    columns.pack(i, row_major<const float>(b.data(), shape.columns, shape.k));
    std::vector<float> d = c;
    chain(i, rows, columns, start, row_major(d.data(), shape.rows, shape.columns), path);
    return d;
  };
  const std::vector<float> expected = run(Path::scalar);
  testing::for_each_target([&](const std::string& target) {
    const std::vector<float> got = run(Path::fast);
    std::size_t different = 0;
    for (std::size_t n = 0; n < got.size(); ++n) different += bits(got[n]) != bits(expected[n]);
    for (std::size_t n = 0; n < got.size() && different; ++n) {
      if (bits(got[n]) == bits(expected[n])) continue;
      ADD_FAILURE() << name(i) << " on " << target << ": " << different << " of " << got.size()
                    << " differ, first at " << n << std::hex << ": " << bits(got[n])
                    << " instead of " << bits(expected[n]) << ", c " << bits(c[n]);
      break;
    }
  });
}

TEST(Chain, LongIntegerSums) {
  // Beyond 1024 products a sum of int8 products no longer fits the significand of f32.
  testing::Random random(103);
  for (Start start : {Start::absent, Start::from_d}) {
    compare(instruction("hopper.wgmma.s8.s32"), {3, 64, 1024}, Draw::wild, start, random);
    compare(instruction("hopper.wgmma.s8.s32"), {3, 64, 1100}, Draw::wild, start, random);
  }
}

class EveryInstruction : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryInstruction, FastEqualsScalar) {
  const Instruction& i = instruction(GetParam());
  const auto group = static_cast<std::size_t>(k_group(i));
  const std::size_t passes = testing::long_run() ? 250 : 1;
  testing::Random random(100);
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (Draw draw : {Draw::ordinary, Draw::spread, Draw::wild, Draw::specials, Draw::tiny}) {
      for (Start start : {Start::absent, Start::from_d}) {
        compare(i, {7, 70, 2 * group}, draw, start, random);
        compare(i, {3, 5, group}, draw, start, random);
      }
    }
  }
}

TEST_P(EveryInstruction, ShapesThatFillNothing) {
  const Instruction& i = instruction(GetParam());
  testing::Random random(101);
  for (Shape shape : {Shape{1, 1, 1}, Shape{2, 63, 17}, Shape{65, 3, 33}, Shape{5, 129, 40},
                      Shape{66, 64, 20}}) {
    compare(i, shape, Draw::ordinary, Start::from_d, random);
  }
  // Every number of vectors in a panel, steps that end early and steps of nothing but padding.
  for (std::size_t columns = 1; columns <= 64; columns += 7) {
    for (Draw draw : {Draw::ordinary, Draw::spread, Draw::wild, Draw::specials, Draw::tiny}) {
      const Start start = columns % 2 == 0 ? Start::absent : Start::from_d;
      compare(i, {3, columns, 1 + columns * 5 % 67}, draw, start, random);
    }
  }
}

TEST_P(EveryInstruction, ChainEqualsCodesOneByOne) {
  const Instruction& i = instruction(GetParam());
  const FormatId input = input_format(i), other = column_format(i);
  const FormatId accumulator = accumulator_format(i);
  testing::Random random(102);
  const std::size_t k = 2 * static_cast<std::size_t>(k_group(i)) + 3;
  for (int n = 0; n < 300; ++n) {
    std::vector<std::uint32_t> a(k), b(k);
    std::vector<float> x(k), y(k);
    for (std::size_t j = 0; j < k; ++j) {
      x[j] = draw_value(input, Draw::ordinary, random);
      y[j] = draw_value(other, n % 2 ? Draw::wild : Draw::ordinary, random);
      a[j] = encode(x[j], input, {.overflow = Overflow::infinity});
      b[j] = encode(y[j], other, {.overflow = Overflow::infinity});
    }
    RowOperand rows;
    ColumnOperand columns;
    rows.pack(i, row_major<const float>(x.data(), 1, k));
    columns.pack(i, row_major<const float>(y.data(), 1, k));
    float d = 0;
    chain(i, rows, columns, Start::absent, row_major(&d, 1, 1), Path::scalar);
    const std::uint32_t word = chain_bits(i, a, b, 0);
    const float expected = accumulator == FormatId::f32 ? std::bit_cast<float>(word)
                                                        : decode(word, accumulator);
    if (std::isnan(expected)) {
      EXPECT_EQ(bits(d), 0x7FFFFFFFu);
    } else {
      EXPECT_EQ(bits(d), bits(expected));
    }
  }
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const Instruction& i : instructions()) all.emplace_back(name(i));
  return all;
}

INSTANTIATE_TEST_SUITE_P(Table, EveryInstruction, ::testing::ValuesIn(names()),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& ch : name) ch = ch == '.' ? '_' : ch;
                           return name;
                         });

TEST(Chain, TransposedViewsAndStridedResults) {
  const Instruction& i = instruction("hopper.wgmma.e4m3.f32");
  testing::Random random(103);
  constexpr std::size_t kRows = 9, kColumns = 75, kK = 50;
  const auto a = draw_values(kRows * kK, FormatId::e4m3, Draw::ordinary, random);
  const auto v = draw_values(kK * kColumns, FormatId::e4m3, Draw::ordinary, random);  // keys x d
  std::vector<float> copied(kColumns * kK), a_columns(kRows * kK);
  for (std::size_t k = 0; k < kK; ++k) {
    for (std::size_t j = 0; j < kColumns; ++j) copied[j * kK + k] = v[k * kColumns + j];
    for (std::size_t r = 0; r < kRows; ++r) a_columns[k * kRows + r] = a[r * kK + k];
  }
  RowOperand rows, strided_rows;
  ColumnOperand transposed, plain;
  rows.pack(i, row_major<const float>(a.data(), kRows, kK));
  strided_rows.pack(i, row_major<const float>(a_columns.data(), kK, kRows).transposed());
  transposed.pack(i, row_major<const float>(v.data(), kK, kColumns).transposed());
  plain.pack(i, row_major<const float>(copied.data(), kColumns, kK));
  std::vector<float> expected(kRows * kColumns), d(kRows * 100, -1.0f), e(kColumns * kRows);
  chain(i, rows, plain, Start::absent, row_major(expected.data(), kRows, kColumns));
  chain(i, strided_rows, transposed, Start::absent,
        {d.data(), kRows, kColumns, 100, 1});
  chain(i, rows, transposed, Start::absent, row_major(e.data(), kColumns, kRows).transposed());
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t j = 0; j < 100; ++j) {
      ASSERT_EQ(bits(d[r * 100 + j]), j < kColumns ? bits(expected[r * kColumns + j]) : bits(-1));
    }
    for (std::size_t j = 0; j < kColumns; ++j) {
      ASSERT_EQ(bits(e[j * kRows + r]), bits(expected[r * kColumns + j]));
    }
  }
}

TEST(Chain, AccumulatorsNearTheEndOfF32) {
  const float huge[] = {0x1p99f, 0x1p100f, -0x1p100f, 0x1p120f, -0x1p127f,
                        std::numeric_limits<float>::max(), std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity(), 0x1p-149f, -0x1p-126f, -0.0f};
  for (const char* name : {"hopper.wgmma.e4m3.f32", "hopper.wgmma.bf16.f32", "f32.fma"}) {
    const Instruction& i = instruction(name);
    const std::vector<float> ones(64, 1.0f);
    RowOperand rows;
    ColumnOperand columns;
    rows.pack(i, row_major<const float>(ones.data(), 1, 64));
    columns.pack(i, row_major<const float>(ones.data(), 1, 64));
    for (float c : huge) {
      float fast = c, scalar = c;
      chain(i, rows, columns, Start::from_d, row_major(&fast, 1, 1), Path::fast);
      chain(i, rows, columns, Start::from_d, row_major(&scalar, 1, 1), Path::scalar);
      EXPECT_EQ(bits(fast), bits(scalar)) << name << " " << c;
    }
  }
}

TEST(Chain, ShapesMustFit) {
  const Instruction& i = instruction("hopper.wgmma.e4m3.f32");
  const std::vector<float> x(64);
  RowOperand rows;
  ColumnOperand columns;
  rows.pack(i, row_major<const float>(x.data(), 2, 32));
  columns.pack(i, row_major<const float>(x.data(), 1, 64));
  std::vector<float> d(2);
  EXPECT_THROW(chain(i, rows, columns, Start::absent, row_major(d.data(), 2, 1)), Error);
  columns.pack(i, row_major<const float>(x.data(), 2, 32));
  EXPECT_THROW(chain(i, rows, columns, Start::absent, row_major(d.data(), 2, 1)), Error);
  columns.pack(instruction("f32.fma"), row_major<const float>(x.data(), 1, 32));
  EXPECT_THROW(chain(i, rows, columns, Start::absent, row_major(d.data(), 2, 1)), Error);
}

}  // namespace
}  // namespace karat::numerics
