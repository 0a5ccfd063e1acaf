#include "hazards/hazards.hpp"

#include <algorithm>

namespace karat::ptx {
namespace {

constexpr std::size_t kGranule = 4;
constexpr std::size_t kMostReports = 64;

}  // namespace

Hazards::Hazards(const Cta& cta)
    : cta_(cta),
      warps_(cta.warps.size()),
      known_(warps_),
      granules_((cta.shared.bytes.size() + kGranule - 1) / kGranule),
      reads_(granules_.size() * warps_),
      copies_(warps_, Groups(1)),
      held_(warps_, std::vector<std::vector<Held>>(1)) {
  for (std::size_t w = 0; w < warps_; ++w) {
    known_[w] = {Clock(warps_ + 1, 0), Clock(warps_ + 1, 0)};
    known_[w].all[w] = 1;
  }
  for (auto& each : pending_) each.assign(warps_, Groups(1));
}

void Hazards::join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

template <typename Each>
void Hazards::for_granules(std::uint32_t begin, std::uint32_t bytes, Each each) {
  if (begin < kSharedBase || bytes == 0) return;
  const std::size_t first = (begin - kSharedBase) / kGranule;
  const std::size_t last = (begin - kSharedBase + bytes - 1) / kGranule;
  for (std::size_t i = first; i <= last && i < granules_.size(); ++i)
    each(i, granules_[i], kSharedBase + static_cast<std::uint32_t>(i * kGranule));
}

void Hazards::report(const Warp& warp, const char* what, std::uint32_t address,
                     std::uint32_t other_pc, std::size_t other) {
  if (found_.size() >= kMostReports || !pairs_.emplace(warp.now.pc, other_pc).second) return;
  const Program& program = *cta_.cluster->program;
  found_.push_back(shown(program, program.code[warp.now.pc].instruction) + ", warp " +
                   std::to_string(warp.index) + ": " + what + " at shared address " +
                   hexadecimal(address) +
                   "; the other access: " + shown(program, program.code[other_pc].instruction) +
                   (is_engine(other) ? ", bulk engine" : ", warp " + std::to_string(other)));
}

/// A generic access must know of the last write.
void Hazards::require_after_write(const Warp& warp, const Granule& granule, std::uint32_t address) {
  if (granule.copying != 0)
    return report(warp, "touches what a cp.async writes, before its wait_group", address,
                  granule.write.pc, granule.copying - 1u);
  const std::size_t writer = granule.writer;
  if (granule.write.clock > at(known_[warp.index].all, writer) && writer != warp.index)
    report(warp, "race with a write", address, granule.write.pc, writer);
}

void Hazards::require_writable(const Warp& warp, std::size_t index, std::uint32_t address) {
  const Granule& granule = granules_[index];
  require_after_write(warp, granule, address);
  if (granule.reading != 0)
    report(warp, "writes what wgmma or a bulk store may still read", address, granule.reader_pc,
           warp.index);
  for (std::size_t w = 0; w < warps_; ++w) {
    const Access& read = read_of(index, w);
    if (w != warp.index && read.clock > at(known_[warp.index].all, w))
      report(warp, "race with a read", address, read.pc, w);
  }
}

void Hazards::set_write(Granule& granule, std::size_t writer, std::uint32_t clock,
                        std::uint32_t pc) {
  granule.write = {clock, pc};
  granule.writer = static_cast<std::uint16_t>(writer);
}

void Hazards::read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_after_write(warp, granule, address);
    read_of(i, warp.index) = {known_[warp.index].all[warp.index], warp.now.pc};
  });
}

void Hazards::write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    set_write(granule, warp.index, known_[warp.index].all[warp.index], warp.now.pc);
  });
}

void Hazards::copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  write(warp, begin, bytes);
  for_granules(begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
    granule.copying = static_cast<std::uint16_t>(warp.index + 1);
  });
  copies_[warp.index].back().push_back({begin, bytes});
}

void Hazards::commit_copies(const Warp& warp) { copies_[warp.index].emplace_back(); }

void Hazards::wait_copies(const Warp& warp, std::size_t left) {
  Groups& list = copies_[warp.index];
  while (list.size() - 1 > left) {
    for (const Range& each : list.front())
      for_granules(each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != warp.index + 1) return;
        granule.copying = 0;
        granule.write.clock = known_[warp.index].all[warp.index];
      });
    list.erase(list.begin());
  }
}

void Hazards::engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                           std::uint32_t mbarrier) {
  const std::size_t engine = engines_.emplace(mbarrier, warps_ + engines_.size()).first->second;
  ++engine_clock_;
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    set_write(granule, engine, engine_clock_, warp.now.pc);
  });
  Clock written(engine + 1, 0);
  written[engine] = engine_clock_;
  join(syncs_[mbarrier].gathering, {written, written});
}

void Hazards::async_read(const Warp& warp, Reader reader, std::uint32_t begin,
                         std::uint32_t bytes) {
  const Knowledge& known = known_[warp.index];
  for_granules(begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t address) {
    require_after_write(warp, granule, address);
    if (!is_engine(granule.writer) && granule.write.clock > at(known.async, granule.writer))
      report(warp, "the async proxy reads a generic write with no fence.proxy.async behind it",
             address, granule.write.pc, granule.writer);
    ++granule.reading;
    granule.reader_pc = warp.now.pc;
  });
  groups(warp, reader).back().push_back({begin, bytes});
}

void Hazards::commit_reads(const Warp& warp, Reader reader) {
  groups(warp, reader).emplace_back();
  if (reader == Reader::wgmma) held_[warp.index].emplace_back();
}

void Hazards::hold(const Warp& warp, std::span<const Place> accumulator, std::span<const Place> a) {
  held_[warp.index].back().push_back(
      {{accumulator.begin(), accumulator.end()}, {a.begin(), a.end()}, warp.now.pc});
}

void Hazards::touch(const Warp& warp, const MicroOp& op) {
  const auto& groups = held_[warp.index];
  if (groups.size() == 1 && groups[0].empty()) return;
  const auto among = [](const std::vector<Place>& places, Place place) {
    return place != kNowhere && std::ranges::find(places, place) != places.end();
  };
  for (const auto& group : groups)
    for (const Held& each : group) {
      if (!among(each.accumulator, op.d) && !among(each.accumulator, op.a) &&
          !among(each.accumulator, op.b) && !among(each.accumulator, op.c) && !among(each.a, op.d))
        continue;
      if (found_.size() >= kMostReports || !pairs_.emplace(warp.now.pc, each.pc).second) continue;
      const Program& program = *cta_.cluster->program;
      found_.push_back(shown(program, op.instruction) + ", warp " + std::to_string(warp.index) +
                       ": touches a register of a wgmma under way; the other access: " +
                       shown(program, program.code[each.pc].instruction));
    }
}

/// All groups but the newest are over: nobody reads for them any more.
void Hazards::end_reads(Groups& list, std::size_t left) {
  for (std::size_t i = 0; i + 1 + left < list.size(); ++i)
    for (Range& each : list[i]) {
      if (each.over) continue;
      each.over = true;
      for_granules(each.begin, each.bytes,
                   [](std::size_t, Granule& granule, std::uint32_t) { --granule.reading; });
    }
}

/// A group of wgmma is over for the whole warpgroup at once; the warp that waited knows from here
/// on that it has read.
void Hazards::wait_reads(const Warp& warp, Reader reader, std::size_t left) {
  Groups& list = groups(warp, reader);
  end_reads(list, left);
  if (reader == Reader::wgmma) {
    auto& held = held_[warp.index];
    while (held.size() - 1 > left) held.erase(held.begin());
    const std::size_t first = warp.index / 4 * 4;
    for (std::size_t w = first; w < std::min(first + 4, warps_); ++w)
      end_reads(pending_[static_cast<std::size_t>(reader)][w], left);
  }
  while (list.size() - 1 > left) {
    for (const Range& each : list.front())
      for_granules(each.begin, each.bytes, [&](std::size_t i, Granule& granule, std::uint32_t) {
        read_of(i, warp.index) = {known_[warp.index].all[warp.index], granule.reader_pc};
      });
    list.erase(list.begin());
  }
}

void Hazards::fence(const Warp& warp) { known_[warp.index].async = known_[warp.index].all; }

void Hazards::arrive(const Warp& warp, std::uint32_t key) {
  Knowledge& known = known_[warp.index];
  join(syncs_[key].gathering, known);
  ++known.all[warp.index];
}

void Hazards::complete(std::uint32_t key) {
  Sync& sync = syncs_[key];
  sync.released = std::move(sync.gathering);
  sync.gathering = {};
}

void Hazards::wait(const Warp& warp, std::uint32_t key) {
  join(known_[warp.index], syncs_[key].released);
}

}  // namespace karat::ptx
