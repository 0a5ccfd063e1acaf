// The Perfetto timeline: one track per unit and warpgroup, busy times equal the work asked for.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "karat/hopper/answer.hpp"
#include "karat/recipe/json.hpp"

namespace karat::hopper {
namespace {

Question dense_question() {
  Question q;
  q.recipe = recipe::load_recipe("fa3_bf16");
  q.machine = machine("H100");
  q.shape = {.heads = 16, .queries = 8192, .keys = 8192, .head_dim = 128};
  return q;
}

TEST(Trace, TracksAndBusyTimes) {
  const Question q = dense_question();
  const AttentionCost cost = attention_cost(q, Detail::time);
  const TraceOptions options{.tiles = 2, .most_blocks = 5};
  const auto trace = nlohmann::json::parse(perfetto_trace(q, cost, options));
  std::map<int, std::string> names;
  std::map<std::string, double> clocks;
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") names[event["tid"]] = event["args"]["name"];
  }
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    ASSERT_TRUE(names.contains(event["tid"]));
    EXPECT_NEAR(event["dur"].get<double>() * cost.launch.clock_mhz,
                event["args"]["clocks"].get<double>(), 1e-6);
    clocks[names[event["tid"]]] += event["args"]["clocks"].get<double>();
  }
  EXPECT_TRUE(clocks.contains("CTA 0 warpgroup 0"));
  EXPECT_TRUE(clocks.contains("CTA 0 warpgroup 1"));
  const double scores = 2.0 * 5 * cost.plan.block_q * cost.plan.block_k;
  EXPECT_NEAR(clocks["tensor core"], 4 * scores * 128 / 4096, 1e-6 * scores);
  EXPECT_NEAR(clocks["MUFU"], scores / 16 * q.timing.mufu_clk_per_warp / 8, 1e-6 * scores);
}

TEST(Trace, PictureShowsThreePanels) {
  const Question q = dense_question();
  const std::string svg = cost_picture(q, attention_cost(q, Detail::time));
  for (const char* panel : {"One SM", "Roofline of H100 SXM", "SM occupancy"}) {
    EXPECT_NE(svg.find(panel), std::string::npos) << panel;
  }
}

}  // namespace
}  // namespace karat::hopper
