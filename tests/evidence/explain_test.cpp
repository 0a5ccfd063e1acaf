// A GPU with another grid, another rounding or another order would be recognised as such.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comparison.hpp"
#include "karat/evidence/inputs.hpp"
#include "models.hpp"

namespace karat::evidence {
namespace {

using numerics::Instruction;
using ::testing::HasSubstr;

/// Rows on which an edited instruction and the real one disagree.
std::vector<DifferingRow> rows_of(const Instruction& real, const Instruction& edited) {
  const StepModel model = *step_model(std::string(real.name));
  const SeededTiles source{3, model.k, true};
  std::vector<DifferingRow> rows;
  for (std::uint32_t tile = 0; tile < 8; ++tile)
    for (int line = 0; line < kTileRows; ++line) {
      DifferingRow row{.place = "case " + std::to_string(tile * kTileCases)};
      for (int e = 0; e < model.k; ++e) {
        row.a.push_back(model.code(source.a(model.word, tile, 0, line, e)));
        row.b.push_back(model.code(source.b(model.word, tile, 0, line % kTileColumns, e)));
      }
      row.c = source.c(numerics::format(real.accumulator), tile, line, 0);
      row.emulated = numerics::step_bits(real, row.a, row.b, row.c);
      row.captured = numerics::step_bits(edited, row.a, row.b, row.c);
      if (row.emulated != row.captured) rows.push_back(row);
    }
  return rows;
}

std::string all_of(const std::vector<DifferingRow>& rows) {
  const std::string n = std::to_string(rows.size());
  return " gives " + n + " of the " + n + " differing rows";
}

TEST(Explain, NamesTheChangedField) {
  const Instruction& real = numerics::instruction("hopper.wgmma.e4m3.f32");
  Instruction finer = real;
  finer.fraction = 14;
  std::vector<DifferingRow> rows = rows_of(real, finer);
  ASSERT_GT(rows.size(), 20u);
  EXPECT_THAT(explain(real, rows), HasSubstr("F = 14 instead of 13" + all_of(rows)));

  Instruction halves = real;
  halves.step = 16;
  rows = rows_of(real, halves);
  ASSERT_GT(rows.size(), 20u);
  EXPECT_THAT(explain(real, rows), HasSubstr("sums of 16 products chained"));

  Instruction whole = real;
  whole.out_fraction = 23;
  rows = rows_of(real, whole);
  ASSERT_GT(rows.size(), 20u);
  EXPECT_THAT(explain(real, rows), HasSubstr("23 result bits instead of 13" + all_of(rows)));
}

TEST(Explain, ShowsTheArithmeticOfTheFirstRow) {
  const Instruction& real = numerics::instruction("hopper.wgmma.e4m3.f32");
  std::vector<std::uint32_t> a(32), b(32);
  a[0] = a[1] = 0x38;
  b[0] = 0x38;
  b[1] = 0x01;
  const DifferingRow row{"row 0", a, b, 0, 0x3F800400, numerics::step_bits(real, a, b, 0)};
  const std::string text = explain(real, {&row, 1});
  EXPECT_THAT(text, HasSubstr("captured 0x3f800400, emulated 0x3f804000"));
  EXPECT_THAT(text, HasSubstr("largest exponent 0, grid 2^-13"));
  EXPECT_THAT(text, HasSubstr("a 3838 b 3801 c 00000000"));
  EXPECT_THAT(text, HasSubstr("no change of one parameter"));
}

TEST(Explain, NothingToSayAboutNoRows) {
  EXPECT_EQ(explain(numerics::instruction("hopper.wgmma.s8.s32"), {}), "");
}

}  // namespace
}  // namespace karat::evidence
