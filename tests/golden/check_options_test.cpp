// What a comparison is told, what it says besides verdicts, and what it refuses.
#include <gmock/gmock.h>

#include "check_case.hpp"
#include "karat/bounds/head_work.hpp"

namespace karat::golden {
namespace {

using testing::HasSubstr;

class CheckedAsTold : public CheckCase {};

TEST_F(CheckedAsTold, ASelectionLooksNowhereElse) {
  files::Tensors candidate = stages();
  const std::size_t token = 52;
  put_value(candidate["o"], at(0, 1, token, 2), 1e4f);
  const auto block = static_cast<int>(query_block_of(0, 1, token));
  const auto o_with = [&](const Selection& select) {
    CheckOptions options;
    options.select = select;
    return stage(compared(candidate, options), "o");
  };
  EXPECT_EQ(o_with({.batch = 0, .head = 1, .block = {}}).verdict, Verdict::differs);
  EXPECT_EQ(o_with({.batch = 0, .head = 0, .block = {}}).verdict, Verdict::equal);
  EXPECT_EQ(o_with({.batch = 1, .head = 1, .block = {}}).verdict, Verdict::equal);
  EXPECT_EQ(o_with({.batch = {}, .head = 1, .block = block}).verdict, Verdict::differs);
  const StageReport elsewhere = o_with({.batch = {}, .head = {}, .block = block == 0 ? 1 : 0});
  EXPECT_EQ(elsewhere.verdict, Verdict::equal);
  EXPECT_LT(elsewhere.compared, static_cast<std::int64_t>(kBatch * kHeads * kTokens * kChannels));
}

TEST_F(CheckedAsTold, TiledRowsAndOtherLayoutsAreReadAsTold) {
  const files::Tensor o = stages()["o"];
  files::Tensor tiled = o, bshd = o;
  bshd.shape = {kBatch, kTokens, kHeads, kChannels};
  const auto& token_at = golden().layout().order.token_at;
  for (std::size_t b = 0; b < kBatch; ++b)
    for (std::size_t h = 0; h < kHeads; ++h)
      for (std::size_t s = 0; s < kTokens; ++s)
        for (std::size_t j = 0; j < kChannels; ++j) {
          put_code(tiled, at(b, h, s, j), code_at(o, at(b, h, token_at[s], j)));
          put_code(bshd, ((b * kTokens + s) * kHeads + h) * kChannels + j,
                   code_at(o, at(b, h, s, j)));
        }
  CheckOptions in_order;
  in_order.order = RowOrder::tiled;
  EXPECT_TRUE(compared({{"o", tiled}}, in_order).passed);
  EXPECT_FALSE(compared({{"o", tiled}}).passed);
  CheckOptions in_layout;
  in_layout.layout = cases::TensorLayout::bshd;
  EXPECT_TRUE(compared({{"o", bshd}}, in_layout).passed);
  put_value(tiled, at(1, 0, 40, 1), 1e4f);
  EXPECT_EQ(stage(compared({{"o", tiled}}, in_order), "o").first->at.token,
            Coordinate(token_at[40]));
}

TEST_F(CheckedAsTold, ErrorsOfTheOutputStandByTileAndAgainstTheTruth) {
  files::Tensors candidate = stages();
  const std::size_t token = 52;
  const OutputErrors right = compared(candidate).outputs;
  EXPECT_GT(right.truth_rows, 0);
  EXPECT_EQ(right.golden_squared, right.candidate_squared);
  for (std::size_t s = 0; s < kTokens; ++s) put_value(candidate["o"], at(1, 0, s, 0), 100);
  const OutputErrors wrong = compared(candidate).outputs;
  EXPECT_EQ(wrong.golden_squared, right.golden_squared);
  EXPECT_GT(wrong.candidate_squared, right.candidate_squared + 1e4);
  candidate = stages();
  put_value(candidate["o"], at(1, 0, token, 5), 1e4f);
  std::int64_t compared_values = 0;
  for (const TileError& tile : compared(candidate).outputs.tiles) {
    const bool here = tile.batch == 1 && tile.head == 0 && tile.tile == tile_of(token);
    EXPECT_EQ(tile.differing, here ? 1 : 0) << tile.batch << tile.head << tile.tile;
    EXPECT_EQ(tile.outside, here ? 1 : 0) << tile.batch << tile.head << tile.tile;
    compared_values += tile.compared;
  }
  EXPECT_EQ(compared_values, static_cast<std::int64_t>(kBatch * kHeads * kTokens * kChannels));
}

// With any order allowed, what roundings of mean zero hardly ever do is counted, and undecided where
// legal kernels do not do it either.
TEST_F(CheckedAsTold, LegalButUnlikelyValuesAreCounted) {
  CheckOptions options;
  options.allowed.summation = bounds::Summation::any_order;
  bounds::Freedom freedom = bounds::freedom_of(golden().recipe(), options.allowed);
  const auto ranges = [&](bounds::Summation summation) {
    freedom.summation = summation;
    return bounds::attend_with_bounds(golden().recipe(), golden().layout(0, 0),
                                      golden().operands(0, 0), {}, 1, {}, freedom)
        .bounds;
  };
  const auto worst = ranges(bounds::Summation::any_order);
  const auto likely = ranges(bounds::Summation::likely);
  files::Tensors candidate = stages();
  std::span<float> l = candidate["l"].as<float>();
  std::size_t planted = 0;
  while (planted < kTokens && worst.l_high[planted] <= likely.l_high[planted]) ++planted;
  ASSERT_LT(planted, kTokens);
  l[at(0, 0, planted)] = worst.l_high[planted];
  const StageReport unlikely = stage(compared(candidate, options), "l");
  EXPECT_EQ(unlikely.verdict, Verdict::undecided);
  ASSERT_EQ(unlikely.doubts.size(), 1u);
  EXPECT_EQ(unlikely.doubts[0].at.token, Coordinate(planted));
  EXPECT_EQ(unlikely.unlikely, Coordinate(1));
  l[at(0, 0, planted)] = likely.l_high[planted];
  EXPECT_EQ(stage(compared(candidate, options), "l").unlikely, Coordinate(0));
  l[at(0, 0, planted)] = std::nextafter(worst.l_high[planted], kInf);
  EXPECT_EQ(stage(compared(candidate, options), "l").verdict, Verdict::differs);
}

TEST_F(CheckedAsTold, OnlyStagesOfBothAreCompared) {
  const CheckReport report = compared({{"o", stages()["o"]}, {"mine", stages()["lse"]}});
  EXPECT_TRUE(report.passed);
  ASSERT_EQ(report.stages.size(), 1u);
  EXPECT_EQ(report.stages[0].stage, "o");
}

/// The message with which a comparison is refused.
std::string refusal(const std::function<void()>& compare) {
  try {
    compare();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "no refusal";
}

TEST_F(CheckedAsTold, WhatCannotBeComparedIsRefused) {
  const auto with = [&](const char* name, const files::Tensor& tensor) {
    files::Tensors candidate;
    candidate[name] = tensor;
    return refusal([&] { compared(candidate); });
  };
  const files::Tensor o = stages()["o"], codes = stages()["q_codes"];
  EXPECT_THAT(with("mine", o), HasSubstr("holds mine but no stage of"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::f32, {2, 2, kTokens - 1, kChannels})),
              HasSubstr("2 x 2 x 104 x 32 (batch, head, row, channel) where the golden file is "
                        "2 x 2 x 105 x 32"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::f32, {2, kTokens, 2, kChannels})),
              HasSubstr("try the other --layout"));
  EXPECT_THAT(with("v", files::make_tensor(files::DType::f32, {2, 2, kChannels, kTokens})),
              HasSubstr("try --v-layout BHDS"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::i64, o.shape)),
              HasSubstr("is stored as i64 where the golden file has bf16"));
  EXPECT_THAT(with("q_codes", files::make_tensor(files::DType::f32, codes.shape)),
              HasSubstr("store the codes as uint8"));
  EXPECT_THAT(with("tap.0.0.1.s", files::make_tensor(files::DType::f32, {3})),
              HasSubstr("3 values where the golden file has"));
  CheckOptions options;
  options.select.head = 2;
  EXPECT_THAT(refusal([&] { compared({{"o", o}}, options); }), HasSubstr("head 2 of 2"));
}

}  // namespace
}  // namespace karat::golden
