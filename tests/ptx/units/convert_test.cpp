// cvt between every pair of types, against MPFR and 128-bit integers.
#include "karat/numerics/formats/convert.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "exact.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;
__extension__ typedef __int128 Big;

struct Integer {
  const char* name;
  int bits;
  bool is_signed;
  Big low() const { return is_signed ? -(Big{1} << (bits - 1)) : Big{0}; }
  Big high() const { return (Big{1} << (bits - (is_signed ? 1 : 0))) - 1; }
};
constexpr Integer kIntegers[] = {{"u8", 8, false},   {"s8", 8, true},    {"u16", 16, false},
                                 {"s16", 16, true},  {"u32", 32, false}, {"s32", 32, true},
                                 {"u64", 64, false}, {"s64", 64, true}};

Big read(std::uint64_t word, const Integer& type) {
  const std::uint64_t low = type.bits == 64 ? word : word & ((std::uint64_t{1} << type.bits) - 1);
  return type.is_signed && (low >> (type.bits - 1)) != 0 ? Big{low} - (Big{1} << type.bits)
                                                         : Big{low};
}
/// A register of max(16, bits) bits.
std::uint64_t held(Big x, const Integer& type) {
  const int bits = type.bits == 8 ? 16 : type.bits;
  const auto low = static_cast<std::uint64_t>(read(static_cast<std::uint64_t>(x), type));
  return bits == 64 ? low : low & ((std::uint64_t{1} << bits) - 1);
}

/// The opcode on words, whatever the widths of its registers.
std::array<std::uint64_t, kLanes> convert(const std::string& opcode, const WideRegister& a) {
  const LaneOp op = lane_op(opcode);
  EXPECT_EQ(op.operands, 1);
  Register narrow;
  for (std::size_t l = 0; l < kLanes; ++l) narrow[l] = static_cast<std::uint32_t>(a[l]);
  const void* source =
      op.operand_bits[0] == 64 ? static_cast<const void*>(a.data()) : narrow.data();
  Register short_result{};
  WideRegister result{};
  op.run(op.result_bits == 64 ? static_cast<void*>(result.data()) : short_result.data(), source,
         nullptr, nullptr);
  if (op.result_bits == 32)
    for (std::size_t l = 0; l < kLanes; ++l) result[l] = short_result[l];
  return result;
}

TEST(PtxConvert, IntegersToIntegers) {
  Words words(51);
  for (const Integer& from : kIntegers) {
    for (const Integer& to : kIntegers) {
      const std::string types = std::string(".") + to.name + "." + from.name;
      const WideRegister a = words.next<std::uint64_t>();
      const bool holds = from.low() >= to.low() && from.high() <= to.high();
      if (holds) {
        EXPECT_THROW(lane_op("cvt.sat" + types), Error) << types;
      }
      const auto d = convert("cvt" + types, a);
      const auto clamped = holds ? d : convert("cvt.sat" + types, a);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const Big x = read(a[l], from);
        ASSERT_EQ(d[l], held(x, to)) << types;
        ASSERT_EQ(clamped[l], held(std::max(to.low(), std::min(to.high(), x)), to)) << types;
      }
    }
  }
}

TEST(PtxConvert, IntegersToFloats) {
  const std::pair<const char*, mpfr_rnd_t> modes[] = {
      {"rn", MPFR_RNDN}, {"rz", MPFR_RNDZ}, {"rm", MPFR_RNDD}, {"rp", MPFR_RNDU}};
  Words words(52);
  mpfr_t exact;
  mpfr_init2(exact, 80);
  for (const Integer& from : kIntegers) {
    for (const auto& [name, mode] : modes) {
      for (int round = 0; round < 20; ++round) {
        const WideRegister a = words.next<std::uint64_t>();
        const auto d = convert(std::string("cvt.") + name + ".f32." + from.name, a),
                   half = convert(std::string("cvt.rn.bf16.") + from.name, a),
                   wide = convert(std::string("cvt.rn.f64.") + from.name, a);
        for (std::size_t l = 0; l < kLanes; ++l) {
          const Big x = read(a[l], from);
          mpfr_set_sj(exact, static_cast<std::int64_t>(x >> 32), MPFR_RNDN);
          mpfr_mul_2ui(exact, exact, 32, MPFR_RNDN);
          mpfr_add_ui(exact, exact, static_cast<unsigned long>(static_cast<std::uint32_t>(x)),
                      MPFR_RNDN);
          ASSERT_EQ(d[l], bits_of(mpfr_get_flt(exact, mode)))
              << name << from.name << std::hex << a[l];
          ASSERT_EQ(wide[l], bits_of(mpfr_get_d(exact, MPFR_RNDN)));
          mpfr_t small;
          mpfr_init2(small, 8);
          mpfr_set(small, exact, MPFR_RNDN);
          ASSERT_EQ(half[l], bits_of(mpfr_get_flt(small, MPFR_RNDN)) >> 16);
          mpfr_clear(small);
        }
      }
    }
  }
  mpfr_clear(exact);
}

/// x to an integer, by the words of PTX.
std::uint64_t to_integer(double x, const Integer& to, char mode, bool from_f64) {
  if (std::isnan(x)) return from_f64 || to.bits == 64 ? held(Big{1} << (to.bits - 1), to) : 0;
  const double whole = mode == 'n'   ? std::nearbyint(x)
                       : mode == 'z' ? std::trunc(x)
                       : mode == 'm' ? std::floor(x)
                                     : std::ceil(x);
  if (whole >= std::ldexp(1.0, to.bits - (to.is_signed ? 1 : 0))) return held(to.high(), to);
  if (whole < (to.is_signed ? -std::ldexp(1.0, to.bits - 1) : 0.0)) return held(to.low(), to);
  return held(static_cast<Big>(whole), to);
}

TEST(PtxConvert, FloatsToIntegers) {
  Words words(53);
  for (const Integer& to : kIntegers) {
    for (const char mode : {'n', 'z', 'm', 'p'}) {
      for (int round = 0; round < 20; ++round) {
        WideRegister a;
        for (auto& x : a) x = words.next32();
        const WideRegister w = words.next<std::uint64_t>();
        const std::string prefix = std::string("cvt.r") + mode + "i";
        const auto d = convert(prefix + "." + to.name + ".f32", a),
                   flushed = convert(prefix + ".ftz." + to.name + ".f32", a),
                   wide = convert(prefix + "." + to.name + ".f64", w),
                   half = convert(prefix + "." + to.name + ".f16", a);
        for (std::size_t l = 0; l < kLanes; ++l) {
          const float x = f32(static_cast<std::uint32_t>(a[l]));
          ASSERT_EQ(d[l], to_integer(x, to, mode, false)) << to.name << mode << x;
          ASSERT_EQ(flushed[l],
                    to_integer(std::fabs(x) < 0x1p-126f ? 0.0 : double{x}, to, mode, false));
          ASSERT_EQ(wide[l], to_integer(f64(w[l]), to, mode, true)) << f64(w[l]);
          ASSERT_EQ(half[l], to_integer(numerics::decode_f64(a[l] & 0xFFFF, FormatId::f16), to,
                                        mode, false));
        }
      }
    }
  }
}

TEST(PtxConvert, FloatsToFloats) {
  const std::pair<const char*, mpfr_rnd_t> modes[] = {
      {"rn", MPFR_RNDN}, {"rz", MPFR_RNDZ}, {"rm", MPFR_RNDD}, {"rp", MPFR_RNDU}};
  Words words(54);
  for (int round = 0; round < 100; ++round) {
    const WideRegister w = words.next<std::uint64_t>();
    WideRegister a;
    for (auto& x : a) x = words.next32();
    for (const auto& [name, mode] : modes) {
      const auto d = convert(std::string("cvt.") + name + ".f32.f64", w);
      const auto half = convert(std::string("cvt.") + name + ".f16.f32", a);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const double x = f64(w[l]);
        const float y = f32(static_cast<std::uint32_t>(a[l]));
        if (std::isfinite(x) && x != 0) {
          const float want = Exact(x).to_f32(mode);
          ASSERT_EQ(d[l], bits_of(want == 0 ? std::copysign(0.0f, static_cast<float>(x)) : want))
              << name << x;
        } else {
          ASSERT_EQ(d[l], std::isnan(x) ? 0x7FFFFFFF : bits_of(static_cast<float>(x)));
        }
        if (std::isfinite(y) && y != 0) {
          const double want = Exact(y).to_f16(mode);
          ASSERT_EQ(half[l], numerics::encode_f64(want == 0 ? std::copysign(0.0, y) : want,
                                                  FormatId::f16, numerics::kAsComputed))
              << y << name;
        }
      }
    }
    const auto whole = convert("cvt.rni.f32.f32", a), wide = convert("cvt.f64.f32", a),
               up = convert("cvt.f32.f16", a), bf16 = convert("cvt.rn.bf16.f32", a),
               clamp = convert("cvt.sat.f32.f32", a), flush = convert("cvt.ftz.f32.f32", a);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const float x = f32(static_cast<std::uint32_t>(a[l]));
      if (std::isnan(x)) {
        ASSERT_EQ(whole[l], 0x7FFFFFFFu);
        ASSERT_EQ(wide[l], 0xFFF8000000000000u);
        ASSERT_EQ(bf16[l], 0x7FFFu);
        ASSERT_EQ(clamp[l], 0u);
      } else {
        ASSERT_EQ(whole[l], bits_of(std::nearbyint(x))) << x;
        ASSERT_EQ(wide[l], bits_of(double{x}));
        ASSERT_EQ(bf16[l], numerics::encode(x, FormatId::bf16, numerics::kAsComputed));
        ASSERT_EQ(clamp[l], bits_of(x > 0 ? std::fmin(x, 1.0f) : 0.0f));
        ASSERT_EQ(flush[l],
                  std::fabs(x) < 0x1p-126f ? bits_of(std::copysign(0.0f, x)) : bits_of(x));
      }
      const float h = numerics::decode(static_cast<std::uint32_t>(a[l] & 0xFFFF), FormatId::f16);
      ASSERT_EQ(up[l], std::isnan(h) ? 0x7FFFFFFF : bits_of(h));
    }
  }
}

TEST(PtxConvert, Tf32RoundsAndCuts) {
  Words words(55);
  WideRegister a;
  for (auto& x : a) x = words.next32();
  const auto away = convert("cvt.rna.tf32.f32", a), even = convert("cvt.rn.tf32.f32", a),
             zero = convert("cvt.rz.tf32.f32", a);
  for (std::size_t l = 0; l < kLanes; ++l) {
    const auto x = static_cast<std::uint32_t>(a[l]);
    if (std::isnan(f32(x))) continue;
    EXPECT_EQ(zero[l], x & 0xFFFFE000);
    if ((x & 0x7F800000) == 0x7F800000) continue;
    EXPECT_EQ(away[l], (x + 0x1000) & 0xFFFFE000);
    EXPECT_EQ(even[l], (x + 0x0FFF + ((x >> 13) & 1)) & 0xFFFFE000);
  }
}

TEST(PtxConvert, PairsTakeTheFirstOperandUp) {
  Words words(56);
  const struct {
    const char* opcode;
    FormatId format;
    int bits;
    numerics::Policy policy;
    bool relu;
  } rows[] = {
      {"cvt.rn.satfinite.e4m3x2.f32", FormatId::e4m3, 8, {}, false},
      {"cvt.rn.satfinite.relu.e4m3x2.f32", FormatId::e4m3, 8, {}, true},
      {"cvt.rn.satfinite.e5m2x2.f32", FormatId::e5m2, 8, {}, false},
      {"cvt.rn.f16x2.f32", FormatId::f16, 16, {.overflow = numerics::Overflow::infinity}, false},
      {"cvt.rz.f16x2.f32",
       FormatId::f16,
       16,
       {.rounding = numerics::Rounding::toward_zero, .overflow = numerics::Overflow::infinity},
       false},
      {"cvt.rn.bf16x2.f32", FormatId::bf16, 16, {.overflow = numerics::Overflow::infinity}, false},
      {"cvt.rn.relu.bf16x2.f32",
       FormatId::bf16,
       16,
       {.overflow = numerics::Overflow::infinity},
       true},
      {"cvt.rn.satfinite.f16x2.f32", FormatId::f16, 16, {}, false}};
  for (const auto& row : rows) {
    for (int round = 0; round < 50; ++round) {
      const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>();
      const auto d = run<std::uint32_t>(row.opcode, a, b);
      for (std::size_t l = 0; l < kLanes; ++l) {
        const auto one = [&](std::uint32_t x) {
          const float y = row.relu && f32(x) <= 0 ? 0.0f : f32(x);
          return numerics::encode(y, row.format, row.policy);
        };
        ASSERT_EQ(d[l], one(b[l]) | one(a[l]) << row.bits) << row.opcode << std::hex << a[l];
      }
    }
  }
}

TEST(PtxConvert, BytesWidenToF16AndBack) {
  for (const auto& [name, format] :
       {std::pair{"e4m3x2", FormatId::e4m3}, std::pair{"e5m2x2", FormatId::e5m2}}) {
    for (std::uint32_t high = 0; high < 256; high += 5) {
      for (std::uint32_t low = 0; low < 256; low += 32) {
        Register a;
        for (std::uint32_t l = 0; l < kLanes; ++l) a[l] = high << 8 | (low + l);
        const auto wide = run<std::uint32_t>(std::string("cvt.rn.f16x2.") + name, a);
        const auto back =
            run<std::uint32_t>(std::string("cvt.rn.satfinite.") + name + ".f16x2", wide);
        for (std::size_t l = 0; l < kLanes; ++l) {
          for (const int half : {0, 1}) {
            const std::uint32_t code = (a[l] >> (8 * half)) & 0xFF,
                                w = (wide[l] >> (16 * half)) & 0xFFFF;
            const double x = numerics::decode_f64(code, format);
            ASSERT_EQ(w, std::isnan(x)
                             ? 0x7FFF
                             : numerics::encode_f64(x, FormatId::f16, numerics::kAsComputed));
            const std::uint32_t want = std::isnan(x)   ? 0x7F
                                       : std::isinf(x) ? (code & 0x80) | 0x7B
                                                       : code;
            ASSERT_EQ((back[l] >> (8 * half)) & 0xFF, want) << name << std::hex << code;
          }
        }
      }
    }
  }
}

TEST(PtxConvert, PackClamps) {
  Words words(57);
  const auto a = words.next<std::uint32_t>(), b = words.next<std::uint32_t>(),
             c = words.next<std::uint32_t>();
  const auto s16 = run<std::uint32_t>("cvt.pack.sat.s16.s32", a, b);
  const auto u8 = run<std::uint32_t>("cvt.pack.sat.u8.s32.b32", a, b, c);
  const auto clamp = [](std::uint32_t x, int low, int high) {
    return static_cast<std::uint32_t>(std::max(low, std::min(high, static_cast<std::int32_t>(x))));
  };
  for (std::size_t l = 0; l < kLanes; ++l) {
    EXPECT_EQ(s16[l], (clamp(b[l], -32768, 32767) & 0xFFFF) | clamp(a[l], -32768, 32767) << 16);
    EXPECT_EQ(u8[l], clamp(b[l], 0, 255) | clamp(a[l], 0, 255) << 8 | c[l] << 16);
  }
}

}  // namespace
}  // namespace karat::ptx::units
