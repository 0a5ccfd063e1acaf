// Fits recover made-up tables from their octaves; octaves no table produces are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/evidence/evidence.hpp"
#include "karat/evidence/interpolator.hpp"
#include "karat/evidence/octave.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {
namespace {

std::vector<std::uint32_t> octave(const QuadraticTable& table) {
  const Interpolator unit(table);
  std::vector<std::uint32_t> values(1u << kFractionBits);
  for (std::uint32_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint32_t>(unit(i));
  return values;
}

TEST(Fit, RecoversTheSyntheticTables) {
  for (const QuadraticTable& truth : {synthetic_ex2_table(), synthetic_rcp_table()}) {
    const FitResult fit = fit_octave(octave(truth), {.segment_bits = truth.segment_bits});
    ASSERT_TRUE(fit.table);
    EXPECT_EQ(*fit.table, truth);
  }
}

/// Other squarers and widths, and a constant finer than c0: equal values, whatever the
/// coefficients.
TEST(Fit, ReproducesEveryValueOfOtherUnits) {
  for (const int dropped : {12, 18, 24}) {
    QuadraticTable truth = synthetic_ex2_table();
    truth.square_dropped = dropped;
    truth.f0 = 28;
    for (auto& segment : truth.segments) segment[0] = segment[0] * 4 + dropped % 7;
    const std::vector<std::uint32_t> values = octave(truth);
    const FitResult fit = fit_octave(values, {});
    ASSERT_TRUE(fit.table) << dropped;
    EXPECT_EQ(octave(*fit.table), values) << dropped;
    EXPECT_EQ(fit.square_dropped, dropped);
  }
}

TEST(Fit, OneWrongValueIsRefusedAndItsSegmentNamed) {
  std::vector<std::uint32_t> values = octave(synthetic_ex2_table());
  values[(17u << 17) + 1234] += 1;
  const FitResult fit = fit_octave(values, {});
  EXPECT_FALSE(fit.table);
  EXPECT_EQ(fit.square_dropped, 21);
  EXPECT_THAT(fit.refused, ::testing::ElementsAre(17));
}

TEST(Fit, CorrectlyRoundedResultsAreNoTable) {
  std::vector<std::uint32_t> values(1u << kFractionBits);
  for (std::uint32_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::uint32_t>(std::llround(std::ldexp(2 / (1 + i * 0x1p-23), 23)));
  const FitResult fit = fit_octave(values, {.segment_bits = 7});
  EXPECT_FALSE(fit.table);
  EXPECT_GT(fit.refused.size(), 64u);
}

TEST(Fit, NeedsAWholeOctave) {
  const std::vector<std::uint32_t> few(100);
  EXPECT_THROW(fit_octave(few, {}), Error);
}

TEST(SyntheticTable, IsWithinTwoUnitsOfTheFunction) {
  const std::vector<std::uint32_t> ex2 = octave(synthetic_ex2_table());
  const std::vector<std::uint32_t> rcp = octave(synthetic_rcp_table());
  for (std::uint32_t i = 0; i < ex2.size(); i += 97) {
    ASSERT_NEAR(ex2[i], std::ldexp(std::exp2(i * 0x1p-23), 23), 2.5) << i;
    ASSERT_NEAR(rcp[i], std::ldexp(2 / (1 + i * 0x1p-23), 23), 2.5) << i;
  }
}

TEST(Octave, PacksAndUnpacks) {
  std::vector<std::uint32_t> rising{5, 5, 6, 8, 8, 12, 11, 11}, falling{9, 8, 6, 6, 1, 2, 2, 1};
  for (const auto& [values, direction] : {std::pair{rising, 1}, std::pair{falling, -1}}) {
    PackedOctave packed = pack_octave(values, direction);
    EXPECT_EQ(packed.symbols.size(), 2u);
    EXPECT_EQ(unpack_octave(packed, direction), values);
    packed.escapes.push_back(3);
    EXPECT_EQ(unpack_octave(packed, direction), std::nullopt);
    packed.escapes.clear();
    EXPECT_EQ(unpack_octave(packed, direction), std::nullopt);
  }
}

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }

float ex2(const QuadraticTable& table, float x) {
  return std::bit_cast<float>(ex2_bits(Interpolator(table), bits(x)));
}

TEST(Ex2, SpecialValues) {
  const QuadraticTable table = synthetic_ex2_table();
  const float inf = INFINITY;
  EXPECT_EQ(bits(ex2(table, -inf)), 0u);
  EXPECT_EQ(ex2(table, inf), inf);
  EXPECT_EQ(ex2(table, 128), inf);
  EXPECT_EQ(ex2(table, -0x1p-140f), 1.0f);
  EXPECT_EQ(ex2(table, 0.0f), 1.0f);
  EXPECT_EQ(ex2(table, -126.5f), 0.0f);
  EXPECT_EQ(bits(ex2(table, std::nanf(""))), 0x7FFFFFFFu);
  for (int n = -126; n < 128; ++n)
    EXPECT_EQ(ex2(table, static_cast<float>(n)), std::ldexp(1.0f, n));
}

TEST(Ex2, IsTheInterpolatorOverAnOctaveAndWithinTwoUlp) {
  const Interpolator unit(synthetic_ex2_table());
  for (std::uint32_t i = 0; i < 1u << kFractionBits; i += 61) {
    const std::uint32_t result = ex2_bits(unit, 0x3F800000u + i);
    ASSERT_EQ(result, 0x40000000u + unit(i) - (1u << kFractionBits));
    const auto truth = static_cast<float>(std::exp2(1 + std::ldexp(i, -kFractionBits)));
    ASSERT_NEAR(result, bits(truth), 2);
  }
}

TEST(Ex2, EveryPartOfTheTableMatters) {
  const QuadraticTable table = synthetic_ex2_table();
  QuadraticTable changed = table;
  changed.segments[32][0] += std::int64_t{1} << (table.f0 - kFractionBits);
  EXPECT_NE(ex2(changed, 0.5f), ex2(table, 0.5f));
  EXPECT_EQ(ex2(changed, 0.25f), ex2(table, 0.25f));
  changed.segments[16][2] *= 2;
  EXPECT_NE(ex2(changed, 0.265f), ex2(table, 0.265f));
}

TEST(Rcp, SpecialValuesAndEdges) {
  const Interpolator unit(synthetic_rcp_table());
  const float inf = INFINITY;
  for (const auto& [x, y] : {std::pair{1.0f, 1.0f},
                             {2.0f, 0.5f},
                             {-4.0f, -0.25f},
                             {inf, 0.0f},
                             {-inf, -0.0f},
                             {0.0f, inf},
                             {-0.0f, -inf},
                             {0x1p-140f, inf},
                             {0x1p-126f, 0x1p126f},
                             {0x1p126f, 0x1p-126f},
                             {0x1.8p126f, 0.0f},
                             {-0x1p127f, -0.0f}})
    EXPECT_EQ(rcp_bits(unit, bits(x)), bits(y)) << x;
  EXPECT_EQ(rcp_bits(unit, 0xFF800001u), 0x7FFFFFFFu);
  for (const float x : {0.3f, -0.7f, 5.75f, 1e-30f, 3e37f})
    EXPECT_NEAR(std::bit_cast<float>(rcp_bits(unit, bits(x))) * static_cast<double>(x), 1, 0x1p-21);
}

TEST(Table, JsonThereAndBack) {
  const QuadraticTable table = synthetic_rcp_table();
  EXPECT_EQ(table_from_json(to_json(table), "table"), table);
  nlohmann::ordered_json json = to_json(table);
  json["segments"][0][2] = INT64_MAX;
  EXPECT_THROW(table_from_json(json, "table"), Error);
  json["segments"].erase(3);
  EXPECT_THROW(table_from_json(json, "table"), Error);
  json.erase("segments");
  EXPECT_THROW(table_from_json(json, "table"), Error);
}

}  // namespace
}  // namespace karat::evidence
