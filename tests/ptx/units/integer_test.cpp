// Integer arithmetic and bits of lanes against 128-bit integers and loops over bits.
#include <gtest/gtest.h>

#include <string>

#include "registers.hpp"

namespace karat::ptx::units {
namespace {

__extension__ typedef __int128 Big;

/// An operand as the type reads it, exactly.
Big value(std::uint64_t word, int bits, bool is_signed) {
  const std::uint64_t low = bits == 64 ? word : word & ((std::uint64_t{1} << bits) - 1);
  if (is_signed && (low >> (bits - 1)) != 0) return Big{low} - (Big{1} << bits);
  return low;
}
std::uint64_t cut(Big x, int bits) {
  const auto low = static_cast<std::uint64_t>(x);
  return bits == 64 ? low : low & ((std::uint64_t{1} << bits) - 1);
}
Big shifted(Big x, int bits) { return x >> bits; }  // arithmetic in g++ and clang++

struct Type {
  const char* name;
  int bits;
  bool is_signed;
};
constexpr Type kTypes[] = {{"u16", 16, false}, {"s16", 16, true},  {"u32", 32, false},
                           {"s32", 32, true},  {"u64", 64, false}, {"s64", 64, true}};

template <typename Word>
void check_type(const Type& type, Words& words) {
  const auto read = [&](Word x) { return value(x, type.bits, type.is_signed); };
  const std::string t = std::string(".") + type.name;
  for (int round = 0; round < 50; ++round) {
    auto a = words.next<Word>(), b = words.next<Word>(), c = words.next<Word>();
    if (type.bits == 16) {
      for (std::size_t l = 0; l < kLanes; ++l) a[l] &= 0xFFFF, b[l] &= 0xFFFF, c[l] &= 0xFFFF;
    }
    const auto binary = [&](const std::string& name, auto formula) {
      const auto d = run<Word>(name + t, a, b);
      for (std::size_t l = 0; l < kLanes; ++l) {
        ASSERT_EQ(d[l], cut(formula(read(a[l]), read(b[l])), type.bits)) << name << t;
      }
    };
    const auto ternary = [&](const std::string& name, auto formula) {
      const auto d = run<Word>(name + t, a, b, c);
      for (std::size_t l = 0; l < kLanes; ++l) {
        ASSERT_EQ(d[l], cut(formula(read(a[l]), read(b[l]), read(c[l])), type.bits)) << name << t;
      }
    };
    binary("add", [](Big x, Big y) { return x + y; });
    binary("sub", [](Big x, Big y) { return x - y; });
    binary("min", [](Big x, Big y) { return x < y ? x : y; });
    binary("max", [](Big x, Big y) { return x < y ? y : x; });
    binary("div", [](Big x, Big y) { return y == 0 ? Big{-1} : x / y; });
    binary("rem", [](Big x, Big y) { return y == 0 ? x : x % y; });
    ternary("sad", [](Big x, Big y, Big z) { return z + (x < y ? y - x : x - y); });
    if (type.bits < 64) {
      binary("mul.lo", [](Big x, Big y) { return x * y; });
      binary("mul.hi", [&](Big x, Big y) { return shifted(x * y, type.bits); });
      ternary("mad.lo", [](Big x, Big y, Big z) { return x * y + z; });
      ternary("mad.hi", [&](Big x, Big y, Big z) { return shifted(x * y, type.bits) + z; });
    }
  }
}

TEST(PtxIntegers, ArithmeticWrapsAtItsWidth) {
  Words words(21);
  for (const Type& type : kTypes) {
    type.bits == 64 ? check_type<std::uint64_t>(type, words)
                    : check_type<std::uint32_t>(type, words);
  }
}

TEST(PtxIntegers, WideProducts) {
  Words words(22);
  for (int round = 0; round < 50; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
               d = words.next<std::uint32_t>();
    const auto c = words.next<std::uint64_t>();
    const auto s = run<std::uint64_t>("mul.wide.s32", a, b),
               u = run<std::uint64_t>("mul.wide.u32", a, b),
               m = run<std::uint64_t>("mad.wide.s32", a, b, c);
    Register h = a, k = b;
    for (std::size_t l = 0; l < kLanes; ++l) h[l] &= 0xFFFF, k[l] &= 0xFFFF;
    const auto small = run<std::uint32_t>("mad.wide.u16", h, k, d);
    for (std::size_t l = 0; l < kLanes; ++l) {
      EXPECT_EQ(s[l], cut(value(a[l], 32, true) * value(b[l], 32, true), 64));
      EXPECT_EQ(u[l], std::uint64_t{a[l]} * b[l]);
      EXPECT_EQ(m[l], s[l] + c[l]);
      EXPECT_EQ(small[l], h[l] * k[l] + d[l]);
    }
  }
}

TEST(PtxIntegers, HighHalvesOf64Bits) {
  const WideRegister a = [] {
    WideRegister x;
    x.fill(0xFFFFFFFFFFFFFFFF);
    return x;
  }();
  WideRegister b;
  b.fill(0x123456789ABCDEF0);
  EXPECT_EQ(run<std::uint64_t>("mul.hi.u64", a, b)[0], 0x123456789ABCDEEFu);
  EXPECT_EQ(run<std::uint64_t>("mul.hi.s64", a, b)[0], 0xFFFFFFFFFFFFFFFFu);
  EXPECT_EQ(run<std::uint64_t>("mul.lo.u64", a, b)[0], 0 - std::uint64_t{0x123456789ABCDEF0});
}

TEST(PtxIntegers, SaturationAnd24Bits) {
  Words words(23);
  const auto clamp = [](Big x) {
    const Big high = 0x7FFFFFFF, low = -high - 1;
    return static_cast<std::uint32_t>(x > high ? high : x < low ? low : x);
  };
  for (int round = 0; round < 50; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
               c = words.next<std::uint32_t>();
    const auto sum = run<std::uint32_t>("add.sat.s32", a, b),
               difference = run<std::uint32_t>("sub.sat.s32", a, b),
               high = run<std::uint32_t>("mad.hi.sat.s32", a, b, c),
               relu = run<std::uint32_t>("max.relu.s32", a, b),
               low24 = run<std::uint32_t>("mul24.lo.s32", a, b),
               high24 = run<std::uint32_t>("mad24.hi.u32", a, b, c),
               both = run<std::uint32_t>("max.s16x2", a, b);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const Big x = value(a[l], 32, true), y = value(b[l], 32, true), z = value(c[l], 32, true);
      EXPECT_EQ(sum[l], clamp(x + y));
      EXPECT_EQ(difference[l], clamp(x - y));
      EXPECT_EQ(high[l], clamp(shifted(x * y, 32) + z));
      EXPECT_EQ(relu[l], cut(std::max({x, y, Big{0}}), 32));
      EXPECT_EQ(low24[l], cut(value(a[l], 24, true) * value(b[l], 24, true), 32));
      EXPECT_EQ(high24[l],
                cut(shifted(value(a[l], 24, false) * value(b[l], 24, false), 16) + z, 32));
      for (const int half : {0, 16}) {
        const Big p = value(a[l] >> half, 16, true), q = value(b[l] >> half, 16, true);
        EXPECT_EQ((both[l] >> half) & 0xFFFF, cut(p < q ? q : p, 16));
      }
    }
  }
}

TEST(PtxIntegers, DotProducts) {
  Words words(24);
  for (int round = 0; round < 20; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
               c = words.next<std::uint32_t>();
    for (const bool as : {false, true}) {
      for (const bool bs : {false, true}) {
        const std::string types = std::string(as ? ".s32" : ".u32") + (bs ? ".s32" : ".u32");
        const auto four = run<std::uint32_t>("dp4a" + types, a, b, c),
                   high = run<std::uint32_t>("dp2a.hi" + types, a, b, c);
        for (std::size_t l = 0; l < kLanes; ++l) {
          Big sum = c[l], two = c[l];
          for (int i = 0; i < 4; ++i)
            sum += value(a[l] >> (8 * i), 8, as) * value(b[l] >> (8 * i), 8, bs);
          for (int i = 0; i < 2; ++i)
            two += value(a[l] >> (16 * i), 16, as) * value(b[l] >> (16 + 8 * i), 8, bs);
          EXPECT_EQ(four[l], cut(sum, 32)) << types;
          EXPECT_EQ(high[l], cut(two, 32)) << types;
        }
      }
    }
  }
}

}  // namespace
}  // namespace karat::ptx::units
