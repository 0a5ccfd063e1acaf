// Rules of the systems that no other test carries in its name: each on the smallest case that shows
// it.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "karat/attention/attend.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/predict.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/workload.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

using recipe::Recipe;
using video::Extent3;

HeadResult run(const Recipe& recipe, const layout::Setting& setting, const HeadInput& input) {
  const layout::Layout layout = layout_of_head(recipe, setting, input, 2);
  return attend(recipe, layout, quantise_head(recipe, layout, input, numerics::Path::fast));
}

struct Outcome {
  double error = 0;      ///< ||o - truth|| / ||truth||, the truth in f64 under the same mask
  double saturated = 0;  ///< share of P's codes at the largest value
};
Outcome outcome(const char* preset, video::WorkloadKind kind, Extent3 grid) {
  const Recipe recipe = recipe::preset(preset);
  const video::Head head =
      video::generate_head({.kind = kind, .grid = grid, .head_dim = 64, .seed = 3}, 0, 0);
  const HeadInput input{head.q, head.k, head.v, numerics::FormatId::bf16};
  const layout::Layout layout = layout_of_head(recipe, {.grid = grid, .channels = 64}, input);
  const HeadResult result =
      attend(recipe, layout, quantise_head(recipe, layout, input, numerics::Path::fast));
  std::vector<std::int32_t> rows;
  for (std::int32_t token = 0; token < grid.volume(); token += 7) rows.push_back(token);
  const OracleResult truth = oracle(layout, input, rows, OracleMask::sparse, 0);
  double wrong = 0, all = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < 64; ++j) {
      const double t = truth.o[i * 64 + j];
      wrong += std::pow(result.o[rows[i] * 64 + j] - t, 2);
      all += t * t;
    }
  return {std::sqrt(wrong / all),
          static_cast<double>(result.saturated_p_codes) / (layout.multiply_adds() / 2 / 64)};
}

// Offset 8 puts P at up to 2^8; a maximum that lags by 4 lets it reach 2^12, and E4M3 ends at 448.
TEST(FlashAttention3, LazyRescaleWithOffset8AndThreshold4SaturatesP) {
  const auto right = outcome("fa3_fp8", video::WorkloadKind::saturating_p, {8, 16, 16});
  const auto lazy = outcome("fa3_fp8_lazy_rescale", video::WorkloadKind::saturating_p, {8, 16, 16});
  RecordProperty("saturated", std::to_string(lazy.saturated));
  RecordProperty("error", std::to_string(lazy.error));
  EXPECT_EQ(right.saturated, 0);
  EXPECT_GT(lazy.saturated, 0.05);
  EXPECT_LT(right.error, 0.03);
  EXPECT_GT(lazy.error, 5 * right.error);
}

TEST(FlashAttention3, BlockScalesAndHadamardCutTheErrorOnOutliersSeveralFold) {
  const auto plain = outcome("fa3_fp8", video::WorkloadKind::outliers, {8, 16, 16});
  const auto rotated =
      outcome("fa3_fp8_block_hadamard", video::WorkloadKind::outliers, {8, 16, 16});
  RecordProperty("plain", std::to_string(plain.error));
  RecordProperty("rotated", std::to_string(rotated.error));
  EXPECT_GT(plain.error, 2 * rotated.error) << plain.error << " " << rotated.error;
}

/// Two key blocks, the second with the larger scores and other values.
struct TwoBlocks {
  static constexpr Extent3 kGrid{1, 1, 16};
  RandomHead head = random_head(kGrid, 16, Flavour::normal, 2);
  Recipe recipe = recipe::preset("sparge_sm90");
  TwoBlocks() {
    recipe.predict = {};
    recipe.block.q = recipe.q.rows = 16;
    recipe.block.k = recipe.k.rows = 8;
    recipe.k.smooth = recipe::Smooth::none;
    for (std::size_t token = 0; token < 16; ++token)
      for (std::size_t c = 0; c < 16; ++c) {
        head.q[token * 16 + c] = 1;
        head.k[token * 16 + c] = token < 8 ? 0.25f : 0.5f;
        head.v[token * 16 + c] = token < 8 ? 1.0f : 2.0f;
      }
  }
  HeadResult run(float threshold) const {
    Recipe r = recipe;
    r.skip.threshold = threshold;
    return attention::run(r, {.grid = kGrid, .channels = 16}, head.input());
  }
};

TEST(SpargeAttn, TheFirstBlockIsNeverSkipped) {
  const auto all_skipped = TwoBlocks().run(-1e6f);
  EXPECT_NEAR(all_skipped.o[0], 1.0f, 0.05f) << "the first block alone";
  EXPECT_NEAR(TwoBlocks().run(50).o[0], (1 + 2 * std::exp(1.0f)) / (1 + std::exp(1.0f)), 0.05f);
}

TEST(SpargeAttn, ASkippedBlockStillMovesTheMaximumAndRescales) {
  const auto skipped = TwoBlocks().run(-1e6f), computed = TwoBlocks().run(50);
  EXPECT_EQ(skipped.m[0], computed.m[0]);
  EXPECT_NEAR(skipped.l[0] * (1 + std::exp(1.0f)), computed.l[0], 0.02f * computed.l[0]);
}

TEST(RowSum, AddsUnquantisedP) {
  const RandomHead head = random_head({2, 5, 6}, 32, Flavour::normal, 8);
  const layout::Setting setting{.grid = {2, 5, 6}, .channels = 32};
  Recipe coded = recipe::preset("fpsattention");
  Recipe plain = coded;
  plain.p = {.format = numerics::FormatId::f32};
  plain.pv.instruction = "f32.fma";
  EXPECT_EQ(run(coded, setting, head.input()).l, run(plain, setting, head.input()).l);
  coded.softmax.row_sum = recipe::RowSum::quantized;
  EXPECT_NE(run(coded, setting, head.input()).l, run(plain, setting, head.input()).l);
}

// 449 keys in blocks of 224: the last block holds one key, which a descending kernel sees first.
TEST(KeyOrder, ALastBlockOfOneKeyComesFirstInFlashAttention3) {
  const Extent3 grid{1, 1, 449};
  const RandomHead head = random_head(grid, 64, Flavour::normal, 12);
  const Recipe recipe = recipe::preset("fa3_fp8");
  const layout::Layout layout = layout::make_layout(recipe, grid, 64);
  EXPECT_EQ(layout.blocks.rows[0].front().key_block, 2);
  EXPECT_EQ(layout.blocks.key_blocks[2].size(), 1);
  const auto quantised = [&](numerics::Path path) {
    return attend(recipe, layout, quantise_head(recipe, layout, head.input(), path),
                  {.path = path, .tapped = {0}});
  };
  const auto fast = quantised(numerics::Path::fast), slow = quantised(numerics::Path::scalar);
  EXPECT_EQ(fast.o, slow.o);
  EXPECT_EQ(fast.taps[0].key_position[0], 448);
  EXPECT_EQ(fast.taps[0].l[0], std::exp2(8.0f)) << "one key: P = 2^offset";
}

}  // namespace
}  // namespace karat::attention
