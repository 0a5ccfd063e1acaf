// Sampled rows speak for all rows, within the interval they state.
#include "karat/study/sample.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "karat/attention/attend.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/numerics/base/error.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

/// One head: errors and truths of every token, for sampling from.
struct AllRows {
  layout::Layout layout;
  std::vector<double> errors, references;
};

AllRows all_rows() {
  capture::GeneratedSource spec = small_source();
  spec.spec.grid = {8, 16, 24};
  const auto source = capture::generated_source(spec);
  const recipe::Recipe recipe = small_recipe();
  AllRows rows{layout::make_layout(recipe, source->facts().grid, source->facts().channels), {}, {}};
  const cases::HeadValues values = source->values({.prompt = 0, .step = 5}, 1);
  std::vector<std::int32_t> tokens(source->facts().grid.volume());
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i);
  const auto truth =
      attention::oracle(rows.layout, values.view(), tokens, attention::OracleMask::dense, 1);
  const auto result = attention::attend(
      recipe, rows.layout,
      attention::quantise_head(recipe, rows.layout, values.view(), numerics::Path::fast),
      {.threads = 1});
  const std::size_t d = source->facts().channels;
  for (std::size_t token = 0; token < tokens.size(); ++token) {
    double error = 0, reference = 0;
    for (std::size_t j = 0; j < d; ++j) {
      const double t = truth.o[token * d + j], e = result.o[token * d + j] - t;
      error += e * e;
      reference += t * t;
    }
    rows.errors.push_back(error);
    rows.references.push_back(reference);
  }
  return rows;
}

std::vector<double> of(const std::vector<double>& all, const std::vector<std::int32_t>& tokens) {
  std::vector<double> some;
  for (const std::int32_t token : tokens) some.push_back(all[token]);
  return some;
}

TEST(Sample, AgreesWithAllRowsWithinItsInterval) {
  const AllRows rows = all_rows();
  double error = 0, reference = 0;
  for (std::size_t i = 0; i < rows.errors.size(); ++i) {
    error += rows.errors[i];
    reference += rows.references[i];
  }
  const double truth = std::sqrt(error / reference);
  int covered = 0;
  double width = 0;
  constexpr int kRepeats = 300;
  for (int seed = 0; seed < kRepeats; ++seed) {
    const Sample sample =
        draw_sample(rows.layout, {}, {.rows = 96, .draws = 12, .seed = 7}, std::uint64_t(seed));
    ASSERT_FALSE(sample.draws.complete);
    const statistics::Estimate estimate = statistics::relative_l2(
        sample.draws, of(rows.errors, sample.tokens), of(rows.references, sample.tokens));
    const double half = statistics::half_width(sample.draws, estimate);
    covered += std::abs(estimate.value - truth) <= half;
    width += half / kRepeats;
  }
  EXPECT_GE(covered, kRepeats * 0.91);  // 95 % stated; errors of rows have long tails
  EXPECT_LT(width, truth) << "an interval as wide as the value says nothing";
}

TEST(Sample, TakesWholeQueryBlocksAndSpreadsThem) {
  const AllRows rows = all_rows();
  const Sample sample = draw_sample(rows.layout, {}, {.rows = 64, .draws = 8, .seed = 1}, 3);
  EXPECT_EQ(sample.draws.rows.size(), 8u);
  EXPECT_TRUE(std::is_sorted(sample.blocks.begin(), sample.blocks.end()));
  const std::set<std::int32_t> distinct(sample.tokens.begin(), sample.tokens.end());
  EXPECT_EQ(distinct.size(), sample.tokens.size());
  for (const std::int32_t token : sample.tokens) {
    const std::int64_t position = rows.layout.order.position_of[token];
    EXPECT_TRUE(std::ranges::any_of(sample.blocks, [&](int b) {
      const video::Range range = rows.layout.blocks.query_blocks[b];
      return range.begin <= position && position < range.end;
    }));
  }
}

TEST(Sample, TakesEverythingWhenThatIsAskedFor) {
  const AllRows rows = all_rows();
  const Sample sample = draw_sample(rows.layout, {}, {.rows = 1 << 20, .draws = 8, .seed = 1}, 3);
  EXPECT_TRUE(sample.draws.complete);
  EXPECT_EQ(sample.tokens.size(), rows.errors.size());
  EXPECT_EQ(statistics::relative_l2(sample.draws, of(rows.errors, sample.tokens),
                                    of(rows.references, sample.tokens))
                .standard_error,
            0);
}

TEST(Sample, KeepsToAvailableQueries) {
  const AllRows rows = all_rows();
  std::vector<std::int32_t> available;
  const video::Range block = rows.layout.blocks.query_blocks[5];
  for (std::int64_t p = block.begin; p < block.end; ++p)
    available.push_back(rows.layout.order.token_at[p]);
  std::sort(available.begin(), available.end());
  const Sample sample = draw_sample(rows.layout, available, {.rows = 8, .draws = 4, .seed = 1}, 3);
  EXPECT_EQ(sample.blocks, std::vector<int>{5});
  available.pop_back();
  EXPECT_THROW(draw_sample(rows.layout, available, {.rows = 8, .draws = 4}, 3), Error);
  EXPECT_THROW(draw_sample(rows.layout, {}, {.rows = 2, .draws = 4}, 3), Error);
}

}  // namespace
}  // namespace karat::study
