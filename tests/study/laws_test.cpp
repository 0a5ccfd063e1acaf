// What must come out whatever the workload: groups and formats, and interactions that vanish.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "karat/numerics/random/normal.hpp"
#include "karat/quant/quantise.hpp"
#include "karat/study/summary.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

constexpr int kTiles = 16, kRows = 32, kChannels = 32;

/// Mean over 16 tiles of each tile's relative error, magnitudes falling by `octaves` from first to
/// last.
double quantisation_error(numerics::FormatId format, quant::Group group, double octaves) {
  std::vector<float> x(kTiles * kRows * kChannels);
  numerics::fill_normal(11, 1, 0, x);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] *=
        static_cast<float>(std::exp2(-octaves * double(i / (kRows * kChannels)) / (kTiles - 1)));
  const quant::Rule rule{.format = format, .group = group, .tile = {1, 1, kRows}};
  const video::Extent3 grid{1, 1, kTiles * kRows};
  const auto order = video::tile_order(video::Tiling(grid, rule.tile));
  const auto blocks = video::tile_ranges(order);
  const auto q = quant::quantise(
      numerics::row_major<const float>(x.data(), kTiles * kRows, kChannels), rule,
      quant::group_positions(rule, grid, order, blocks, kChannels), numerics::Path::fast);
  double mean = 0;
  for (int tile = 0; tile < kTiles; ++tile) {
    double error = 0, size = 0;
    for (int i = tile * kRows; i < (tile + 1) * kRows; ++i)
      for (int j = 0; j < kChannels; ++j) {
        const double value = x[i * kChannels + j];
        const double e = double{q.scale(i, j)} * q.values[i * kChannels + j] - value;
        error += e * e;
        size += value * value;
      }
    mean += std::sqrt(error / size) / kTiles;
  }
  return mean;
}

/// How much one scale per tile improves on one scale for all.
double gain(numerics::FormatId format, double octaves) {
  return quantisation_error(format, quant::Group::tensor, octaves) /
         quantisation_error(format, quant::Group::tile, octaves);
}

TEST(Laws, FinerGroupsHelpInt8MuchAndE4m3HardlyWithinFifteenOctaves) {
  using enum numerics::FormatId;
  EXPECT_GT(gain(int8, 4), 2);
  EXPECT_GT(gain(int8, 8), 8);
  EXPECT_NEAR(gain(e4m3, 4), 1, 0.1);
  EXPECT_NEAR(gain(e4m3, 8), 1, 0.1);
  EXPECT_GT(gain(e4m3, 20), 3) << "elements past 15 octaves below amax are subnormal, then zero";
}

class Interaction : public testing::Test {
 protected:
  StudyResult study(std::vector<recipe::Recipe> recipes) {
    capture::GeneratedSource spec = small_source();
    spec.steps = {40};
    source = capture::generated_source(spec);
    MeasureOptions options = small_options();
    options.taken_apart.clear();
    const Workbench bench(*source, recipes, options);
    const StudyIdentity identity = identity_of(*source, recipes, options);
    Journal journal(scratch("interaction"), identity);
    StudyResult result = run(*source, bench, identity, journal, {.threads = 2});
    journal.remove();
    return result;
  }
  std::unique_ptr<capture::Source> source;
};

TEST_F(Interaction, VanishesWithoutSparsity) {
  recipe::Recipe dense = small_recipe();
  dense.mask.kind = recipe::MaskKind::none;
  const StudyResult result = study({dense});
  for (const JobResult& job : result.jobs) {
    EXPECT_EQ(figure(job, 0, Measure::both), figure(job, 0, Measure::fp8));
    EXPECT_LT(figure(job, 0, Measure::mask), 1e-12);
    EXPECT_NEAR(figure(job, 0, Measure::fp8_given_mask) / figure(job, 0, Measure::fp8), 1, 1e-9);
    EXPECT_NEAR(figure(job, 0, Measure::kept_mass), 1, 1e-12);
  }
  EXPECT_FALSE(amplification(result, 0, Amplification::rss)) << "an error of 0 has no interaction";
}

TEST_F(Interaction, VanishesWithoutQuantisation) {
  recipe::Recipe exact = small_recipe();
  exact.q.format = exact.k.format = exact.v.format = exact.p.format = numerics::FormatId::f32;
  exact.p.multiplier = 1;
  exact.qk.instruction = exact.pv.instruction = "f32.fma";
  exact.output = numerics::FormatId::f32;
  const StudyResult result = study({exact});
  const auto rss = amplification(result, 0, Amplification::rss);
  ASSERT_TRUE(rss);
  EXPECT_NEAR(rss->value, 1, 1e-4);
  EXPECT_LT(rss->high - rss->low, 1e-3);
  EXPECT_NEAR(amplification(result, 0, Amplification::sum)->value, 1, 1e-4);
}

TEST_F(Interaction, FiguresAreThoseOfTheirDefinition) {
  const StudyResult result = study({small_recipe()});
  for (const JobResult& job : result.jobs) {
    EXPECT_GT(figure(job, 0, Measure::mask), 0.005);
    EXPECT_GT(figure(job, 0, Measure::fp8), 0.005);
    EXPECT_LT(figure(job, 0, Measure::both),
              figure(job, 0, Measure::mask) + 2 * figure(job, 0, Measure::fp8));
    EXPECT_LT(figure(job, 0, Measure::kept_mass), 1);
    // Common and independent part add up to the guided error, up to their cross term.
    const double c = figure(job, 0, Measure::guided_common),
                 i = figure(job, 0, Measure::guided_independent),
                 both = figure(job, 0, Measure::guided);
    EXPECT_LE(both, c + i + 1e-12);
    EXPECT_GE(both, std::abs(c - i) - 1e-12);
  }
}

}  // namespace
}  // namespace karat::study
