// mma.sync element by element: fragments by the formulas of the PTX ISA, values by the scalar
// definition of the instruction.
#include "units/mma.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "fragments.hpp"
#include "karat/numerics/base/error.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

struct Kind {
  std::string a, b, d;
  std::size_t k;
  int architecture;
  std::string row;
  bool saturate = false, specials = false;
};

void check(const Kind& kind, Mma& unit, Words& words) {
  const std::string text = "mma.sync.aligned.m16n8k" + std::to_string(kind.k) + ".row.col" +
                           (kind.saturate ? ".satfinite" : "") + "." + kind.d + "." + kind.a + "." +
                           kind.b + "." + kind.d;
  const MmaOp op = mma_op(text, kind.architecture);
  ASSERT_EQ(op.row ? std::string(op.row->name) : "", kind.row);
  const auto bytes = static_cast<std::size_t>(bytes_of(kind.a)), per = 4 / bytes;
  const Codes a = random_codes(kind.a, 16, kind.k, words, kind.specials),
              b = random_codes(kind.b, 8, kind.k, words, kind.specials);
  std::vector<Register> ra(kind.k * bytes / 8), rb(kind.k * bytes / 16),
      rd(kind.d == "f16" ? 2 : 4);
  for (std::size_t l = 0; l < kLanes; ++l) {
    for (std::size_t e = 0; e < per; ++e) {
      for (std::size_t r = 0; r < ra.size(); ++r) {
        ra[r][l] |= a(l / 4 + 8 * (r % 2), (l % 4 + 4 * (r / 2)) * per + e) << (8 * bytes * e);
      }
      for (std::size_t r = 0; r < rb.size(); ++r)
        rb[r][l] |= b(l / 4, (l % 4 + 4 * r) * per + e) << (8 * bytes * e);
    }
  }
  std::vector<std::uint32_t> c(16 * 8);
  for (auto& x : c) {
    x = kind.d == "f16"   ? random_code("f16", words, false)
        : kind.d == "s32" ? words.next32()
                          : bits_of((static_cast<float>(words.below(2001)) - 1000.0f) / 64);
  }
  const bool f16 = kind.d == "f16";
  const auto word = [&](std::size_t row, std::size_t column) -> std::uint32_t& {
    const std::size_t lane = row % 8 * 4 + column / 2;
    return rd[f16 ? row / 8 : row / 8 * 2 + column % 2][lane];
  };
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) word(i, j) |= c[8 * i + j] << (f16 ? 16 * (j % 2) : 0);
  }
  std::vector<std::uint32_t*> d;
  std::vector<const std::uint32_t*> pa, pb, pc;
  for (auto& r : rd) d.push_back(r.data()), pc.push_back(r.data());
  for (auto& r : ra) pa.push_back(r.data());
  for (auto& r : rb) pb.push_back(r.data());
  unit.run(op, d, pa, pb, pc);
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      const std::uint32_t want =
          element(kind.row, kind.a, kind.b, false, false, kind.saturate, a, i, b, j, c[8 * i + j]);
      const std::uint32_t got = f16 ? (word(i, j) >> (16 * (j % 2))) & 0xFFFF : word(i, j);
      ASSERT_EQ(got, want) << text << " sm_" << kind.architecture << " (" << i << ", " << j << ")";
    }
  }
}

TEST(PtxMma, EveryRowOfTheTable) {
  Words words(121);
  Mma unit;
  for (const auto& [generation, architecture] : {std::pair{"ampere", 80}, std::pair{"ampere", 86},
                                                 std::pair{"ada", 89}, std::pair{"hopper", 90}}) {
    const std::string g = generation;
    for (int round = 0; round < 10; ++round) {
      const bool specials = round > 6;
      for (const std::string type : {"bf16", "f16"}) {
        check({type, type, "f32", 16, architecture, g + ".mma." + type + ".f32", false, specials},
              unit, words);
        check({type, type, "f32", 8, architecture, g + ".mma." + type + ".f32", false, specials},
              unit, words);
      }
      if (g != "ampere") {
        check({"f16", "f16", "f16", 16, architecture, g + ".mma.f16.f16", false, specials}, unit,
              words);
        for (const std::string type : {"e4m3", "e5m2"}) {
          for (const std::string d : {"f32", "f16"}) {
            check({type, type, d, 32, architecture, g + ".mma." + type + "." + d, false, specials},
                  unit, words);
          }
        }
      }
      for (const bool saturate : {false, true}) {
        check({"s8", "s8", "s32", 32, architecture, "", saturate}, unit, words);
        check({"u8", "s8", "s32", 16, architecture, "", saturate}, unit, words);
      }
    }
  }
}

// E4M3 by E5M2 with products that need no cut.
TEST(PtxMma, MixedFp8) {
  for (const int architecture : {89, 90}) {
    const MmaOp op = mma_op("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32", architecture);
    EXPECT_EQ(op.fidelity, Fidelity::stand_in);
    std::vector<Register> r(10);
    for (std::size_t i = 0; i < 4; ++i)
      r[i].fill(0x38393A3B);  // 1, 1.125, 1.25, 1.375 from the top
    for (std::size_t i = 4; i < 6; ++i) r[i].fill(0x3CBD3EBF);  // 1, -1.25, 1.5, -1.75
    std::vector<std::uint32_t*> d;
    for (std::size_t i = 6; i < 10; ++i) d.push_back(r[i].data());
    const std::vector<const std::uint32_t*> a = {r[0].data(), r[1].data(), r[2].data(),
                                                 r[3].data()},
                                            b = {r[4].data(), r[5].data()}, c(d.begin(), d.end());
    Mma unit;
    unit.run(op, d, a, b, c);
    const float want = 8 * (1 - 1.125f * 1.25f + 1.25f * 1.5f - 1.375f * 1.75f);
    for (std::size_t i = 6; i < 10; ++i) EXPECT_EQ(f32(r[i][13]), want);
  }
}

TEST(PtxMma, RefusesByNameWhatHasNoRow) {
  const auto message = [](const char* text, int architecture) -> std::string {
    try {
      mma_op(text, architecture);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 80),
            "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16: not supported: the instruction "
            "table has no row "
            "ampere.mma.f16.f16");
  for (const char* text : {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32",
                           "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64",
                           "mma.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32",
                           "mma.sync.aligned.m16n8k64.row.col.s32.s4.s4.s32",
                           "mma.sync.aligned.m16n8k16.row.col.f32.e4m3.e4m3.f32",
                           "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f32",
                           "mma.sp.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32",
                           "mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32"}) {
    EXPECT_NE(message(text, 90), "") << text;
  }
  EXPECT_NE(message("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 100), "");
  EXPECT_NE(message("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", 80), "");
}

}  // namespace
}  // namespace karat::ptx::units
