// The comparison checked by sabotage: one planted difference per stage and verdict. Each must be
// found, counted and located, and everything else must stay equal.
#include "check_case.hpp"
#include "karat/case/stages.hpp"

namespace karat::golden {
namespace {

class Check : public CheckCase {};

TEST_F(Check, TheGoldenStagesAreEqual) {
  const CheckReport report = compared(stages());
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.stages.size(), 19u);
  for (const StageReport& row : report.stages) {
    EXPECT_EQ(row.verdict, Verdict::equal) << row.stage;
    EXPECT_GT(row.compared, 0) << row.stage;
    EXPECT_EQ(row.ulp_histogram[0], row.compared) << row.stage;
    EXPECT_EQ(row.golden.zero, row.candidate.zero) << row.stage;
    EXPECT_EQ(row.relative_l2, 0) << row.stage;
    EXPECT_FALSE(row.forced) << row.stage;
  }
}

TEST_F(Check, AStageWithARowPerTokenNamesTokenAndChannel) {
  constexpr std::size_t kB = 1, kH = 0, kToken = 52, kChannel = 17;
  for (const char* name : {"q", "k", "v", "q_codes", "k_codes", "v_codes", "o", "m", "l", "lse"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const bool matrix = tensor.shape.size() == 4;
    const std::size_t e = matrix ? at(kB, kH, kToken, kChannel) : at(kB, kH, kToken);
    const float before = value_at(tensor, e), after = far_from(before);
    put_value(tensor, e, after);
    const CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    const StageReport& row = stage(report, name);
    EXPECT_EQ(row.outside, 1) << name;
    EXPECT_EQ(row.compared, static_cast<std::int64_t>(tensor.element_count())) << name;
    ASSERT_TRUE(row.first && row.worst) << name;
    const Location& where = row.first->at;
    EXPECT_EQ(where.batch, kB) << name;
    EXPECT_EQ(where.head, kH) << name;
    EXPECT_EQ(where.token, Coordinate(kToken)) << name;
    EXPECT_EQ(where.channel, matrix ? Coordinate(kChannel) : Coordinate()) << name;
    EXPECT_EQ(where.query_tile, Coordinate(tile_of(kToken))) << name;
    EXPECT_EQ(where.query_block, Coordinate(query_block_of(kB, kH, kToken))) << name;
    EXPECT_FALSE(where.group || where.key_token || where.key_tile || where.key_block) << name;
    EXPECT_EQ(row.first->golden, before) << name;
    EXPECT_EQ(row.first->candidate, after) << name;
    EXPECT_EQ(row.worst->at.token, Coordinate(kToken)) << name;
    EXPECT_GT(row.max_ulp, 0) << name;
    EXPECT_GT(row.relative_l2, 0) << name;
  }
}

TEST_F(Check, AScaleNamesItsGroup) {
  constexpr std::size_t kB = 0, kH = 1, kGroup = 3;
  for (const char* name : {"q_scale", "k_scale", "v_scale"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const std::size_t e = (kB * kHeads + kH) * tensor.shape.back() + kGroup;
    const float before = tensor.as<float>()[e];
    tensor.as<float>()[e] = std::nextafter(before, 1e9f);
    const CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    const StageReport& row = stage(report, name);
    EXPECT_TRUE(row.fixed) << name;
    EXPECT_EQ(row.max_ulp, 1) << name;
    EXPECT_EQ(row.ulp_histogram[1], 1) << name;
    EXPECT_EQ(row.ulp_histogram[0], row.compared - 1) << name;
    ASSERT_TRUE(row.first) << name;
    EXPECT_EQ(row.first->at.batch, kB) << name;
    EXPECT_EQ(row.first->at.head, kH) << name;
    EXPECT_EQ(row.first->at.group, Coordinate(kGroup)) << name;
    EXPECT_FALSE(row.first->at.token || row.first->at.channel || row.first->at.query_block) << name;
  }
}

/// A tapped query block, and one of its rows, columns, visits and channels.
struct TapPlace {
  int block = 3;
  std::size_t row = 5, column = 37, channel = 9;
};

TEST_F(Check, ATappedStageNamesQueryAndKey) {
  constexpr std::size_t kB = 1, kH = 1;
  const TapPlace place;
  const layout::Layout& layout = golden().layout(kB, kH);
  const attention::BlockTap tap = golden().tap(kB, kH, place.block);
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t columns = tap.key_position.size(), last = tap.key_block.size() - 1;
  ASSERT_GT(rows, place.row);
  ASSERT_GT(columns, place.column);
  const std::int64_t token = layout.order.token_at[tap.queries.begin + place.row];
  const std::int64_t key = layout.key_order.token_at[tap.key_position[place.column]];
  const auto block_with = [&](std::int64_t position) {
    const auto& blocks = layout.blocks.key_blocks;
    return std::ranges::find_if(
               blocks, [&](video::Range r) { return r.begin <= position && position < r.end; }) -
           blocks.begin();
  };
  struct Tapped {
    const char *name, *stage;
    std::size_t element;
    bool by_column, by_channel, forced;
  };
  const std::size_t pair = place.row * columns + place.column, visit = last * rows + place.row;
  const Tapped kTapped[] = {
      {"a", "a", pair, true, false, false},
      {"s", "s", pair, true, false, true},
      {"p_codes", "p_codes", pair, true, false, true},
      {"m", "m by block", visit, false, false, true},
      {"l", "l by block", visit, false, false, true},
      {"o", "o by block", visit * kChannels + place.channel, false, true, true},
  };
  for (const Tapped& planted : kTapped) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[cases::tap_name(kB, kH, place.block, planted.name)];
    put_value(tensor, planted.element, far_from(value_at(tensor, planted.element)));
    const CheckReport report = compared(candidate);
    expect_only(report, planted.stage, Verdict::differs);
    const StageReport& row = stage(report, planted.stage);
    EXPECT_EQ(row.outside, 1) << planted.stage;
    ASSERT_TRUE(row.first) << planted.stage;
    const Location& where = row.first->at;
    EXPECT_EQ(where.batch, kB) << planted.stage;
    EXPECT_EQ(where.head, kH) << planted.stage;
    EXPECT_EQ(where.token, Coordinate(token)) << planted.stage;
    EXPECT_EQ(where.query_tile, Coordinate(tile_of(token))) << planted.stage;
    EXPECT_EQ(where.query_block, Coordinate(place.block)) << planted.stage;
    EXPECT_EQ(where.channel, planted.by_channel ? Coordinate(place.channel) : Coordinate())
        << planted.stage;
    EXPECT_EQ(where.key_token, planted.by_column ? Coordinate(key) : Coordinate()) << planted.stage;
    EXPECT_EQ(where.key_tile, planted.by_column ? Coordinate(tile_of(key)) : Coordinate())
        << planted.stage;
    EXPECT_EQ(where.key_block,
              Coordinate(planted.by_column ? block_with(tap.key_position[place.column])
                                           : tap.key_block[last]))
        << planted.stage;
    ASSERT_EQ(row.forced.has_value(), planted.forced) << planted.stage;
    EXPECT_EQ(row.forced.value_or(Forced{}).outside, planted.forced ? 1 : 0) << planted.stage;
  }
}

/// The element whose legal range reaches above the golden value.
std::size_t freed(const files::Tensor& golden, const files::Tensor& high) {
  for (std::size_t e = 0; e < golden.element_count(); ++e)
    if (value_at(high, e) > value_at(golden, e)) return e;
  return golden.element_count();
}

TEST_F(Check, WithinIsWhatTheLegalRangeHoldsAndNoMore) {
  for (const char* name : {"l", "lse", "o"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const files::Tensor high = golden().source().read("bound/" + std::string(name) + "_high");
    const std::size_t e = freed(tensor, high);
    ASSERT_LT(e, tensor.element_count()) << name;
    const float before = value_at(tensor, e);
    put_code(tensor, e, code_at(high, e));
    CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::within);
    EXPECT_FALSE(stage(report, name).fixed) << name;
    EXPECT_EQ(stage(report, name).outside, 0) << name;
    EXPECT_EQ(stage(report, name).first->golden, before) << name;
    EXPECT_EQ(stage(report, name).first->high, value_at(high, e)) << name;
    const bool negative = value_at(high, e) < 0;
    put_code(tensor, e, code_at(high, e) + (negative ? -1 : 1));  // the next value above
    report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    EXPECT_EQ(stage(report, name).outside, 1) << name;
    EXPECT_EQ(stage(report, name).first->high, value_at(high, e)) << name;
  }
}

// A value within its range stands before one outside: the report leads to the one outside.
TEST_F(Check, FirstIsTheFirstOutsideAndWorstTheFarthestOfThem) {
  files::Tensors candidate = stages();
  files::Tensor& o = candidate["o"];
  const files::Tensor high = golden().source().read("bound/o_high");
  const std::size_t within = freed(o, high);
  put_code(o, within, code_at(high, within));
  const std::size_t near = at(1, 0, 20, 3), far = at(1, 1, 90, 30);
  ASSERT_LT(within, near);
  put_value(o, near, value_at(o, near) + 1);
  put_value(o, far, value_at(o, far) + 1e6f);
  const StageReport row = stage(compared(candidate), "o");
  EXPECT_EQ(row.differing, 3);
  EXPECT_EQ(row.outside, 2);
  EXPECT_EQ(row.first->at.token, Coordinate(20));
  EXPECT_EQ(row.worst->at.token, Coordinate(90));
  EXPECT_EQ(row.worst->ulp, row.max_ulp);
}

}  // namespace
}  // namespace karat::golden
