// The two engines agree bit for bit, over recipes, grids and hostile values.
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "forward_presets.hpp"
#include "karat/attention/attend.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

using numerics::Path;
using recipe::Recipe;
using video::Extent3;

template <typename T>
void expect_equal_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(0, std::memcmp(&a[i], &b[i], sizeof(T)))
        << what << "[" << i << "]: " << +a[i] << " against " << +b[i];
}

void expect_equal_bits(const HeadResult& a, const HeadResult& b, const std::string& what) {
  ASSERT_EQ(a.taps.size(), b.taps.size());
  for (std::size_t t = 0; t < a.taps.size(); ++t) {
    const std::string tap = what + " tap " + std::to_string(t);
    expect_equal_bits(a.taps[t].a, b.taps[t].a, tap + " a");
    expect_equal_bits(a.taps[t].s, b.taps[t].s, tap + " s");
    expect_equal_bits(a.taps[t].p, b.taps[t].p, tap + " p");
    expect_equal_bits(a.taps[t].p_codes, b.taps[t].p_codes, tap + " p_codes");
    expect_equal_bits(a.taps[t].m, b.taps[t].m, tap + " m");
    expect_equal_bits(a.taps[t].l, b.taps[t].l, tap + " l");
    expect_equal_bits(a.taps[t].o, b.taps[t].o, tap + " o");
  }
  expect_equal_bits(a.m, b.m, what + " m");
  expect_equal_bits(a.l, b.l, what + " l");
  expect_equal_bits(a.lse, b.lse, what + " lse");
  expect_equal_bits(a.o, b.o, what + " o");
  EXPECT_EQ(a.saturated_p_codes, b.saturated_p_codes) << what;
  EXPECT_EQ(a.small_blocks, b.small_blocks) << what;
}

HeadResult run(const Recipe& recipe, Extent3 grid, std::size_t channels, const RandomHead& head,
               Path path, int threads = 1) {
  const layout::Layout layout = layout::make_layout(recipe, grid, channels);
  const auto quantised = quantise_head(recipe, layout, head.input(), path, threads);
  std::vector<int> all(layout.blocks.query_blocks.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  return attend(recipe, layout, quantised, {.path = path, .threads = threads, .tapped = all});
}

struct Edit {
  const char* name;
  std::function<void(Recipe&)> apply;
};

/// One edit per choice that changes what a block computes.
const std::vector<Edit>& edits() {
  using namespace recipe;
  static const std::vector<Edit> list{
      {"as shipped", [](Recipe&) {}},
      {"sequential scale", [](Recipe& r) { r.qk.scale_order = ScaleOrder::sequential; }},
      {"folded scale", [](Recipe& r) { r.qk.scale_order = ScaleOrder::folded_into_q; }},
      {"fused scale",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::fused;
         r.q.group = r.k.group = Group::tensor;
       }},
      {"scaled, then fused", [](Recipe& r) { r.qk.scale_order = ScaleOrder::scaled_then_fused; }},
      {"fused, skipping and lazy",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::scaled_then_fused;
         r.skip.rule = SkipRule::block_maximum;
         r.skip.threshold = -0.5f;
         r.softmax.rescale_threshold = 2;
       }},
      {"scale omitted", [](Recipe& r) { r.qk.score_scale = ScoreScale::omitted; }},
      {"special functions",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::mufu;
         r.finish.reciprocal = Reciprocal::mufu;
         r.finish.logarithm = Logarithm::mufu;
       }},
      {"special functions, cut down", [](Recipe& r) { r.softmax.exp2 = Exp2::mufu_floor; }},
      {"exact exp2", [](Recipe& r) { r.softmax.exp2 = Exp2::exact; }},
      {"lazy rescale", [](Recipe& r) { r.softmax.rescale_threshold = 4; }},
      {"finite mask",
       [](Recipe& r) {
         r.softmax.masked_score = -5e6f;
         r.softmax.initial_max = -5e6f;
         r.mask.unit = mask::Unit::tokens_exact;
         r.mask.window = {3, 3, 3};
       }},
      {"partial tiles",
       [](Recipe& r) {
         r.mask.unit = mask::Unit::tokens_exact;
         r.mask.border = mask::Border::truncate;
         r.mask.window = {3, 5, 3};
       }},
      {"band in token-major order, causal",
       [](Recipe& r) {
         r.mask = {.kind = MaskKind::band,
                   .order = TokenSequence::token_major,
                   .band = 0.01f,
                   .band_first = 1,
                   .causal = Causal::on};
       }},
      {"padded tiles", [](Recipe& r) { r.mask.ragged = video::Ragged::pad; }},
      {"quantised row sum", [](Recipe& r) { r.softmax.row_sum = RowSum::quantized; }},
      {"sequential row sum", [](Recipe& r) { r.softmax.row_sum_order = RowSumOrder::sequential; }},
      {"pairwise row sum", [](Recipe& r) { r.softmax.row_sum_order = RowSumOrder::pairwise; }},
      {"packed row sum", [](Recipe& r) { r.softmax.row_sum_order = RowSumOrder::packed_quad; }},
      {"packed row sum, exact, fused first",
       [](Recipe& r) {
         r.softmax.row_sum_order = RowSumOrder::packed_quad;
         r.softmax.row_sum_start = RowSumStart::fused_first;
         r.softmax.exp2 = Exp2::exact;
       }},
      {"packed row sum, fused first",
       [](Recipe& r) {
         r.softmax.row_sum_order = RowSumOrder::packed_quad;
         r.softmax.row_sum_start = RowSumStart::fused_first;
       }},
      {"fused first additions",
       [](Recipe& r) { r.softmax.row_sum_start = RowSumStart::fused_first; }},
      {"sequential, fused first",
       [](Recipe& r) {
         r.softmax.row_sum_order = RowSumOrder::sequential;
         r.softmax.row_sum_start = RowSumStart::fused_first;
       }},
      {"exact, fused first",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::exact;
         r.softmax.row_sum_start = RowSumStart::fused_first;
       }},
      {"thread tree", [](Recipe& r) { r.softmax.row_sum_order = RowSumOrder::thread_tree; }},
      {"exact, thread tree, fused first",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::exact;
         r.softmax.row_sum_order = RowSumOrder::thread_tree;
         r.softmax.row_sum_start = RowSumStart::fused_first;
       }},
      {"query first", [](Recipe& r) { r.qk.scale_order = ScaleOrder::query_first; }},
      {"from accumulators", [](Recipe& r) { r.softmax.exponent = Exponent::accumulator; }},
      {"query first, from accumulators, partial tiles",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::query_first;
         r.softmax.exponent = Exponent::accumulator;
         r.mask.unit = mask::Unit::tokens_exact;
         r.mask.window = {3, 3, 3};
       }},
      {"folded until the last visit, finite mask",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::folded_until_last;
         r.softmax.exponent = Exponent::accumulator;
         r.softmax.masked_score = -5e6f;
         r.softmax.initial_max = -5e6f;
         r.mask.unit = mask::Unit::tokens_exact;
         r.mask.window = {3, 3, 3};
       }},
      {"scores hold the offset",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::folded_until_last;
         r.softmax.exponent = Exponent::accumulator;
         r.p.apply = PApply::exponent_offset;
         r.p.offset = 8.807f;
         r.p.multiplier = 1;
         r.p.offset_enters = OffsetEnters::scores;
       }},
      {"fused offset",
       [](Recipe& r) {
         r.qk.scale_order = ScaleOrder::scaled_then_fused;
         r.p.apply = PApply::exponent_offset;
         r.p.offset = 8;
         r.p.multiplier = 1;
         r.p.offset_enters = OffsetEnters::fused;
       }},
      {"divided by the multiplied sum",
       [](Recipe& r) {
         r.finish.reciprocal = Reciprocal::div_full;
         r.finish.divisor = Divisor::multiplied;
         r.finish.logarithm = Logarithm::libdevice;
         r.softmax.lse = Lse::log2;
       }},
      {"special exp2, kept subnormals",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::mufu;
         r.subnormals = numerics::Subnormals::keep;
       }},
      {"exponent offset",
       [](Recipe& r) {
         r.p.apply = PApply::exponent_offset;
         r.p.offset = 8.807f;
         r.p.multiplier = 1;
       }},
      {"promotion every 32", [](Recipe& r) { r.pv.promote_every = 32; }},
      {"no promotion", [](Recipe& r) { r.pv.promote_every = 0; }},
      {"sequence blocks",
       [](Recipe& r) {
         r.block.align = video::Align::sequence;
         r.block.q = 24;
         r.block.k = 40;
       }},
      {"descending keys", [](Recipe& r) { r.block.order = KeyOrder::descending; }},
      {"partial then full",
       [](Recipe& r) {
         r.block.order = KeyOrder::partial_then_full;
         r.mask.unit = mask::Unit::tokens_exact;
       }},
      {"scale tile of its own",
       [](Recipe& r) {
         r.q.tile = r.k.tile = {3, 2, 5};
       }},
      {"v by tile", [](Recipe& r) { r.v.group = Group::tile; }},
      {"v by tensor", [](Recipe& r) { r.v.group = Group::tensor; }},
      {"v by tile and channel", [](Recipe& r) { r.v.group = Group::tile_channel; }},
      {"groups per warp",
       [](Recipe& r) {
         r.q.group = r.k.group = Group::rows;
         r.q.rows = 16;
       }},
      {"groups per thread",
       [](Recipe& r) {
         r.q.group = Group::rows_stride_8;
         r.k.group = Group::row_pairs_stride_8;
       }},
      {"rotated", [](Recipe& r) { r.q.rotate = r.k.rotate = Rotate::hadamard; }},
      {"smoothed",
       [](Recipe& r) {
         r.q.smooth = r.k.smooth = r.v.smooth = Smooth::mean;
         r.k.smooth_mean = SmoothMean::f32;
       }},
      {"skipping",
       [](Recipe& r) {
         r.skip.rule = SkipRule::block_maximum;
         r.skip.threshold = -0.5f;
       }},
      {"skipping by the exponential",
       [](Recipe& r) {
         r.skip = {.rule = SkipRule::exponential, .factor = 20};
         r.softmax.exp2 = Exp2::mufu;
       }},
      {"skipping by the exact exponential",
       [](Recipe& r) {
         r.skip = {.rule = SkipRule::exponential, .factor = 20, .rows = 9};
         r.softmax.exp2 = Exp2::exact;
       }},
      {"skipping in the next step",
       [](Recipe& r) { r.skip = {.rule = SkipRule::next_step, .threshold = 1, .rows = 9}; }},
      {"cast before scale", [](Recipe& r) { r.finish.cast = Cast::before_scale; }},
      {"nan in empty rows", [](Recipe& r) { r.finish.fully_masked = FullyMasked::nan; }},
      {"output e4m3", [](Recipe& r) { r.output = numerics::FormatId::e4m3; }},
      {"stochastic rounding",
       [](Recipe& r) {
         r.q.rounding = r.k.rounding = r.v.rounding = r.p.rounding = numerics::Rounding::stochastic;
       }},
      {"stochastic rounding to BF16",
       [](Recipe& r) {
         r.v = {.format = numerics::FormatId::bf16, .rounding = numerics::Rounding::stochastic};
         r.p = {.format = numerics::FormatId::bf16, .rounding = numerics::Rounding::stochastic};
         r.pv.instruction = "hopper.wgmma.bf16.f32";
       }},
      {"f16 accumulator, no promotion",
       [](Recipe& r) {
         r.v = {.format = numerics::FormatId::f16};
         r.p = {.format = numerics::FormatId::f16};
         r.pv = {.instruction = "hopper.wgmma.f16.f16", .promote_every = 0};
         r.block.k = 16;
       }},
      {"P in FP4, groups of 16 keys",
       [](Recipe& r) {
         r.p = {.format = numerics::FormatId::e2m1,
                .group = Group::channels_16,
                .scale = ScaleFormat::e4m3,
                .enters = Enters::bf16};
         r.v = {.format = numerics::FormatId::bf16};
         r.pv = {.instruction = "hopper.wgmma.bf16.f32", .promote_every = 0};
       }},
      {"P in INT8 by rows, v by blocks",
       [](Recipe& r) {
         r.p = {.format = numerics::FormatId::int8,
                .group = Group::token,
                .rounding = numerics::Rounding::nearest_away};
         r.v = {.format = numerics::FormatId::int8, .group = Group::block};
         r.pv = {.instruction = "ampere.mma.s8.s32", .promote_every = 64};
       }},
      {"exact P by rows, summed as coded",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::exact;
         r.softmax.row_sum = RowSum::quantized;
         r.p = {.format = numerics::FormatId::e4m3,
                .group = Group::token,
                .rounding = numerics::Rounding::stochastic};
         r.v = {.format = numerics::FormatId::e4m3, .group = Group::channel};
         r.pv = {.instruction = "hopper.wgmma.e4m3.f32", .promote_every = 64};
       }},
      {"row sum in BF16", [](Recipe& r) { r.softmax.row_sum = RowSum::bf16; }},
      {"exact, row sum in BF16",
       [](Recipe& r) {
         r.softmax.exp2 = Exp2::exact;
         r.softmax.row_sum = RowSum::bf16;
       }},
      {"output e4m3, multiplied",
       [](Recipe& r) {
         r.output = numerics::FormatId::e4m3;
         r.finish.multiplier = 300;
       }},
      {"subnormals kept", [](Recipe& r) { r.subnormals = numerics::Subnormals::keep; }},
  };
  return list;
}

class EngineTest : public testing::TestWithParam<const char*> {};

TEST_P(EngineTest, FastEqualsScalar) {
  unsigned seed = 1;
  for (const Edit& edit : edits()) {
    Recipe recipe = recipe::preset(GetParam());
    edit.apply(recipe);
    recipe.block.q = std::min(recipe.block.q, 32);
    for (const Flavour flavour : kFlavours) {
      // The scalar engine takes about a microsecond per pair: one flavour per edit sees a grid of
      // several tiles, the others a small one; KARAT_LONG=1 gives every flavour the larger grid.
      const bool large = std::getenv("KARAT_LONG") || seed % 81 == 0;
      const Extent3 grid = large ? Extent3{7, 9, 5} : Extent3{2, 3, 9};
      const bool rotated = recipe.q.rotate != recipe::Rotate::none;
      const std::size_t channels = seed % 2 && !rotated ? 40 : 16;
      const RandomHead head = random_head(grid, channels, flavour, ++seed);
      const auto what =
          std::string(edit.name) + ", flavour " + std::to_string(static_cast<int>(flavour));
      expect_equal_bits(run(recipe, grid, channels, head, Path::scalar),
                        run(recipe, grid, channels, head, Path::fast, 2), what);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, EngineTest,
                         testing::Values("fpsattention", "sta_bf16", "dense_f32"));

/// A few query blocks over more than a thousand keys, where a share of the visits is left out.
TEST(Engine, FastEqualsScalarWhereTilesAreSkipped) {
  constexpr Extent3 kGrid{1, 8, 129};
  RandomHead head = random_head(kGrid, 16, Flavour::normal, 7);
  for (float& x : head.q) x *= 3;  // maxima of blocks lie further apart
  for (const char* name : {"skip_softmax_fp8", "skip_softmax_bf16", "trtllm_sage"}) {
    const Recipe recipe = recipe::preset(name);
    const layout::Layout layout = layout::make_layout(recipe, kGrid, 16);
    std::vector<HeadResult> results;
    for (const Path path : {Path::scalar, Path::fast})
      results.push_back(attend(recipe, layout, quantise_head(recipe, layout, head.input(), path),
                               {.path = path, .query_blocks = {0, 5, 16}, .tapped = {0, 5, 16}}));
    expect_equal_bits(results[0], results[1], name);
    std::size_t visits = 0, left_out = 0;
    for (const int block : {0, 5, 16}) {
      visits += layout.blocks.rows[block].size();
      left_out += results[0].small_blocks[block].size();
    }
    EXPECT_EQ(visits, 27u);
    EXPECT_GT(left_out, 2u) << name;
    EXPECT_LT(left_out, visits - 2) << name;
  }
}

TEST(Engine, FastEqualsScalarOnEveryPreset) {
  unsigned seed = 100;
  for (const std::string_view name : recipe::forward_presets()) {
    const Recipe recipe = recipe::preset(name);
    if (recipe.predict.rule != recipe::PredictRule::never) continue;  // predict_test.cpp
    for (const Flavour flavour : {Flavour::normal, Flavour::tails}) {
      const RandomHead head = random_head({3, 9, 7}, 64, flavour, ++seed);
      expect_equal_bits(run(recipe, {3, 9, 7}, 64, head, Path::scalar),
                        run(recipe, {3, 9, 7}, 64, head, Path::fast, 2), std::string(name));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Engine, ASingleTokenAttendsToItself) {
  const Recipe recipe = recipe::preset("fpsattention");
  const RandomHead head{{1.0f, -2.0f}, {0.5f, 0.25f}, {4.0f, -448.0f}};
  const auto result = run(recipe, {1, 1, 1}, 2, head, Path::fast);
  EXPECT_EQ(result.o, (std::vector{4.0f, -448.0f}));
  EXPECT_EQ(result.l, std::vector{1.0f});
}

TEST(Engine, AFullyMaskedRowIsZeroWithMinusInfinity) {
  Recipe recipe = recipe::preset("fpsattention");
  recipe.mask.unit = mask::Unit::tokens_exact;
  recipe.mask.ragged = video::Ragged::pad;
  recipe.mask.tile = {1, 1, 4};
  // A mask of its own: nothing is kept for the second half of the queries.
  struct Half : mask::Mask {
    std::int64_t queries() const override { return 8; }
    std::int64_t keys() const override { return 8; }
    mask::Cover cover(video::Range q, video::Range) const override {
      return q.begin >= 4 ? mask::Cover::none
             : q.end <= 4 ? mask::Cover::full
                          : mask::Cover::partial;
    }
    bool keeps(std::int64_t q, std::int64_t) const override { return q < 4; }
    std::int64_t kept_pairs() const override { return 32; }
  };
  layout::Layout layout = layout::make_layout(recipe, {1, 1, 8}, 16);
  layout.mask = std::make_unique<Half>();
  layout.blocks = mask::block_map(*layout.mask, {{0, 8}}, {{0, 4}, {4, 8}});
  const RandomHead head = random_head({1, 1, 8}, 16, Flavour::normal, 9);
  for (const Path path : {Path::scalar, Path::fast}) {
    const auto result =
        attend(recipe, layout, quantise_head(recipe, layout, head.input(), path), {.path = path});
    for (int token = 4; token < 8; ++token) {
      EXPECT_EQ(result.lse[token], -HUGE_VALF);
      for (int j = 0; j < 16; ++j) EXPECT_EQ(result.o[token * 16 + j], 0.0f);
    }
    EXPECT_GT(result.l[3], 0.0f);
  }
}

// Untapped blocks that visit the same keys go through them together; tapped ones run alone.
TEST(Engine, BlocksTogetherEqualBlocksAlone) {
  unsigned seed = 40;
  for (const char* name : {"fpsattention", "dense_f32", "dense_f64", "sage2_sm90", "fa3_bf16"}) {
    Recipe recipe = recipe::preset(name);
    // Neighbours visit the same blocks, some of them in part only.
    if (name == std::string("fa3_bf16")) recipe.mask.causal = recipe::Causal::on;
    recipe.block.q = recipe.block.listed = 12;
    if (recipe.q.group == recipe::Group::rows_stride_8) recipe.block.q = recipe.q.rows;
    const Extent3 grid{7, 9, 10};
    const RandomHead head = random_head(grid, 32, Flavour::normal, ++seed);
    const layout::Layout layout = layout::make_layout(recipe, grid, 32);
    ASSERT_GE(layout.blocks.query_blocks.size(), 32u) << "enough for groups";
    const auto quantised = quantise_head(recipe, layout, head.input(), Path::fast);
    std::vector<int> all(layout.blocks.query_blocks.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
    std::size_t done = 0;
    const auto together = attend(recipe, layout, quantised,
                                 {.threads = 1, .progress = [&](std::size_t n, std::size_t total) {
                                    EXPECT_EQ(n, ++done);
                                    EXPECT_EQ(total, all.size());
                                  }});
    EXPECT_EQ(done, all.size());
    auto alone = attend(recipe, layout, quantised, {.threads = 1, .tapped = all});
    alone.taps.clear();
    expect_equal_bits(together, alone, name);
    const auto mixed = attend(recipe, layout, quantised, {.threads = 1, .tapped = {1, 6, 7, 20}});
    EXPECT_EQ(mixed.taps.size(), 4u);
    alone.taps = mixed.taps;
    expect_equal_bits(mixed, alone, name);
  }
}

TEST(Engine, ChosenQueryBlocksEqualTheWholeRun) {
  const Recipe recipe = recipe::preset("fpsattention");
  const Extent3 grid{7, 9, 10};
  const RandomHead head = random_head(grid, 32, Flavour::normal, 4);
  const layout::Layout layout = layout::make_layout(recipe, grid, 32);
  const auto quantised = quantise_head(recipe, layout, head.input(), Path::fast);
  const auto whole = attend(recipe, layout, quantised);
  const auto part = attend(recipe, layout, quantised, {.query_blocks = {1, 3}});
  int computed = 0;
  for (std::size_t token = 0; token < whole.l.size(); ++token) {
    if (std::isnan(part.l[token])) continue;
    ++computed;
    EXPECT_EQ(part.l[token], whole.l[token]);
    EXPECT_EQ(part.o[token * 32 + 7], whole.o[token * 32 + 7]);
  }
  EXPECT_EQ(computed, layout.blocks.query_blocks[1].size() + layout.blocks.query_blocks[3].size());
}

TEST(Engine, RefusesScalesItCannotPlace) {
  Recipe recipe = recipe::preset("fpsattention");
  recipe.v.group = quant::Group::tile;
  recipe.v.tile = {1, 1, 3};
  const RandomHead head = random_head({2, 4, 4}, 16, Flavour::normal, 4);
  EXPECT_THROW(run(recipe, {2, 4, 4}, 16, head, Path::fast), Error);
}

}  // namespace
}  // namespace karat::attention
