// Chrome trace events of one simulated SM.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "karat/files/json_file.hpp"
#include "karat/hopper/answer.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

bool joins(const Slice& a, const Slice& b) {
  return a.unit >= 0 && a.cta == b.cta && a.group == b.group && a.block == b.block &&
         a.label == b.label && b.begin - a.end < 1e-9;
}

}  // namespace

std::vector<Slice> timeline(const Question& q, const AttentionCost& cost,
                            const TraceOptions& options) {
  const Plan& plan = cost.plan;
  const MaskedWork masked = work_of(q, plan);
  std::vector<TileWork> first;
  for (const TileRun& run : masked.work.head) {
    for (std::int64_t i = 0; i < run.tiles && std::ssize(first) < options.tiles; ++i) {
      if (run.blocks == 0) continue;
      first.push_back({std::min(run.blocks, options.most_blocks), run.masked_share});
    }
  }
  std::vector<Slice> slices;
  const Supply supply = make_supply(q.machine, q.timing, plan, q.shape, masked.work,
                                    cost.launch.clock_mhz, cost.launch.tiles);
  run_sm(q.machine, q.timing, plan, supply, plan.ctas_per_sm, first, &slices);
  std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
    return std::tie(a.unit, a.begin) < std::tie(b.unit, b.begin);
  });
  std::vector<Slice> joined;
  for (const Slice& slice : slices) {
    if (!joined.empty() && joined.back().unit == slice.unit && joins(joined.back(), slice)) {
      joined.back().end = slice.end;
    } else {
      joined.push_back(slice);
    }
  }
  return joined;
}

std::string perfetto_trace(const Question& q, const AttentionCost& cost,
                           const TraceOptions& options) {
  files::Json events = files::Json::array();
  constexpr int kProcess = 1;
  const int actors = cost.plan.warpgroups + 1;
  const auto track = [&](const Slice& s) {
    return s.unit >= 0 ? 1 + s.unit : 1 + kUnits + s.cta * actors + s.group;
  };
  const auto name_track = [&](int id, const std::string& name) {
    events.push_back({{"ph", "M"},
                      {"pid", kProcess},
                      {"tid", id},
                      {"name", "thread_name"},
                      {"args", {{"name", name}}}});
    events.push_back({{"ph", "M"},
                      {"pid", kProcess},
                      {"tid", id},
                      {"name", "thread_sort_index"},
                      {"args", {{"sort_index", id}}}});
  };
  events.push_back({{"ph", "M"},
                    {"pid", kProcess},
                    {"name", "process_name"},
                    {"args", {{"name", "one SM of " + q.machine.name}}}});
  for (int unit = 0; unit < kUnits; ++unit) {
    name_track(1 + unit, kUnitNames[unit]);
  }
  for (int cta = 0; cta < cost.plan.ctas_per_sm; ++cta) {
    for (int group = 0; group < actors; ++group) {
      const bool producer = group == cost.plan.warpgroups;
      name_track(1 + kUnits + cta * actors + group,
                 "CTA " + std::to_string(cta) +
                     (producer ? " producer" : " warpgroup " + std::to_string(group)));
    }
  }
  const double us = 1 / cost.launch.clock_mhz;
  for (const Slice& s : timeline(q, cost, options)) {
    events.push_back({{"ph", "X"},
                      {"pid", kProcess},
                      {"tid", track(s)},
                      {"name", s.label},
                      {"ts", s.begin * us},
                      {"dur", (s.end - s.begin) * us},
                      {"args",
                       {{"cta", s.cta},
                        {"warpgroup", s.group},
                        {"block", s.block},
                        {"clocks", s.end - s.begin}}}});
  }
  return files::Json{{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events)}}.dump();
}

}  // namespace karat::hopper
