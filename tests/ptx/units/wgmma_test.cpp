// wgmma element by element: where each element lies by layouts.hpp and the fragment formulas of the
// PTX ISA, its value by the scalar definition of the instruction.
#include "units/wgmma.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "fragments.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "layouts.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

struct Kind {
  std::string a, b, d;
  int n = 64;
  Layout a_layout{}, b_layout{};
  bool registers = false, a_minus = false, b_minus = false, saturate = false, from_d = true,
       specials = false;
};

std::string opcode(const Kind& kind) {
  return "wgmma.mma_async.sync.aligned.m64n" + std::to_string(kind.n) + "k" +
         std::to_string(32 / bytes_of(kind.a)) + (kind.saturate ? ".satfinite" : "") + "." +
         kind.d + "." + kind.a + "." + kind.b;
}

WgmmaOp op_of(const Kind& kind) {
  std::vector<int> immediates;
  if (kind.d != "s32") immediates = {kind.a_minus ? -1 : 1, kind.b_minus ? -1 : 1};
  if (bytes_of(kind.a) == 2) {
    if (!kind.registers) immediates.push_back(kind.a_layout.major == Major::mn);
    immediates.push_back(kind.b_layout.major == Major::mn);
  }
  return wgmma_op(opcode(kind), kind.registers ? MatrixSource::registers : MatrixSource::shared,
                  immediates);
}

/// D as a matrix: 32-bit words, or codes of f16.
using Tile = std::vector<std::uint32_t>;

/// Where D(row, column) lies: warp, register, lane, and which half of f16.
struct Place {
  std::size_t warp, reg, lane, half;
};
Place d_place(std::size_t row, std::size_t column, bool f16) {
  const std::size_t lane = row % 8 * 4 + column % 8 / 2, upper = row % 16 / 8;
  if (f16) return {row / 16, column / 8 * 2 + upper, lane, column % 2};
  return {row / 16, column / 8 * 4 + upper * 2 + column % 2, lane, 0};
}

/// A, B in shared memory (A possibly in registers), D in registers; several k-steps.
struct Setting {
  Kind kind;
  WgmmaOp op;
  std::size_t n, k;
  std::vector<Codes> a, b;
  std::vector<std::byte> memory;
  std::vector<WgmmaStep> steps;
  std::vector<Register> d_store, a_store;
  std::vector<std::uint32_t*> d;
  std::vector<const std::uint32_t*> a_registers;
  Tile c;

  Setting(const Kind& given, std::size_t count, Words& words)
      : kind(given),
        op(op_of(given)),
        n(static_cast<std::size_t>(given.n)),
        k(static_cast<std::size_t>(op.k)),
        steps(count),
        d_store(4 * static_cast<std::size_t>(op.d_registers())),
        a_store(16 * count),
        c(64 * n) {
    for (auto& r : d_store) d.push_back(r.data());
    for (auto& r : a_store) a_registers.push_back(r.data());
    for (std::size_t s = 0; s < count; ++s) {
      a.push_back(random_codes(kind.a, 64, k, words, kind.specials));
      b.push_back(random_codes(kind.b, n, k, words, kind.specials));
      steps[s].b_descriptor = put(b[s], kind.b, kind.b_layout);
      if (!kind.registers) {
        steps[s].a_descriptor = put(a[s], kind.a, kind.a_layout);
        continue;
      }
      put_registers(s);
      for (std::size_t w = 0; w < 4; ++w) {
        steps[s].a[w] =
            std::span<const std::uint32_t* const>(a_registers).subspan(16 * s + 4 * w, 4);
      }
    }
    for (auto& x : c)
      x = kind.d == "f16" ? random_code("f16", words, false) : random_accumulator(words);
    for (std::size_t row = 0; row < 64; ++row) {
      for (std::size_t column = 0; column < n; ++column) {
        const Place at = d_place(row, column, kind.d == "f16");
        std::uint32_t& word =
            d_store[at.warp * static_cast<std::size_t>(op.d_registers()) + at.reg][at.lane];
        word |= c[row * n + column] << (16 * at.half);
      }
    }
  }

  std::uint32_t random_accumulator(Words& words) const {
    if (kind.d == "s32") return words.next32();
    return bits_of((static_cast<float>(words.below(20001)) - 10000.0f) / 512);
  }

  /// Into shared memory, behind what is there.
  std::uint64_t put(const Codes& codes, const std::string& type, const Layout& layout) {
    const int bytes = bytes_of(type);
    Placed placed = place(layout, bytes, static_cast<int>(codes.rows), 0);
    const std::size_t base = (memory.size() + 1023) / 1024 * 1024;
    memory.resize(base + placed.size);
    for (std::size_t row = 0; row < codes.rows; ++row) {
      for (std::size_t i = 0; i < codes.k; ++i) {
        const std::size_t at =
            base + placed.address(static_cast<int>(row), static_cast<int>(i)) - kLayoutBase;
        std::memcpy(&memory[at], &codes.of[row * codes.k + i], static_cast<std::size_t>(bytes));
      }
    }
    placed.descriptor.start += static_cast<std::uint32_t>(base);
    return bits(placed.descriptor);
  }

  /// PTX ISA, register fragments of A: register 2 h + v of lane l holds row 16 w + l / 4 + 8 v, and
  /// the 4 / bytes elements from k = (l % 4 + 4 h) * 4 / bytes on.
  void put_registers(std::size_t step) {
    const auto bytes = static_cast<std::size_t>(bytes_of(kind.a)), per = 4 / bytes;
    for (std::size_t w = 0; w < 4; ++w) {
      for (std::size_t r = 0; r < 4; ++r) {
        for (std::size_t l = 0; l < kLanes; ++l) {
          std::uint32_t word = 0;
          for (std::size_t e = 0; e < per; ++e) {
            const std::uint32_t code =
                a[step](16 * w + l / 4 + 8 * (r % 2), (l % 4 + 4 * (r / 2)) * per + e);
            word |= code << (8 * bytes * e);
          }
          a_store[16 * step + 4 * w + r][l] = word;
        }
      }
    }
  }

  WgmmaOperands operands() {
    WgmmaOperands o;
    const auto count = static_cast<std::size_t>(op.d_registers());
    for (std::size_t w = 0; w < 4; ++w)
      o.d[w] = std::span<std::uint32_t* const>(d).subspan(w * count, count);
    o.start = kind.from_d ? numerics::Start::from_d : numerics::Start::absent;
    return o;
  }

  void check(Words& words, std::size_t samples) const {
    const std::string row = op.row ? std::string(op.row->name) : "";
    for (std::size_t s = 0; s < samples; ++s) {
      const std::size_t i = words.below(64), j = words.below(static_cast<std::uint32_t>(n));
      std::uint32_t want = kind.from_d ? c[i * n + j] : 0;
      for (std::size_t t = 0; t < steps.size(); ++t) {
        want = element(row, kind.a, kind.b, kind.a_minus, kind.b_minus, kind.saturate, a[t], i,
                       b[t], j, want);
      }
      const Place at = d_place(i, j, kind.d == "f16");
      const std::uint32_t word =
          d_store[at.warp * static_cast<std::size_t>(op.d_registers()) + at.reg][at.lane];
      const std::uint32_t got = kind.d == "f16" ? (word >> (16 * at.half)) & 0xFFFF : word;
      ASSERT_EQ(got, want) << opcode(kind) << " " << kind.a_layout.name << ", "
                           << kind.b_layout.name << " (" << i << ", " << j << ")" << std::hex << " "
                           << got << " " << want;
    }
  }
};

void try_kind(const Kind& kind, std::size_t steps, std::size_t samples, Wgmma& unit, Words& words) {
  Setting setting(kind, steps, words);
  unit.run(setting.op, setting.operands(), setting.steps, {setting.memory, kLayoutBase});
  setting.check(words, samples);
}

struct Types {
  const char *a, *b, *d;
};
constexpr Types kTypes[] = {
    {"e4m3", "e4m3", "f32"}, {"e5m2", "e5m2", "f32"}, {"e4m3", "e4m3", "f16"},
    {"e5m2", "e5m2", "f16"}, {"bf16", "bf16", "f32"}, {"f16", "f16", "f32"},
    {"f16", "f16", "f16"},   {"tf32", "tf32", "f32"}, {"s8", "s8", "s32"},
    {"u8", "u8", "s32"},     {"s8", "u8", "s32"},     {"u8", "s8", "s32"}};

TEST(PtxWgmma, EveryTypeInEveryLayout) {
  Words words(111);
  Wgmma unit;
  const std::vector<Layout> all = layouts();
  for (const auto& [a, b, d] : kTypes) {
    for (const Layout& b_layout : all) {
      for (const Layout& a_layout : all) {
        const bool transposed = b_layout.major == Major::mn || a_layout.major == Major::mn;
        if (transposed && bytes_of(a) != 2) continue;
        for (const int n : {8, 32, 96}) {
          try_kind({.a = a, .b = b, .d = d, .n = n, .a_layout = a_layout, .b_layout = b_layout}, 1,
                   60, unit, words);
        }
      }
      if (b_layout.major == Major::mn && bytes_of(a) != 2) continue;
      try_kind({.a = a,
                .b = b,
                .d = d,
                .n = 64,
                .a_layout = all[3],
                .b_layout = b_layout,
                .registers = true},
               1, 100, unit, words);
    }
  }
}

TEST(PtxWgmma, EveryWidth) {
  Words words(112);
  Wgmma unit;
  const Layout layout = layouts()[3];
  for (int n = 8; n <= 256; n += 8) {
    for (const auto& [a, b, d] : kTypes) {
      if (std::string(d) == "s32" && n > 32 && n % 16 != 0) continue;
      try_kind({.a = a,
                .b = b,
                .d = d,
                .n = n,
                .a_layout = layout,
                .b_layout = layout,
                .registers = n % 16 == 0},
               1, 30, unit, words);
    }
  }
}

TEST(PtxWgmma, SignsAndAbsentAccumulators) {
  Words words(113);
  Wgmma unit;
  const Layout layout = layouts()[2];
  for (const auto& [a, b, d] : kTypes) {
    for (int variant = 0; variant < 8; ++variant) {
      if (std::string(d) == "s32" && variant > 1) continue;
      try_kind({.a = a,
                .b = b,
                .d = d,
                .n = 16,
                .a_layout = layout,
                .b_layout = layout,
                .a_minus = (variant & 2) != 0,
                .b_minus = (variant & 4) != 0,
                .from_d = (variant & 1) == 0},
               1, 60, unit, words);
    }
  }
}

TEST(PtxWgmma, NanAndInfinity) {
  Words words(114);
  Wgmma unit;
  const Layout layout = layouts()[3];
  for (const auto& [a, b, d] : kTypes) {
    if (std::string(d) == "s32") continue;
    try_kind(
        {.a = a, .b = b, .d = d, .n = 72, .a_layout = layout, .b_layout = layout, .specials = true},
        2, 400, unit, words);
  }
}

// All k-steps in one call give what they give one by one.
TEST(PtxWgmma, StepsTogetherEqualStepsApart) {
  Words words(115);
  const Layout layout = layouts()[3];
  for (const auto& [a, b, d] : kTypes) {
    for (const bool registers : {false, true}) {
      const Kind kind{.a = a,
                      .b = b,
                      .d = d,
                      .n = 48,
                      .a_layout = layout,
                      .b_layout = layout,
                      .registers = registers};
      Wgmma unit;
      Setting together(kind, 11, words);
      std::vector<Register> start = together.d_store;
      unit.run(together.op, together.operands(), together.steps, {together.memory, kLayoutBase});
      together.check(words, 60);
      const std::vector<Register> all = together.d_store;
      std::copy(start.begin(), start.end(), together.d_store.begin());
      for (const WgmmaStep& step : together.steps) {
        unit.run(together.op, together.operands(), std::span(&step, 1),
                 {together.memory, kLayoutBase});
      }
      EXPECT_EQ(together.d_store, all) << a << d;
    }
  }
}

TEST(PtxWgmma, IntegersWrapOrSaturate) {
  Words words(116);
  Wgmma unit;
  const Layout layout = layouts()[3];
  for (const bool saturate : {false, true}) {
    for (int round = 0; round < 5; ++round) {
      Setting s({.a = "s8",
                 .b = "s8",
                 .d = "s32",
                 .n = 16,
                 .a_layout = layout,
                 .b_layout = layout,
                 .saturate = saturate},
                2, words);
      for (auto& r : s.d_store) {
        for (auto& x : r) x = (x & 0x80000000) | (x % 2 != 0 ? 0x7FFFFF00 : 0x00000100);
      }
      for (std::size_t row = 0; row < 64; ++row) {
        for (std::size_t column = 0; column < 16; ++column) {
          const Place at = d_place(row, column, false);
          s.c[row * 16 + column] = s.d_store[at.warp * 8 + at.reg][at.lane];
        }
      }
      unit.run(s.op, s.operands(), s.steps, {s.memory, kLayoutBase});
      s.check(words, 500);
    }
  }
}

// 24 steps of large bytes pass 2^24, where f32 stops being exact.
TEST(PtxWgmma, IntegersStayExactOverLongChains) {
  Words words(120);
  Wgmma unit;
  const Layout layout = layouts()[3];
  Setting s({.a = "u8", .b = "u8", .d = "s32", .n = 8, .a_layout = layout, .b_layout = layout}, 24,
            words);
  s.memory.clear();
  for (std::size_t t = 0; t < 24; ++t) {
    for (auto* codes : {&s.a[t], &s.b[t]}) {
      for (auto& x : codes->of) x |= 0xE0;
    }
    s.steps[t].b_descriptor = s.put(s.b[t], "u8", layout);
    s.steps[t].a_descriptor = s.put(s.a[t], "u8", layout);
  }
  unit.run(s.op, s.operands(), s.steps, {s.memory, kLayoutBase});
  s.check(words, 500);
}

/// Sums of E4M3 by E5M2 products that need no cut are exact, so plain arithmetic is the oracle.
TEST(PtxWgmma, MixedFp8MultipliesEachByItsOwnFormat) {
  Words words(117);
  Wgmma unit;
  const Layout layout = layouts()[3];
  for (const bool swap : {false, true}) {
    Kind kind{.a = swap ? "e5m2" : "e4m3",
              .b = swap ? "e4m3" : "e5m2",
              .d = "f32",
              .n = 24,
              .a_layout = layout,
              .b_layout = layout};
    Setting s(kind, 2, words);
    // Few bits: E4M3 1 to 1.875, E5M2 1 to 1.75 times 1 or 2, accumulators multiples of 1/32.
    for (std::size_t t = 0; t < 2; ++t) {
      for (auto* codes : {&s.a[t], &s.b[t]}) {
        const bool e4m3 = (codes == &s.a[t]) != swap;
        for (auto& x : codes->of) x = (x & 0x80) | (e4m3 ? 0x38 + x % 8 : 0x3C + x % 8);
      }
    }
    s.memory.clear();
    for (std::size_t t = 0; t < 2; ++t) {
      s.steps[t].b_descriptor = s.put(s.b[t], kind.b, layout);
      s.steps[t].a_descriptor = s.put(s.a[t], kind.a, layout);
    }
    kind.from_d = false;
    s.kind.from_d = false;
    unit.run(s.op, s.operands(), s.steps, {s.memory, kLayoutBase});
    const auto value = [](const std::string& type, std::uint32_t code) {
      return numerics::decode_f64(
          code, type == "e4m3" ? numerics::FormatId::e4m3 : numerics::FormatId::e5m2);
    };
    for (std::size_t i = 0; i < 64; ++i) {
      for (std::size_t j = 0; j < 24; ++j) {
        double sum = 0;
        for (std::size_t t = 0; t < 2; ++t) {
          for (std::size_t k = 0; k < 32; ++k)
            sum += value(kind.a, s.a[t](i, k)) * value(kind.b, s.b[t](j, k));
        }
        const Place at = d_place(i, j, false);
        ASSERT_EQ(f32(s.d_store[at.warp * 12 + at.reg][at.lane]), static_cast<float>(sum));
      }
    }
  }
}

TEST(PtxWgmma, RangesAreWhatIsRead) {
  Words words(118);
  const std::vector<Layout> all = layouts();
  for (const std::size_t i : {0u, 1u, 2u, 3u, 5u, 7u}) {
    Setting s(
        {.a = "bf16", .b = "bf16", .d = "f32", .n = 40, .a_layout = all[i], .b_layout = all[i]}, 1,
        words);
    std::size_t bytes = 0;
    for (const ByteRange& r : a_ranges(s.op, s.steps[0].a_descriptor)) bytes += r.end - r.begin;
    EXPECT_EQ(bytes, 64u * 32);
    bytes = 0;
    for (const ByteRange& r : b_ranges(s.op, s.steps[0].b_descriptor)) bytes += r.end - r.begin;
    EXPECT_EQ(bytes, 40u * 32);
  }
  const Kind in_registers{.a = "e4m3", .b = "e4m3", .d = "f32", .n = 8, .registers = true};
  EXPECT_TRUE(a_ranges(op_of(in_registers), 0).empty());
}

TEST(PtxWgmma, PackedOperandsServeAgain) {
  Words words(119);
  Wgmma unit;
  const Layout layout = layouts()[3];
  Setting s({.a = "e4m3", .b = "e4m3", .d = "f32", .n = 32, .a_layout = layout, .b_layout = layout},
            1, words);
  for (int i = 0; i < 3; ++i) unit.run(s.op, s.operands(), s.steps, {s.memory, kLayoutBase});
  EXPECT_EQ(unit.counts().packed, 2u);
  EXPECT_EQ(unit.counts().reused, 4u);
  EXPECT_EQ(unit.counts().instructions, 3u);
  EXPECT_EQ(unit.counts().multiplications, 3u * 64 * 32 * 32);
}

TEST(PtxWgmma, RefusesWhatPtxLacks) {
  const int one[] = {1, 1, 0, 0}, two[] = {1, 1}, odd[] = {1, 2}, none[] = {0};
  const auto text = [](const char* rest) {
    return "wgmma.mma_async.sync.aligned." + std::string(rest);
  };
  const auto shared = MatrixSource::shared;
  EXPECT_NO_THROW(wgmma_op(text("m64n256k16.f32.bf16.bf16"), shared, one));
  EXPECT_THROW(wgmma_op(text("m64n264k16.f32.bf16.bf16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n12k16.f32.bf16.bf16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m32n8k16.f32.bf16.bf16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k32.f32.bf16.bf16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k16.f16.bf16.bf16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k16.f32.bf16.f16"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n40k32.s32.s8.s8"), shared, {}), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k32.f32.e4m3.e4m3"), shared, one), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k32.f32.e4m3.e4m3"), shared, odd), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k32.f32.e4m3.e4m3.satfinite"), shared, two), Error);
  EXPECT_THROW(wgmma_op(text("m64n8k256.s32.b1.b1"), shared, none), Error);
  EXPECT_THROW(wgmma_op("wgmma.mma_async.sp.sync.aligned.m64n8k64.f32.e4m3.e4m3", shared, two),
               Error);
  EXPECT_THROW(wgmma_op("wgmma.fence.sync.aligned", shared, {}), Error);
  Wgmma unit;
  WgmmaOperands o;
  WgmmaStep step;
  EXPECT_THROW(
      unit.run(wgmma_op(text("m64n8k32.f32.e4m3.e4m3"), shared, two), o, std::span(&step, 1), {}),
      Error);
}

}  // namespace
}  // namespace karat::ptx::units
