// The operands of a capture hold every kind of number, and the deciders decide.
#include "karat/evidence/inputs.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "karat/attention/operations/kernel.hpp"
#include "karat/evidence/deciders.hpp"
#include "models.hpp"

namespace karat::evidence {
namespace {

using numerics::Format;
using numerics::FormatId;

std::string kind(const Format& f, std::uint32_t code) {
  if (f.is_nan(code)) return "nan";
  if (f.is_infinity(code)) return "inf";
  if (code == f.sign_mask()) return "-0";
  const std::uint32_t magnitude = code & f.magnitude_mask();
  if (magnitude == 0) return "+0";
  return magnitude >> f.fraction_bits == 0 ? "subnormal" : "normal";
}

// The GPU program and the engine scale scores by one constant.
TEST(Inputs, TheScoreScaleIsTheEngines) {
  EXPECT_EQ(kScoreScale, static_cast<float>(attention::score_scale(kAttentionChannels)));
}

TEST(Inputs, HoldEveryKindOfNumber) {
  for (const FormatId id :
       {FormatId::e4m3, FormatId::e5m2, FormatId::f16, FormatId::bf16, FormatId::f32}) {
    const Format& f = numerics::format(id);
    std::map<std::string, int> operands, accumulators;
    const SeededTiles source{1, 32, false};
    for (std::uint32_t tile = 0; tile < 64; ++tile)
      for (int row = 0; row < kTileRows; ++row) {
        for (int e = 0; e < 32; ++e) ++operands[kind(f, source.a(f, tile, 0, row, e))];
        for (int column = 0; column < kTileColumns; ++column)
          ++accumulators[kind(f, source.c(f, tile, row, column))];
      }
    for (const char* name : {"nan", "-0", "+0", "normal", "subnormal"})
      EXPECT_GT(operands[name], 20) << f.name << " " << name;
    if (f.specials == numerics::Specials::infinity_and_nan) {
      EXPECT_GT(operands["inf"], 20) << f.name;
    }
    if (id != FormatId::f16 && id != FormatId::f32) continue;
    for (const char* name : {"nan", "inf", "-0", "+0", "subnormal", "normal"})
      EXPECT_GT(accumulators[name], 20) << f.name << " " << name;
  }
}

TEST(Inputs, FiniteSpreadsAreFinite) {
  for (const FormatId id :
       {FormatId::e4m3, FormatId::e5m2, FormatId::f16, FormatId::bf16, FormatId::f32}) {
    const Format& f = numerics::format(id);
    for (std::uint32_t i = 0; i < 1u << 16; ++i) {
      const std::uint32_t random = numerics::random_bits(5, 5, i);
      for (const Spread how : {Spread::finite, Spread::near, Spread::low}) {
        const std::uint32_t code = operand(f, how, random);
        ASSERT_FALSE(f.is_nan(code) || f.is_infinity(code)) << f.name;
        ASSERT_EQ(code & ~f.mask(), 0u);
      }
    }
  }
}

/// Differing models must give differing words on the random tiles, else a capture proves nothing.
TEST(Inputs, TellModelsApart) {
  const StepModel model = *step_model("hopper.wgmma.e4m3.f32");
  const SeededTiles source{1, model.k, false};
  const auto real = run_tiles(model, source, 4, {1}, 1)[0];
  const auto differing = [&](auto edit) {
    numerics::Instruction changed = *model.instruction;
    edit(changed);
    const auto other = run_tiles({&changed, model.word, model.k}, source, 4, {1}, 1)[0];
    std::size_t count = 0;
    for (std::size_t i = 0; i < real.size(); ++i) count += real[i] != other[i];
    return count;
  };
  EXPECT_GT(differing([](auto& r) { r.fraction = 12; }), 100u);
  EXPECT_GT(differing([](auto& r) { r.fraction = 14; }), 100u);
  EXPECT_GT(differing([](auto& r) { r.out_fraction = 23; }), 100u);
  EXPECT_GT(differing([](auto& r) { r.step = 16; }), 100u);
}

TEST(Inputs, FloorShowsInTheLowTiles) {
  const StepModel model = *step_model("hopper.wgmma.bf16.f32");
  const SeededTiles source{1, model.k, false};
  const auto real = run_tiles(model, source, 256, {1}, 0)[0];
  numerics::Instruction without = *model.instruction;
  without.floor = -126;
  EXPECT_TRUE(run_tiles({&without, model.word, model.k}, source, 256, {1}, 0)[0] != real);
}

TEST(Deciders, AreWellFormed) {
  for (const Decider& row : kDeciders) {
    const auto model = step_model(std::string(row.instruction));
    ASSERT_TRUE(model) << row.instruction;
    const DeciderOperands o = operands(row, model->word.bits, model->k);
    EXPECT_EQ(o.a.size(), static_cast<std::size_t>(model->k));
    EXPECT_EQ(static_cast<int>(row.c.size()) * 4,
              numerics::format(model->instruction->accumulator).bits)
        << row.question;
  }
}

TEST(Deciders, RepeatTheLastCode) {
  EXPECT_EQ(codes_of("3801x4", 8, 5), (std::vector<std::uint32_t>{0x38, 1, 1, 1, 0}));
  EXPECT_EQ(codes_of("1afc9afd", 16, 3), (std::vector<std::uint32_t>{0x1AFC, 0x9AFD, 0}));
}

TEST(Fingerprint, SeesIndexAndValue) {
  EXPECT_NE(fingerprint(1, 2), fingerprint(2, 1));
  EXPECT_NE(fingerprint(1, 2) + fingerprint(2, 3), fingerprint(1, 3) + fingerprint(2, 2));
}

}  // namespace
}  // namespace karat::evidence
