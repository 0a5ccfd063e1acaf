// Chrome trace events of one simulated SM.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "division.hpp"
#include "karat/files/json_file.hpp"
#include "karat/hopper/answer.hpp"
#include "supply.hpp"

namespace karat::hopper {
namespace {

bool joins(const Slice& a, const Slice& b) {
  return a.unit >= 0 && a.cta == b.cta && a.group == b.group && a.block == b.block &&
         a.label == b.label && b.begin - a.end < 1e-9;
}

/// Events of the Chrome trace format. Every kernel is a process of its own that begins at 0.
class Events {
 public:
  void process(int pid, const std::string& name) {
    events_.push_back(
        {{"ph", "M"}, {"pid", pid}, {"name", "process_name"}, {"args", {{"name", name}}}});
  }

  /// Tracks are shown in the order of their numbers.
  void track(int pid, int id, const std::string& name) {
    const auto event = [&](const char* kind, files::Json args) {
      events_.push_back(
          {{"ph", "M"}, {"pid", pid}, {"tid", id}, {"name", kind}, {"args", std::move(args)}});
    };
    event("thread_name", {{"name", name}});
    event("thread_sort_index", {{"sort_index", id}});
  }

  void slice(int pid, int id, const std::string& name, double begin_us, double us,
             files::Json args) {
    events_.push_back({{"ph", "X"},
                       {"pid", pid},
                       {"tid", id},
                       {"name", name},
                       {"ts", begin_us},
                       {"dur", us},
                       {"args", std::move(args)}});
  }

  /// Units, then the warpgroups of every CTA and its producer.
  void sm(int pid, const Plan& plan, double mhz, const std::vector<Slice>& slices) {
    const int actors = plan.warpgroups + 1;
    for (int unit = 0; unit < kUnits; ++unit) track(pid, 1 + unit, kUnitNames[unit]);
    for (int cta = 0; cta < plan.ctas_per_sm; ++cta) {
      for (int group = 0; group < actors; ++group) {
        const bool producer = group == plan.warpgroups;
        track(pid, 1 + kUnits + cta * actors + group,
              "CTA " + std::to_string(cta) +
                  (producer ? " producer" : " warpgroup " + std::to_string(group)));
      }
    }
    for (const Slice& s : slices) {
      const int id = s.unit >= 0 ? 1 + s.unit : 1 + kUnits + s.cta * actors + s.group;
      slice(pid, id, s.label, s.begin / mhz, (s.end - s.begin) / mhz,
            {{"cta", s.cta},
             {"warpgroup", s.group},
             {"block", s.block},
             {"clocks", s.end - s.begin}});
    }
  }

  /// Kernel after kernel, and what an SM does in the one that combines.
  void combined(int pid, const LaunchTime& launch) {
    const Combining& c = launch.combining;
    const double attention = launch.us - c.us();
    process(pid,
            "keys in " + std::to_string(launch.division.taken) + " parts, kernel after kernel");
    track(pid, 1, "launches");
    slice(pid, 1, "attention", 0, attention, {{"parts", launch.division.taken}});
    slice(pid, 1, "combine", attention, c.us(), {{"ctas", c.ctas}});
    track(pid, 2, "one SM of the combining kernel");
    const auto all = {std::pair{"launch", c.launch_us}, {"CTAs", c.ctas_us}, {"L2", c.traffic_us}};
    double begin = attention;
    for (const auto& [name, us] : all) {
      if (us > 0) slice(pid, 2, name, begin, us, files::Json::object());
      begin += us;
    }
  }

  std::string text() {
    return files::Json{{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events_)}}.dump();
  }

 private:
  files::Json events_ = files::Json::array();
};

}  // namespace

std::vector<Slice> timeline(const Question& q, const Plan& plan, const LaunchTime& launch,
                            const TraceOptions& options) {
  const MaskedWork masked = work_of(q, plan);
  const DividedLaunch parts = divided(plan, masked.work.head, launch.division);
  std::vector<TileWork> first;
  for (const TileRun& run : parts.runs) {
    for (std::int64_t i = 0; i < run.tiles && std::ssize(first) < options.tiles; ++i) {
      if (run.blocks == 0) continue;
      first.push_back({std::min(run.blocks, options.most_blocks), run.masked_share});
    }
  }
  std::vector<Slice> slices;
  const Supply supply = make_supply(q.machine, q.timing, parts.plan, q.shape, masked.work,
                                    launch.clock_mhz, launch.tiles);
  run_sm(q.machine, q.timing, parts.plan, supply, plan.ctas_per_sm, first, &slices);
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
                           const std::optional<BackwardCost>& backward,
                           const TraceOptions& options) {
  Events events;
  const auto sm = [&](int pid, const std::string& kernel, const Plan& plan,
                      const LaunchTime& launch) {
    events.process(pid, "one SM of " + q.machine.name + kernel);
    events.sm(pid, plan, launch.clock_mhz, timeline(q, plan, launch, options));
  };
  int pid = 1;
  sm(pid, "", cost.plan, cost.launch);
  if (cost.launch.division.most > 1) events.combined(++pid, cost.launch);
  if (!backward) return events.text();
  const int launches = ++pid;
  double begin = 0;
  events.process(launches, "backward, kernel after kernel (predicted, not validated)");
  events.track(launches, 1, "launches");
  for (const BackwardKernel& kernel : backward->kernels) {
    events.slice(launches, 1, kernel.name, begin, kernel.ms * 1e3, files::Json::object());
    begin += kernel.ms * 1e3;
    if (kernel.plan) sm(++pid, ", backward, " + kernel.name, *kernel.plan, kernel.launch);
  }
  return events.text();
}

}  // namespace karat::hopper
