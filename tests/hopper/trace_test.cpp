// The Perfetto timeline: one track per unit and warpgroup, busy times equal the work asked for.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "karat/hopper/answer.hpp"
#include "karat/recipe/json.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

Question dense_question() {
  Question q;
  q.recipe = recipe::load_recipe("fa3_bf16");
  q.machine = machine("H100");
  q.shape = {.heads = 16, .queries = 8192, .keys = 8192, .head_dim = 128};
  return q;
}

/// Clocks of every track of a timeline, by process and track.
using Clocks = std::map<std::string, std::map<std::string, double>>;

Clocks clocks_of(const nlohmann::json& trace) {
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, std::string> tracks;
  for (const auto& event : trace["traceEvents"]) {
    if (event["name"] == "process_name") processes[event["pid"]] = event["args"]["name"];
    if (event["name"] == "thread_name")
      tracks[{event["pid"], event["tid"]}] = event["args"]["name"];
  }
  Clocks clocks;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    const std::pair<int, int> track{event["pid"], event["tid"]};
    EXPECT_TRUE(tracks.contains(track) && processes.contains(track.first)) << event.dump();
    clocks[processes[track.first]][tracks[track]] +=
        event["args"].value("clocks", event["dur"].get<double>());
  }
  return clocks;
}

TEST(Trace, TracksAndBusyTimes) {
  const Question q = dense_question();
  const AttentionCost cost = attention_cost(q, Detail::time);
  const TraceOptions options{.tiles = 2, .most_blocks = 5};
  const auto trace = nlohmann::json::parse(perfetto_trace(q, cost, {}, options));
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    EXPECT_NEAR(event["dur"].get<double>() * cost.launch.clock_mhz,
                event["args"]["clocks"].get<double>(), 1e-6);
  }
  Clocks clocks = clocks_of(trace);
  ASSERT_EQ(clocks.size(), 1u);
  auto& sm = clocks["one SM of H100 SXM"];
  EXPECT_TRUE(sm.contains("CTA 0 warpgroup 0"));
  EXPECT_TRUE(sm.contains("CTA 0 warpgroup 1"));
  const double scores = 2.0 * 5 * cost.plan.block_q * cost.plan.block_k;
  EXPECT_NEAR(sm["tensor core"], 4 * scores * 128 / 4096, 1e-6 * scores);
  EXPECT_NEAR(sm["MUFU"], scores / 16 * q.timing.mufu_clk_per_warp / 8, 1e-6 * scores);
}

/// Tiles of nine key blocks are shared out among the SMs: an SM computes parts of tiles, writes
/// them in FP32, and another kernel combines them.
TEST(Trace, DividedKeysShowTheirPartsAndTheKernelThatCombines) {
  Question q = dense_question();
  q.shape = {.heads = 2, .queries = 256, .keys = 9 * 176, .head_dim = 128};
  const auto show = [&] {
    const AttentionCost cost = attention_cost(q, Detail::time);
    return std::pair{cost, clocks_of(nlohmann::json::parse(perfetto_trace(q, cost)))};
  };
  auto [whole, undivided] = show();
  q.splits = Splits::heuristic;
  auto [cost, clocks] = show();
  const KeySplits division = cost.launch.division;
  ASSERT_EQ(whole.launch.division.taken, 1);
  ASSERT_GT(division.taken, 1);
  ASSERT_EQ(clocks.size(), 2u);
  auto &part = clocks["one SM of H100 SXM"], &tile = undivided["one SM of H100 SXM"];
  // An SM shows two tiles, of eight blocks at most, or two parts of tiles.
  const double block = 4.0 * cost.plan.block_q * cost.plan.block_k * 128 / 4096;
  const int blocks = (9 + division.taken - 1) / division.taken;
  EXPECT_NEAR(part["tensor core"], 2 * blocks * block, 1e-6 * block);
  EXPECT_NEAR(tile["tensor core"], 2 * 8 * block, 1e-6 * block);
  EXPECT_EQ(cost.launch.tiles, 4 * ((9 + blocks - 1) / blocks));
  auto& launches =
      clocks["keys in " + std::to_string(division.taken) + " parts, kernel after kernel"];
  EXPECT_NEAR(launches["launches"], cost.launch.us, 1e-6 * cost.launch.us);
  EXPECT_NEAR(launches["one SM of the combining kernel"], cost.launch.combining.us(), 1e-9);
  EXPECT_GT(cost.launch.combining.traffic_us, 0);
}

/// The trace shows the SM that the answer was computed from: its blocks follow at the answer's
/// pace, where L2 is what they wait for too.
TEST(Trace, BlocksFollowAtThePaceOfTheAnswer) {
  for (const char* recipe : {"vsa", "fa3_bf16"}) {
    Question q = dense_question();
    q.recipe = recipe::load_recipe(recipe);
    q.shape.queries = q.shape.keys = 65536;
    const AttentionCost cost = attention_cost(q, Detail::time);
    constexpr int kBlocks = 64;
    std::map<int, double> begin;
    for (const Slice& slice :
         timeline(q, cost.plan, cost.launch, {.tiles = 1, .most_blocks = kBlocks}))
      if (slice.unit == static_cast<int>(UnitId::tensor) && slice.cta == 0 && slice.group == 0 &&
          std::string_view(slice.label) == "QK")
        begin[slice.block] = slice.begin;
    ASSERT_EQ(begin.size(), std::size_t{kBlocks}) << recipe;
    const double pace = (begin[kBlocks - 1] - begin[kBlocks / 2 - 1]) / (kBlocks / 2);
    EXPECT_NEAR(pace / cost.plan.ctas_per_sm / cost.launch.steady_clocks, 1, 0.01) << recipe;
  }
}

/// Five products in one kernel; four and three in two. The launches add up to the answer.
TEST(Trace, BackwardKernelsFollowEachOnAnSmOfItsOwn) {
  for (const char* recipe : {"fa3_bf16", "fps_ste_bf16"}) {
    Question q = dense_question();
    q.recipe = recipe::load_recipe(recipe);
    q.grid = video::Extent3{8, 32, 32};
    q.gradients = Gradients::computed;
    const AttentionCost cost = attention_cost(q, Detail::time);
    const BackwardCost backward = backward_cost(q, Detail::time);
    const TraceOptions options{.tiles = 2, .most_blocks = 3};
    Clocks clocks = clocks_of(nlohmann::json::parse(perfetto_trace(q, cost, backward, options)));
    EXPECT_NEAR(clocks["backward, kernel after kernel (predicted, not validated)"]["launches"],
                1e3 * backward.time_ms, 1e-6 * backward.time_ms);
    std::size_t multiplying = 0;
    for (const BackwardKernel& kernel : backward.kernels) {
      if (!kernel.plan) continue;
      ++multiplying;
      auto& sm = clocks["one SM of H100 SXM, backward, " + kernel.name];
      const Plan& plan = *kernel.plan;
      const double products = plan.pass == Pass::gradients       ? 5
                              : plan.pass == Pass::key_gradients ? 4
                                                                 : 3;
      const double scores = 2.0 * 3 * plan.ctas_per_sm * plan.block_q * plan.block_k;
      EXPECT_NEAR(sm["tensor core"], products * 2 * scores * 128 / 4096, 1e-6 * scores)
          << kernel.name;
      EXPECT_GT(sm["CTA 0 warpgroup 0"], 0) << kernel.name;
    }
    EXPECT_EQ(clocks.size(), multiplying + 2) << recipe;
  }
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
