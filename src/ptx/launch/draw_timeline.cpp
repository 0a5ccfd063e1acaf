// A timeline as Chrome's trace events, and drawn.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "karat/ptx/timeline.hpp"
#include "karat/report/svg.hpp"
#include "karat/report/ticks.hpp"

namespace karat::ptx {
namespace {

using report::Anchor;

constexpr double kLeft = 130, kWidth = 1100, kTop = 50, kRow = 18, kBar = 12, kBottom = 88;
constexpr const char* kColours[] = {"#2f81c7", "#e0a030", "#3fa66b"};  // run, wait, tensor
constexpr const char* kMeanings[] = {"runs", "waits", "wgmma under way"};

std::uint64_t end_of(const Timeline& timeline) {
  std::uint64_t end = 1;
  for (const Timeline::Track& track : timeline.tracks)
    for (const Timeline::Slice& each : track.slices) end = std::max(end, each.end);
  return end;
}

}  // namespace

files::Json to_trace(const Timeline& timeline) {
  files::Json events = files::Json::array();
  events.push_back(
      {{"ph", "M"}, {"pid", 1}, {"name", "process_name"}, {"args", {{"name", timeline.title}}}});
  int thread = 0;
  const auto name_thread = [&](const std::string& name) {
    ++thread;
    events.push_back({{"ph", "M"},
                      {"pid", 1},
                      {"tid", thread},
                      {"name", "thread_name"},
                      {"args", {{"name", name}}}});
    events.push_back({{"ph", "M"},
                      {"pid", 1},
                      {"tid", thread},
                      {"name", "thread_sort_index"},
                      {"args", {{"sort_index", thread}}}});
  };
  for (const Timeline::Track& track : timeline.tracks) {
    name_thread(track.name);
    for (const Timeline::Slice& each : track.slices) {
      const char* const kind = kMeanings[static_cast<std::size_t>(each.kind)];
      events.push_back({{"ph", "X"},
                        {"pid", 1},
                        {"tid", thread},
                        {"ts", each.begin},
                        {"dur", each.end - each.begin},
                        {"cat", kind},
                        {"name", each.what.empty() ? kind : each.what}});
    }
  }
  std::map<std::string, std::vector<std::uint64_t>> barriers;
  for (const Timeline::Mark& each : timeline.marks) barriers[each.what].push_back(each.at);
  for (const auto& [name, times] : barriers) {
    name_thread(name);
    for (const std::uint64_t at : times)
      events.push_back({{"ph", "i"},
                        {"pid", 1},
                        {"tid", thread},
                        {"ts", at},
                        {"s", "t"},
                        {"name", "phase over"}});
  }
  return {{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events)}};
}

std::string to_svg(const Timeline& timeline) {
  std::map<std::string, std::vector<std::uint64_t>> barriers;
  for (const Timeline::Mark& each : timeline.marks) barriers[each.what].push_back(each.at);
  const std::uint64_t end = end_of(timeline);
  const auto rows = static_cast<double>(timeline.tracks.size() + barriers.size());
  const double height = kTop + rows * kRow + kBottom, below = kTop + rows * kRow;
  report::Svg svg(kLeft + kWidth + 20, height);
  const auto x = [&](std::uint64_t at) {
    return kLeft + kWidth * static_cast<double>(at) / static_cast<double>(end);
  };
  svg.text({kLeft, 22}, timeline.title, {.size = 14, .bold = true});
  svg.text({kLeft, 39},
           "instructions of warps, no time of a GPU: waits end with whoever ended them" +
               std::string(timeline.cut ? "; later slices are left out" : ""),
           {.size = 11, .fill = "#57606a"});
  for (const report::Tick& tick :
       report::ticks(0, static_cast<double>(end), {.whole = true, .most = 10})) {
    const double at = x(static_cast<std::uint64_t>(tick.value));
    svg.line({at, kTop}, {at, below}, {.stroke = "#d8dee4"});
    svg.text({at, below + 16}, tick.label, {.size = 10, .anchor = Anchor::middle});
  }
  svg.text({kLeft + kWidth / 2, below + 32}, "position, in instructions of warps",
           {.size = 12, .anchor = Anchor::middle});
  double y = kTop;
  const auto label = [&](const std::string& text) {
    svg.text({kLeft - 8, y + kBar - 1}, text, {.size = 11, .anchor = Anchor::end});
  };
  for (const Timeline::Track& track : timeline.tracks) {
    label(track.name);
    for (const Timeline::Slice& each : track.slices)
      svg.rect({x(each.begin), y + 2}, std::max(0.2, x(each.end) - x(each.begin)), kBar,
               {.fill = kColours[static_cast<std::size_t>(each.kind)]});
    y += kRow;
  }
  for (const auto& [name, times] : barriers) {
    label(name);
    for (const std::uint64_t at : times)
      svg.line({x(at), y + 2}, {x(at), y + 2 + kBar}, {.stroke = "#8250df"});
    y += kRow;
  }
  double at = kLeft;
  for (std::size_t i = 0; i < 3; ++i) {
    svg.rect({at, below + 50}, 12, 12, {.fill = kColours[i]});
    svg.text({at + 18, below + 60}, kMeanings[i], {.size = 11});
    at += 140;
  }
  svg.line({at + 6, below + 50}, {at + 6, below + 62}, {.stroke = "#8250df"});
  svg.text({at + 18, below + 60}, "a barrier's phase is over", {.size = 11});
  return svg.str();
}

}  // namespace karat::ptx
