// Comparisons of lanes: every relation of every type.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "karat/numerics/formats/convert.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

template <typename T>
bool holds(std::string_view relation, T a, T b) {
  const bool unordered = a != a || b != b;
  if (relation == "eq") return !unordered && a == b;
  if (relation == "ne") return !unordered && a != b;
  if (relation == "lt" || relation == "lo") return a < b;
  if (relation == "le" || relation == "ls") return a <= b;
  if (relation == "gt" || relation == "hi") return a > b;
  if (relation == "ge" || relation == "hs") return a >= b;
  if (relation == "num") return !unordered;
  if (relation == "nan") return unordered;
  return unordered || holds(relation.substr(0, 2), a, b);
}

template <typename Word, typename Read>
void check(const std::string& opcode, std::string_view relation, Read read, Words& words) {
  const CompareOp op = compare_op(opcode);
  ASSERT_EQ(op.operand_bits, 8 * sizeof(Word)) << opcode;
  for (int round = 0; round < 20; ++round) {
    const auto a = words.next<Word>();
    auto b = words.next<Word>();
    for (std::size_t l = 0; l < kLanes; l += 3) b[l] = a[l];
    const std::uint32_t mask = op.run(a.data(), b.data());
    for (std::size_t l = 0; l < kLanes; ++l) {
      ASSERT_EQ((mask >> l) & 1, std::uint32_t{holds(relation, read(a[l]), read(b[l]))}) << opcode;
    }
  }
}

TEST(PtxCompare, EveryRelation) {
  Words words(61);
  for (const std::string r : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    const std::string s = "setp." + r + ".";
    check<std::uint32_t>(
        s + "s32", r, [](std::uint32_t x) { return static_cast<std::int32_t>(x); }, words);
    check<std::uint32_t>(
        s + "u32", r, [](std::uint32_t x) { return x; }, words);
    check<std::uint32_t>(
        s + "s16", r, [](std::uint32_t x) { return static_cast<std::int16_t>(x); }, words);
    check<std::uint32_t>(
        s + "u16", r, [](std::uint32_t x) { return static_cast<std::uint16_t>(x); }, words);
    check<std::uint64_t>(
        s + "s64", r, [](std::uint64_t x) { return static_cast<std::int64_t>(x); }, words);
    check<std::uint64_t>(
        s + "and.u64", r, [](std::uint64_t x) { return x; }, words);
  }
  for (const std::string r : {"lo", "ls", "hi", "hs"}) {
    check<std::uint32_t>(
        "setp." + r + ".u32", r, [](std::uint32_t x) { return x; }, words);
  }
  for (const std::string r : {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu",
                              "geu", "num", "nan"}) {
    const std::string s = "setp." + r + ".";
    check<std::uint32_t>(
        s + "f32", r, [](std::uint32_t x) { return f32(x); }, words);
    check<std::uint32_t>(
        s + "ftz.f32", r, [](std::uint32_t x) { return f32((x & 0x7F800000) == 0 ? 0 : x); },
        words);
    check<std::uint64_t>(
        s + "f64", r, [](std::uint64_t x) { return f64(x); }, words);
    check<std::uint32_t>(
        s + "f16", r,
        [](std::uint32_t x) { return numerics::decode(x & 0xFFFF, numerics::FormatId::f16); },
        words);
    check<std::uint32_t>(
        s + "bf16", r, [](std::uint32_t x) { return f32(x << 16); }, words);
  }
}

TEST(PtxCompare, TestpSeesKinds) {
  const std::uint32_t values[] = {0,          0x80000000, 1,          0x00800000,
                                  0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000};
  Register a{};
  std::copy(std::begin(values), std::end(values), a.begin());
  const auto mask = [&](const char* kind) {
    return compare_op(std::string("testp.") + kind + ".f32").run(a.data(), nullptr) & 0xFF;
  };
  EXPECT_EQ(mask("finite"), 0b00011111u);
  EXPECT_EQ(mask("infinite"), 0b01100000u);
  EXPECT_EQ(mask("number"), 0b01111111u);
  EXPECT_EQ(mask("notanumber"), 0b10000000u);
  EXPECT_EQ(mask("normal"), 0b00011011u);  // zeros are
  EXPECT_EQ(mask("subnormal"), 0b00000100u);
}

TEST(PtxCompare, RefusesWhatItLacks) {
  for (const char* opcode :
       {"setp.lt.f16x2", "setp.ltu.s32", "setp.s32", "testp.odd.f32", "set.lt.u32.f32"}) {
    EXPECT_THROW(compare_op(opcode), Error) << opcode;
  }
}

}  // namespace
}  // namespace karat::ptx::units
