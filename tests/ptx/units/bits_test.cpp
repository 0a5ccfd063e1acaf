// Logic, shifts, fields, permutations of lanes, each against a loop over single bits.
#include <gtest/gtest.h>

#include <string>

#include "registers.hpp"

namespace karat::ptx::units {
namespace {

using Wide = std::uint64_t;
bool bit(Wide x, Wide i) { return i < 64 && ((x >> i) & 1) != 0; }

/// The word of `bits` bits whose bit i is f(i).
template <typename F>
Wide build(int bits, F f) {
  Wide x = 0;
  for (int i = 0; i < bits; ++i) x |= Wide{f(static_cast<Wide>(i))} << i;
  return x;
}

/// Shift amounts and field borders, small and beyond every width.
Register amounts(Words& words) {
  Register x;
  for (auto& amount : x) {
    const std::uint32_t some[] = {0, 1, 31, 32, 33, 63, 64, 65, 255, 256, 0xFFFFFFFF};
    amount = words.below(2) != 0 ? words.below(70) : some[words.below(11)];
  }
  return x;
}

template <typename Word>
void check_shifts(int bits, Words& words) {
  const std::string b = ".b" + std::to_string(bits), u = ".u" + std::to_string(bits),
                    s = ".s" + std::to_string(bits);
  for (int round = 0; round < 40; ++round) {
    auto a = words.next<Word>();
    if (bits == 16)
      for (auto& x : a) x &= 0xFFFF;
    const Register n = amounts(words);
    const auto left = run<Word>("shl" + b, a, n), right = run<Word>("shr" + u, a, n),
               plain = run<Word>("shr" + b, a, n), arithmetic = run<Word>("shr" + s, a, n);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const Wide x = a[l], k = n[l];
      const auto top = static_cast<Wide>(bits - 1);
      ASSERT_EQ(left[l], build(bits, [&](Wide i) { return i >= k && bit(x, i - k); })) << b << k;
      ASSERT_EQ(right[l], build(bits, [&](Wide i) { return i + k <= top && bit(x, i + k); }))
          << u << k;
      ASSERT_EQ(plain[l], right[l]);
      ASSERT_EQ(arithmetic[l], build(bits, [&](Wide i) { return bit(x, std::min(i + k, top)); }))
          << s << k;
    }
  }
}

TEST(PtxBits, ShiftsClampTheirAmount) {
  Words words(31);
  check_shifts<std::uint32_t>(16, words);
  check_shifts<std::uint32_t>(32, words);
  check_shifts<std::uint64_t>(64, words);
}

TEST(PtxBits, FunnelShifts) {
  Words words(32);
  for (int round = 0; round < 40; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    const Register c = amounts(words);
    const auto lc = run<std::uint32_t>("shf.l.clamp.b32", a, b, c),
               lw = run<std::uint32_t>("shf.l.wrap.b32", a, b, c),
               rc = run<std::uint32_t>("shf.r.clamp.b32", a, b, c),
               rw = run<std::uint32_t>("shf.r.wrap.b32", a, b, c);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const Wide both = Wide{b[l]} << 32 | a[l];
      const Wide clamped = std::min<Wide>(c[l], 32), wrapped = c[l] % 32;
      const auto left = [&](Wide n) {
        return build(32, [&](Wide i) { return bit(both, i + 32 - n); });
      };
      const auto right = [&](Wide n) {
        return build(32, [&](Wide i) { return bit(both, i + n); });
      };
      ASSERT_EQ(lc[l], left(clamped));
      ASSERT_EQ(lw[l], left(wrapped));
      ASSERT_EQ(rc[l], right(clamped));
      ASSERT_EQ(rw[l], right(wrapped));
    }
  }
}

/// PTX's own loop: position and length modulo 256, the sign's bit at min(pos + len - 1, msb).
template <typename Word>
Word extracted(Word a, std::uint32_t c, std::uint32_t d, bool is_signed) {
  const int msb = 8 * sizeof(Word) - 1;
  const int pos = static_cast<int>(c & 0xFF), len = static_cast<int>(d & 0xFF);
  const bool sign =
      is_signed && len != 0 && bit(a, static_cast<Wide>(std::min(pos + len - 1, msb)));
  return static_cast<Word>(build(msb + 1, [&](Wide i) {
    const Wide at = i + static_cast<Wide>(pos);
    return static_cast<int>(i) < len && static_cast<int>(at) <= msb ? bit(a, at) : sign;
  }));
}

TEST(PtxBits, FieldsAreTakenOut) {
  Words words(33);
  for (int round = 0; round < 60; ++round) {
    const auto a = words.next<std::uint32_t>();
    const auto w = words.next<std::uint64_t>();
    const Register p = amounts(words), n = amounts(words);
    const auto u = run<std::uint32_t>("bfe.u32", a, p, n),
               s = run<std::uint32_t>("bfe.s32", a, p, n);
    const auto uw = run<std::uint64_t>("bfe.u64", w, p, n),
               sw = run<std::uint64_t>("bfe.s64", w, p, n);
    for (std::size_t l = 0; l < kLanes; ++l) {
      ASSERT_EQ(u[l], extracted(a[l], p[l], n[l], false)) << p[l] << " " << n[l];
      ASSERT_EQ(s[l], extracted(a[l], p[l], n[l], true)) << p[l] << " " << n[l];
      ASSERT_EQ(uw[l], extracted(w[l], p[l], n[l], false));
      ASSERT_EQ(sw[l], extracted(w[l], p[l], n[l], true));
    }
  }
}

TEST(PtxBits, FieldsArePutIn) {
  Words words(34);
  for (int round = 0; round < 60; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
    const auto aw = words.next<std::uint64_t>(), bw = words.next<std::uint64_t>();
    const Register p = amounts(words), n = amounts(words);
    Register d;
    WideRegister dw;
    bfi32_run(d.data(), a.data(), b.data(), p.data(), n.data());
    bfi64_run(dw.data(), aw.data(), bw.data(), p.data(), n.data());
    for (std::size_t l = 0; l < kLanes; ++l) {
      const Wide pos = p[l] & 0xFF, len = n[l] & 0xFF;
      const auto put = [&](Wide from, Wide into, int bits) {
        return build(bits, [&](Wide i) {
          return i >= pos && i < pos + len ? bit(from, i - pos) : bit(into, i);
        });
      };
      ASSERT_EQ(d[l], put(a[l], b[l], 32)) << pos << " " << len;
      ASSERT_EQ(dw[l], put(aw[l], bw[l], 64)) << pos << " " << len;
    }
  }
}

TEST(PtxBits, Lop3IsItsTable) {
  Words words(35);
  const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
             c = words.next<std::uint32_t>();
  for (std::uint32_t lut = 0; lut < 256; ++lut) {
    Register d;
    lop3_run(d.data(), a.data(), b.data(), c.data(), lut);
    for (std::size_t l = 0; l < kLanes; ++l) {
      ASSERT_EQ(d[l], build(32, [&](Wide i) {
                  return bit(lut,
                             Wide{bit(a[l], i)} * 4 + Wide{bit(b[l], i)} * 2 + Wide{bit(c[l], i)});
                }));
    }
  }
}

std::uint32_t permuted(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  std::uint32_t d = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t pick = selector >> (4 * i) & 0xF, n = pick & 7;
    const std::uint32_t byte = (n < 4 ? a >> (8 * n) : b >> (8 * (n - 4))) & 0xFF;
    d |= ((pick & 8) == 0 ? byte : (byte & 0x80) != 0 ? 0xFFu : 0u) << (8 * i);
  }
  return d;
}

TEST(PtxBits, PermutationsPickBytes) {
  Words words(36);
  for (int round = 0; round < 200; ++round) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
               c = words.next<std::uint32_t>();
    const auto d = run<std::uint32_t>("prmt.b32", a, b, c);
    for (std::size_t l = 0; l < kLanes; ++l)
      ASSERT_EQ(d[l], permuted(a[l], b[l], c[l])) << std::hex << c[l];
  }
}

// The table of PTX ISA, "prmt": selectors of the modes for the low two bits of c.
TEST(PtxBits, PermutationModes) {
  const std::pair<const char*, std::array<std::uint32_t, 4>> modes[] = {
      {"f4e", {0x3210, 0x4321, 0x5432, 0x6543}}, {"b4e", {0x5670, 0x6701, 0x7012, 0x0123}},
      {"rc8", {0x0000, 0x1111, 0x2222, 0x3333}}, {"ecl", {0x3210, 0x3211, 0x3222, 0x3333}},
      {"ecr", {0x0000, 0x1110, 0x2210, 0x3210}}, {"rc16", {0x1010, 0x3232, 0x1010, 0x3232}}};
  Words words(37);
  for (const auto& [name, selectors] : modes) {
    const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
               c = words.next<std::uint32_t>();
    const auto d = run<std::uint32_t>(std::string("prmt.b32.") + name, a, b, c);
    for (std::size_t l = 0; l < kLanes; ++l)
      EXPECT_EQ(d[l], permuted(a[l], b[l], selectors[c[l] & 3])) << name;
  }
}

TEST(PtxBits, CountsAndPlaces) {
  Words words(38);
  for (int round = 0; round < 40; ++round) {
    const auto a = words.next<std::uint32_t>();
    const auto w = words.next<std::uint64_t>();
    const auto population = run<std::uint32_t>("popc.b64", w),
               zeros = run<std::uint32_t>("clz.b32", a),
               wide_zeros = run<std::uint32_t>("clz.b64", w),
               found = run<std::uint32_t>("bfind.u32", a),
               negative = run<std::uint32_t>("bfind.s64", w),
               shift = run<std::uint32_t>("bfind.shiftamt.s32", a),
               reversed = run<std::uint32_t>("brev.b32", a);
    for (std::size_t l = 0; l < kLanes; ++l) {
      std::uint32_t ones = 0, highest = 0xFFFFFFFF, wide_highest = 0xFFFFFFFF,
                    signed_highest = 0xFFFFFFFF;
      for (std::uint32_t i = 0; i < 64; ++i) ones += bit(w[l], i);
      for (std::uint32_t i = 0; i < 32; ++i) {
        if (bit(a[l], i)) highest = i;
        if (bit(a[l], i) != bit(a[l], 31)) signed_highest = i;
      }
      if (a[l] >> 31 == 0) signed_highest = highest;
      std::uint32_t leading = 0;
      for (std::uint32_t i = 0; i < 64; ++i) {
        if (bit(w[l], i) != bit(w[l], 63)) wide_highest = i;
        if (bit(w[l], i)) leading = 63 - i;
      }
      EXPECT_EQ(population[l], ones);
      EXPECT_EQ(zeros[l], a[l] == 0 ? 32 : 31 - highest);
      EXPECT_EQ(wide_zeros[l], w[l] == 0 ? 64 : leading);
      EXPECT_EQ(found[l], highest);
      EXPECT_EQ(negative[l], wide_highest);
      EXPECT_EQ(shift[l], signed_highest == 0xFFFFFFFF ? 0xFFFFFFFF : 31 - signed_highest);
      EXPECT_EQ(reversed[l], build(32, [&](Wide i) { return bit(a[l], 31 - i); }));
    }
  }
}

TEST(PtxBits, LogicAndSelection) {
  Words words(39);
  const auto a = words.next<std::uint64_t>(), b = words.next<std::uint64_t>();
  const auto x = words.next<std::uint32_t>(), y = words.next<std::uint32_t>(),
             z = words.next<std::uint32_t>();
  const auto conjunction = run<std::uint64_t>("and.b64", a, b),
             inverse = run<std::uint64_t>("not.b64", a);
  const auto exclusive = run<std::uint32_t>("xor.b32", x, y),
             narrow = run<std::uint32_t>("not.b16", x), none = run<std::uint32_t>("cnot.b32", x),
             chosen = run<std::uint32_t>("selp.f32", x, y, z),
             by_sign = run<std::uint32_t>("slct.b32.s32", x, y, z),
             by_float = run<std::uint32_t>("slct.f32.f32", x, y, z),
             mask = run<std::uint32_t>("bmsk.clamp.b32", amounts(words), amounts(words));
  (void)mask;
  for (std::size_t l = 0; l < kLanes; ++l) {
    EXPECT_EQ(conjunction[l], a[l] & b[l]);
    EXPECT_EQ(inverse[l], ~a[l]);
    EXPECT_EQ(exclusive[l], x[l] ^ y[l]);
    EXPECT_EQ(narrow[l], ~x[l] & 0xFFFF);
    EXPECT_EQ(none[l], x[l] == 0 ? 1u : 0u);
    EXPECT_EQ(chosen[l], z[l] != 0 ? x[l] : y[l]);
    EXPECT_EQ(by_sign[l], (z[l] >> 31) == 0 ? x[l] : y[l]);
    EXPECT_EQ(by_float[l], f32(z[l]) >= 0 ? x[l] : y[l]);
  }
}

TEST(PtxBits, MasksAndExtensions) {
  Words words(40);
  for (int round = 0; round < 30; ++round) {
    const auto a = words.next<std::uint32_t>();
    const Register p = amounts(words), n = amounts(words);
    const auto mask = run<std::uint32_t>("bmsk.clamp.b32", p, n),
               wrapped = run<std::uint32_t>("bmsk.wrap.b32", p, n),
               s = run<std::uint32_t>("szext.clamp.s32", a, n),
               u = run<std::uint32_t>("szext.wrap.u32", a, n);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const Wide start = p[l], length = n[l], by = std::min<Wide>(length, 32);
      EXPECT_EQ(mask[l], build(32, [&](Wide i) { return i >= start && i - start < length; }));
      EXPECT_EQ(wrapped[l],
                build(32, [&](Wide i) { return i >= start % 32 && i - start % 32 < length % 32; }));
      EXPECT_EQ(s[l],
                by == 0 ? 0 : build(32, [&](Wide i) { return bit(a[l], std::min(i, by - 1)); }));
      EXPECT_EQ(u[l], build(32, [&](Wide i) { return i < length % 32 && bit(a[l], i); }));
    }
  }
}

}  // namespace
}  // namespace karat::ptx::units
