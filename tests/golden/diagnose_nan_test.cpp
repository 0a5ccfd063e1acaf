// NaN in some rows: what leaves it is named where the rows tell, and said in any case.
#include <gtest/gtest.h>

#include <limits>

#include "diagnose_case.hpp"

namespace karat::golden {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class DiagnoseNan : public DiagnoseCase, public testing::Test {
 protected:
  /// The golden outputs of head 0 with NaN in the rows of these tokens.
  static std::vector<float> broken(const GoldenFile& golden, const std::vector<bool>& tokens) {
    std::vector<float> o = golden.values("o", cases::Extents::matrix, 0, 0);
    const std::size_t channels = golden.shape().channels;
    for (std::size_t token = 0; token < tokens.size(); ++token)
      if (tokens[token]) std::fill_n(&o[token * channels], channels, kNaN);
    return o;
  }
};

// A group of zeros without a guard: 0/0 in Q's codes is NaN in the scores of its tokens.
TEST_F(DiagnoseNan, NamesZeroGroupsWithoutAGuard) {
  const GoldenFile golden =
      make_golden(small("fpsattention"), {.kind = video::WorkloadKind::zero_tiles,
                                          .grid = {2, 12, 12},
                                          .heads = 1,
                                          .head_dim = 32,
                                          .seed = 2,
                                          .tile = {2, 4, 4}});
  const std::vector<float> q = golden.opened_case().inputs->values(0, 0, 1).q;
  std::vector<bool> zero(golden.shape().rows, true);
  for (std::size_t e = 0; e < q.size(); ++e)
    if (q[e] != 0) zero[e / golden.shape().channels] = false;
  ASSERT_TRUE(std::count(zero.begin(), zero.end(), true) > 0);
  ASSERT_TRUE(std::count(zero.begin(), zero.end(), false) > 0);
  const Diagnosis diagnosis = diagnose(golden, *candidate(golden, broken(golden, zero)));
  EXPECT_TRUE(diagnosis.explained);
  EXPECT_EQ(rank_of(diagnosis, "zero groups of q unguarded"), 1u)
      << (diagnosis.hypotheses.empty() ? "nothing" : to_text(diagnosis.hypotheses.front()));
}

// Rows whose first block of keys is all masked: -inf - -inf.
TEST_F(DiagnoseNan, NamesAnUnguardedInfinity) {
  recipe::Recipe recipe = small("fpsattention");
  recipe.mask.unit = mask::Unit::tokens_exact;
  recipe.mask.window = {3, 5, 5};
  const GoldenFile golden =
      make_golden(recipe, {.grid = {2, 12, 12}, .heads = 1, .head_dim = 32, .seed = 2});
  const layout::Layout& layout = golden.layout();
  std::vector<bool> masked(golden.shape().rows, false);
  for (std::size_t block = 0; block < layout.blocks.rows.size(); ++block) {
    const video::Range queries = layout.blocks.query_blocks[block];
    const video::Range keys = layout.blocks.key_blocks[layout.blocks.rows[block].front().key_block];
    for (std::int64_t i = queries.begin; i < queries.end; ++i)
      if (layout.mask->cover({i, i + 1}, keys) == mask::Cover::none)
        masked[layout.order.token_at[i]] = true;
  }
  ASSERT_TRUE(std::count(masked.begin(), masked.end(), true) > 0);
  ASSERT_TRUE(std::count(masked.begin(), masked.end(), false) > 0);
  const Diagnosis diagnosis = diagnose(golden, *candidate(golden, broken(golden, masked)));
  EXPECT_TRUE(diagnosis.explained);
  EXPECT_EQ(rank_of(diagnosis, "-inf - -inf unguarded"), 1u)
      << (diagnosis.hypotheses.empty() ? "nothing" : to_text(diagnosis.hypotheses.front()));
}

TEST_F(DiagnoseNan, SaysWhichRowsHoldIt) {
  const GoldenFile golden =
      make_golden(small("fpsattention"), {.grid = {2, 12, 12}, .heads = 1, .head_dim = 32});
  std::vector<bool> some(golden.shape().rows, false);
  some[7] = some[100] = true;
  const Diagnosis diagnosis = diagnose(golden, *candidate(golden, broken(golden, some)));
  EXPECT_FALSE(diagnosis.explained);
  EXPECT_NE(diagnosis.remark.find("o holds NaN in "), std::string::npos) << diagnosis.remark;
  EXPECT_TRUE(diagnosis.hypotheses.empty()) << to_text(diagnosis.hypotheses.front());
}

}  // namespace
}  // namespace karat::golden
