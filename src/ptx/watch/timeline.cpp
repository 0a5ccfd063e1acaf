#include "watch/timeline.hpp"

#include <algorithm>

#include "execute/locate.hpp"

namespace karat::ptx {
namespace {

constexpr std::size_t kMostSlices = 20'000;  // of a track
constexpr std::size_t kMostMarks = 20'000;

}  // namespace

TimelineKeeper::TimelineKeeper(const Cluster& cluster, const Cta& cta)
    : cluster_(cluster),
      rank_(cta.rank),
      warps_of_cta_(cta.warps.size()),
      warps_(cluster.ctas.size() * cta.warps.size()) {
  const Extent& at = cta.position;
  timeline_.title = cluster.program->function->name + ", CTA (" + std::to_string(at.x) + ", " +
                    std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

std::string TimelineKeeper::name_of(std::uint32_t pc) const {
  const std::string text = shown(*cluster_.program, cluster_.program->code[pc].instruction);
  return "line " + text.substr(text.find(':', cluster_.program->module->file.size()) + 1);
}

void TimelineKeeper::keep(std::vector<Slice>& to, Slice slice) {
  if (slice.begin == slice.end) return;
  if (to.size() < kMostSlices)
    to.push_back(std::move(slice));
  else
    timeline_.cut = true;
}

void TimelineKeeper::after(const Warp& warp, const MicroOp&, Step step) {
  if (step == Step::wait) return;
  OfWarp& own = of(warp);
  if (own.looked && own.released > own.now) {
    keep(own.slices, {Timeline::Kind::run, own.since, own.now, ""});
    keep(own.slices, {Timeline::Kind::wait, own.now, own.released, name_of(warp.now.pc)});
    own.now = own.since = own.released;
  }
  own.looked = false;
  own.released = 0;
  ++own.now;
}

void TimelineKeeper::engine_write(const Warp& warp, std::uint32_t, std::uint32_t,
                                  std::uint32_t mbarrier) {
  std::uint64_t& gathered = gathering_[ranked(warp, mbarrier)];
  gathered = std::max(gathered, of(warp).now);
}

void TimelineKeeper::hold(const Warp& warp, std::span<const Place>, std::span<const Place>) {
  OfWarp& own = of(warp);
  if (!own.groups.open_is_empty()) return;
  if (own.groups.items() < kMostSlices)
    own.groups.add({own.now, warp.now.pc});
  else
    timeline_.cut = true;
}

void TimelineKeeper::commit_reads(const Warp& warp, Reader reader) {
  if (reader == Reader::wgmma) of(warp).groups.commit();
}

void TimelineKeeper::wait_reads(const Warp& warp, Reader reader, std::size_t left) {
  if (reader != Reader::wgmma) return;
  OfWarp& own = of(warp);
  const std::uint64_t end = own.groups.end(left);
  while (const auto oldest = own.groups.take_before(end))
    for (const Group& each : oldest->items)
      keep(own.tensor, {Timeline::Kind::tensor, each.begin, own.now, name_of(each.pc)});
}

void TimelineKeeper::arrive(const Warp& warp, std::uint32_t key, Arrival) {
  std::uint64_t& gathered = gathering_[key];
  gathered = std::max(gathered, of(warp).now);
}

void TimelineKeeper::complete(std::uint32_t key) {
  const std::uint64_t at = std::max(released_[key], gathering_[key]);
  released_[key] = at;
  gathering_[key] = 0;
  const std::uint32_t inside = inside_shared(key);
  const bool own = key >> kRankShift == rank_ + 1 || key == kClusterKey;
  if (!own) return;
  if (timeline_.marks.size() >= kMostMarks) {
    timeline_.cut = true;
    return;
  }
  timeline_.marks.push_back({at, key == kClusterKey     ? "cluster barrier"
                                 : inside < kSharedBase ? "barrier " + std::to_string(inside)
                                                        : "mbarrier " + hexadecimal(inside)});
}

void TimelineKeeper::wait(const Warp& warp, std::uint32_t key) {
  OfWarp& own = of(warp);
  own.looked = true;
  own.released = std::max(own.released, released_[key]);
}

Timeline TimelineKeeper::take() {
  for (std::size_t w = 0; w < warps_of_cta_; ++w) {
    OfWarp& own = warps_[rank_ * warps_of_cta_ + w];
    keep(own.slices, {Timeline::Kind::run, own.since, own.now, ""});
    timeline_.tracks.push_back({"warp " + std::to_string(w), std::move(own.slices)});
    if (!own.tensor.empty())
      timeline_.tracks.push_back({"warp " + std::to_string(w) + ", wgmma", std::move(own.tensor)});
  }
  std::ranges::stable_sort(timeline_.marks, {}, &Timeline::Mark::at);
  return std::move(timeline_);
}

}  // namespace karat::ptx
