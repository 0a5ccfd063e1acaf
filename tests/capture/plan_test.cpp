// A plan covers every stratum, names tiles that exist, and counts its bytes.
#include "karat/capture/plan.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "karat/numerics/base/error.hpp"

namespace karat::capture {
namespace {

TEST(Plan, IsStratifiedAndCountsItsBytes) {
  const files::Json plan = make_plan({.model = "wan2.1-14b", .resolution = "720p"});
  EXPECT_EQ(plan.at("grid"), files::Json({21, 45, 80}));
  EXPECT_EQ(plan.at("sigma").size(), 50u);
  EXPECT_EQ(plan.at("strata").size(), 20u);
  EXPECT_EQ(plan.at("cells").size(), 40u);
  double weights = 0;
  std::int64_t bytes = 0;
  std::set<std::string> distinct;
  for (const auto& cell : plan.at("cells")) {
    const auto& stratum = plan.at("strata").at(cell.at("stratum").get<std::size_t>());
    for (const auto& [index, range] : {std::pair{"step", "steps"}, {"layer", "layers"}}) {
      const int at = cell.at(index);
      EXPECT_GE(at, stratum.at(range).at(0).get<int>());
      EXPECT_LE(at, stratum.at(range).at(1).get<int>());
    }
    weights += cell.at("weight").get<double>();
    EXPECT_TRUE(
        distinct.insert(files::Json({cell.at("step"), cell.at("layer"), cell.at("head")}).dump())
            .second);
    int before = -1;
    // Ragged 720p: 4 x 6 x 10 tiles; the last of each axis has 3, 5 and 8 tokens.
    for (const int tile : cell.at("query_tiles")) {
      EXPECT_GT(tile, before);
      EXPECT_LT(tile, 240);
      before = tile;
      const std::int64_t rows = (tile / 60 == 3 ? 3 : 6) * (tile / 10 % 6 == 5 ? 5 : 8) * 8;
      bytes += 2 * (rows * 128 * 2 + rows * 4);
    }
    bytes += 2 * (2 * 75600 * 128 * 2 + 240 * 128 * 4);
  }
  EXPECT_DOUBLE_EQ(weights, 50 * 40 * 40) << "the cells stand for all of them";
  EXPECT_EQ(plan.at("bytes_per_prompt"), bytes);
  EXPECT_LT(bytes, 4e9);
}

TEST(Plan, OfOneBranchHoldsHalfTheBytes) {
  using enum video::Branch;
  const files::Json both = make_plan({}), one = make_plan({.branches = {conditional}});
  EXPECT_EQ(both.at("branches"), files::Json({"cond", "uncond"}));
  EXPECT_EQ(one.at("branches"), files::Json::array({"cond"}));
  EXPECT_EQ(both.at("bytes_per_prompt"), 2 * one.at("bytes_per_prompt").get<std::int64_t>());
  EXPECT_EQ(both.at("cells"), one.at("cells"));
}

TEST(Plan, DependsOnItsSeedAlone) {
  EXPECT_EQ(make_plan({.seed = 4}), make_plan({.seed = 4}));
  EXPECT_NE(make_plan({.seed = 4}), make_plan({.seed = 5}));
}

TEST(Plan, RefusesCountsThatDoNotFit) {
  EXPECT_THROW(make_plan({.model = "wan"}), Error);
  EXPECT_THROW(make_plan({.step_strata = 51}), Error);
  EXPECT_THROW(make_plan({.cells = 0}), Error);
  EXPECT_THROW(make_plan({.query_tiles = 100000}), Error);
}

}  // namespace
}  // namespace karat::capture
