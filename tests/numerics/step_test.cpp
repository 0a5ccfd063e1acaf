// One instruction on raw codes: the published worked examples, the accumulator that stalls, and the
// rows captured on real GPUs (read in place; a missing file is said, not passed over).
#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"

namespace karat::numerics {
namespace {

using Codes = std::vector<std::uint32_t>;

Codes repeated(std::uint32_t code, std::size_t count) { return Codes(count, code); }

Codes padded(Codes codes) {
  codes.resize(32);
  return codes;
}

struct Example {
  Codes a, b;
  std::uint32_t c32, d32;
  std::uint32_t c16, d16;  // 0xFFFFFFFF: not given
};

constexpr std::uint32_t kNone = 0xFFFFFFFF;

std::vector<Example> examples() {
  Codes first38(32, 0x01), second38(32, 0x10);
  first38[0] = second38[0] = 0x38;
  return {
      {{0x38}, {0x38}, 0x00000000, 0x3f800000, 0x0000, 0x3c00},
      {repeated(0x7e, 32), repeated(0x7e, 32), 0x00000000, 0x4ac40000, 0x0000, 0x7c00},
      {{0x7e, 0x01}, {0x7e, 0x01}, 0x00000000, 0x48440000, 0x0000, 0x7c00},
      {{0x38, 0x01}, {0x38, 0x18}, 0x00000000, 0x3f800400, 0x0000, 0x3c00},
      {{0x38, 0x01}, {0x38, 0x10}, 0x00000000, 0x3f800000, 0x0000, 0x3c00},
      {{0x38, 0x81}, {0x38, 0x10}, 0x00000000, 0x3f800000, 0x0000, 0x3c00},
      {first38, second38, 0x00000000, 0x3f800000, 0x0000, 0x3c00},
      {{0x00}, {0x00}, 0x3f800001, 0x3f800000, 0x3c01, 0x3c01},
      {{0x00}, {0x00}, 0xbf800600, 0xbf800400, kNone, kNone},
      {{0x3c}, {0x38}, 0x46000000, 0x46000400, 0x7000, 0x7000},
      {{0x38}, {0x38}, 0x46800000, 0x46800000, 0x7400, 0x7400},
      {{0x7e, 0x7e, 0x38}, {0x7e, 0xfe, 0x01}, 0x00000000, 0x00000000, 0x0000, 0x0000},
      {{0x3f}, {0x3f}, 0x00000000, 0x40610000, 0x0000, 0x4308},
      {{0x07}, {0x38}, 0x00000000, 0x3c600000, 0x0000, 0x2300},
      {{0x01}, {0x01}, 0x33000000, 0x36810000, 0x0000, 0x0040},
      {{0x01}, {0x01}, 0x32800000, 0x36800000, 0x0000, 0x0040},
      {{0x7f}, {0x38}, 0x00000000, 0x7fffffff, 0x0000, 0x7fff},
      {{0xff}, {0x00}, 0x00000000, 0x7fffffff, 0x0000, 0x7fff},
      {{0x38}, {0x38}, 0x7f800000, 0x7f800000, kNone, kNone},
      {{0x38}, {0x38}, 0xff800000, 0xff800000, kNone, kNone},
      {{0x38}, {0x38}, 0xff800001, 0x7fffffff, kNone, kNone},
      {repeated(0x80, 32), repeated(0x38, 32), 0x80000000, 0x00000000, 0x8000, 0x0000},
      {repeated(0x7e, 32), repeated(0x7e, 32), 0x7f7fffff, 0x7f7ffc00, 0x7bff, 0x7c00},
      {{0x00}, {0x00}, 0x007fffff, 0x007ffc00, 0x03ff, 0x03ff},
      {{0x00}, {0x00}, 0x00000001, 0x00000000, 0x0001, 0x0001},
  };
}

float as_value(std::uint32_t bits, FormatId accumulator) {
  return accumulator == FormatId::f32 ? std::bit_cast<float>(bits) : decode(bits, accumulator);
}

/// The same example through pack() and chain().
std::uint32_t through_chain(const Instruction& instruction, const Codes& a, const Codes& b,
                            std::uint32_t c, Path path) {
  std::vector<float> x, y;
  for (std::uint32_t code : a) x.push_back(decode(code, input_format(instruction)));
  for (std::uint32_t code : b) y.push_back(decode(code, column_format(instruction)));
  RowOperand rows;
  ColumnOperand columns;
  rows.pack(instruction, row_major<const float>(x.data(), 1, x.size()));
  columns.pack(instruction, row_major<const float>(y.data(), 1, y.size()));
  float d = as_value(c, accumulator_format(instruction));
  chain(instruction, rows, columns, Start::from_d, row_major(&d, 1, 1), path);
  if (accumulator_format(instruction) == FormatId::f32) return std::bit_cast<std::uint32_t>(d);
  return encode(d, FormatId::f16, {.overflow = Overflow::infinity});
}

void check_example(const char* name, const Example& e, std::uint32_t c, std::uint32_t d) {
  const Instruction& i = instruction(name);
  EXPECT_EQ(step_bits(i, e.a, e.b, c), d) << name;
  EXPECT_EQ(step_bits(i, padded(e.a), padded(e.b), c), d) << name;
  EXPECT_EQ(step_bits(i, e.b, e.a, c), d) << name << ", operands exchanged";
  EXPECT_EQ(through_chain(i, e.a, e.b, c, Path::scalar), d) << name << " scalar chain";
  EXPECT_EQ(through_chain(i, e.a, e.b, c, Path::fast), d) << name << " fast chain";
}

TEST(Step, WorkedExamplesOfQgmma) {
  int number = 0;
  for (const Example& e : examples()) {
    SCOPED_TRACE("example " + std::to_string(number++));
    check_example("hopper.wgmma.e4m3.f32", e, e.c32, e.d32);
    if (e.d16 != kNone) check_example("hopper.wgmma.e4m3.f16", e, e.c16, e.d16);
  }
}

TEST(Step, AccumulatorOfSixteenthsStallsAt64) {
  const Instruction& i = instruction("hopper.wgmma.e4m3.f32");
  const Codes sixteenth = repeated(0x18, 32);
  std::uint32_t c = 0;
  for (int step = 1; step <= 600; ++step) {
    c = step_bits(i, sixteenth, sixteenth, c);
    EXPECT_EQ(std::bit_cast<float>(c), step < 512 ? 0.125f * static_cast<float>(step) : 64.0f);
  }
  EXPECT_EQ(c, 0x42800000u);
  EXPECT_EQ(chain_bits(i, repeated(0x18, 32 * 600), repeated(0x18, 32 * 600), 0), 0x42800000u);
  EXPECT_EQ(through_chain(i, repeated(0x18, 32 * 600), repeated(0x18, 32 * 600), 0, Path::fast),
            0x42800000u);
}

// Without a floor, or with -133, the products keep one bit more than with -126.
TEST(Step, Bf16FloorDecider) {
  const Codes a = {0x1afc, 0x1931, 0x9b4c, 0x9afd}, b = {0x1aa0, 0x1a28, 0x1af6, 0x1abd};
  EXPECT_EQ(step_bits(instruction("hopper.wgmma.bf16.f32"), a, b, 0), 0x8000000cu);
}

TEST(Step, SubnormalsAreNormalisedOnlyWhereF16ComesFirst) {
  // 2^-9 * 2^-9 beside c = 2^-5: grid 2^-18 - the native path keeps the product, F = 13.
  const std::uint32_t c = std::bit_cast<std::uint32_t>(0x1p-5f);
  const std::uint32_t both = std::bit_cast<std::uint32_t>(0x1p-5f + 0x1p-18f);
  EXPECT_EQ(step_bits(instruction("hopper.wgmma.e4m3.f32"), Codes{1}, Codes{1}, c), both);
  EXPECT_EQ(step_bits(instruction("hopper.mma.e4m3.f32"), Codes{1}, Codes{1}, c), both);
  // 8 * 2^-9 * 448 against one product of two subnormals: pe counts them as 2^-12.
  EXPECT_EQ(step_bits(instruction("hopper.mma.e4m3.f32"), Codes{0x18, 0x18}, Codes{0x18, 0x00},
                      std::bit_cast<std::uint32_t>(64.0f)),
            std::bit_cast<std::uint32_t>(64.00390625f));
}

TEST(Step, InfinitiesMeetZeroAndEachOther) {
  const Instruction& i = instruction("hopper.wgmma.e5m2.f32");
  EXPECT_EQ(step_bits(i, Codes{0x7c}, Codes{0x3c}, 0), 0x7f800000u);
  EXPECT_EQ(step_bits(i, Codes{0x7c}, Codes{0xbc}, 0), 0xff800000u);
  EXPECT_EQ(step_bits(i, Codes{0x7c}, Codes{0x00}, 0), 0x7fffffffu);
  EXPECT_EQ(step_bits(i, Codes{0x7c, 0x7c}, Codes{0x3c, 0xbc}, 0), 0x7fffffffu);
  EXPECT_EQ(step_bits(i, Codes{0x7c}, Codes{0x3c}, 0xff800000), 0x7fffffffu);
}

TEST(Step, IntegersWrap) {
  const Instruction& i = instruction("hopper.wgmma.s8.s32");
  EXPECT_EQ(step_bits(i, Codes{0x80}, Codes{0x80}, 5), 16389u);
  EXPECT_EQ(step_bits(i, Codes{0xFF}, Codes{0x01}, 0), 0xFFFFFFFFu);
  EXPECT_EQ(step_bits(i, Codes{0x01}, Codes{0x01}, 0x7FFFFFFF), 0x80000000u);
}

TEST(Step, DefinitionsWithoutHardware) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  const float e = 0x1p-23f;
  // (1+e)(1-e) - 1 = -e^2: a fused operation sees it, two roundings would not.
  EXPECT_EQ(step_bits(instruction("f32.fma"), Codes{bits(1 + e)}, Codes{bits(1 - e)}, bits(-1)),
            bits(-0x1p-46f));
  EXPECT_EQ(chain_bits(instruction("exact"), Codes{bits(0x1p30f), bits(1), bits(-0x1p30f)},
                       Codes{bits(1), bits(1), bits(1)}, 0),
            bits(1));
}

TEST(Step, MisuseIsAnError) {
  const Instruction& i = instruction("hopper.wgmma.e4m3.f32");
  EXPECT_THROW(step_bits(i, repeated(0, 33), repeated(0, 33), 0), Error);
  EXPECT_THROW(step_bits(i, Codes{1, 2}, Codes{1}, 0), Error);
  try {
    instruction("hopper.wgmma.e4m3");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'hopper.wgmma.e4m3.f32'"),
              std::string::npos);
  }
}

Codes parse_codes(const std::string& hex) {
  Codes codes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    codes.push_back(static_cast<std::uint32_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return codes;
}

struct Capture {
  const char* file;
  const char* instruction;
};

class HardwareRows : public ::testing::TestWithParam<Capture> {};

TEST_P(HardwareRows, AllMatch) {
  const std::filesystem::path path =
      std::filesystem::path(KARAT_DATA_DIR) / "hardware" / GetParam().file;
  std::ifstream in(path);
  if (!in) GTEST_SKIP() << "no captured rows at " << path << "; set KARAT_DATA_DIR";
  const Instruction& i = instruction(GetParam().instruction);
  const bool f16 = accumulator_format(i) == FormatId::f16;
  std::size_t rows = 0, different = 0, fast_different = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::string a, b, c, d;
    fields >> a >> b >> c >> d;
    const auto word = [](const std::string& hex) {
      return static_cast<std::uint32_t>(std::stoul(hex, nullptr, 16));
    };
    // The f16 file holds f32 words: c is rounded to f16 first, D was widened.
    const auto half = [](std::uint32_t bits) {
      return encode(std::bit_cast<float>(bits), FormatId::f16, {.overflow = Overflow::infinity});
    };
    const std::uint32_t c_bits = f16 ? half(word(c)) : word(c);
    const std::uint32_t d_bits = f16 ? half(word(d)) : word(d);
    const Codes x = parse_codes(a), y = parse_codes(b);
    different += step_bits(i, x, y, c_bits) != d_bits;
    fast_different += through_chain(i, x, y, c_bits, Path::fast) != d_bits;
    ++rows;
  }
  EXPECT_EQ(rows, 5000u);
  EXPECT_EQ(different, 0u);
  EXPECT_EQ(fast_different, 0u);
}

INSTANTIATE_TEST_SUITE_P(Captures, HardwareRows,
                         ::testing::Values(Capture{"H100_E4M3_fp32.txt", "hopper.wgmma.e4m3.f32"},
                                           Capture{"H100_E4M3_fp16.txt", "hopper.mma.e4m3.f16"},
                                           Capture{"Ada_E4M3_fp32.txt", "ada.mma.e4m3.f32"}),
                         [](const auto& test) {
                           std::string name = test.param.instruction;
                           for (char& ch : name) ch = ch == '.' ? '_' : ch;
                           return name;
                         });

}  // namespace
}  // namespace karat::numerics
