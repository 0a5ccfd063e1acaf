#include "hazards/hazards.hpp"

#include <algorithm>

#include "execute/locate.hpp"

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
      registers_(cta) {
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
  begin = inside_shared(begin);  // mapa names the CTA itself
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
                   (is_bulk(other)     ? ", bulk engine"
                    : is_engine(other) ? ", cp.async"
                                       : ", warp " + std::to_string(other)));
}

void Hazards::report(const Warp& warp, const HeldRegisters::Finding& finding) {
  if (found_.size() >= kMostReports || !pairs_.emplace(warp.now.pc, finding.other_pc).second)
    return;
  const Program& program = *cta_.cluster->program;
  std::string text = shown(program, program.code[warp.now.pc].instruction) + ", warp " +
                     std::to_string(warp.index) + ": " + finding.what;
  if (finding.other_pc != warp.now.pc)
    text += "; the other access: " + shown(program, program.code[finding.other_pc].instruction);
  found_.push_back(std::move(text));
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
  require_after_write(warp, granules_[index], address);
  require_no_reader(warp, index, address);
}

void Hazards::require_no_reader(const Warp& warp, std::size_t index, std::uint32_t address) {
  const Granule& granule = granules_[index];
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
  granule.atomic = false;
  granule.writer = static_cast<std::uint16_t>(writer);
}

void Hazards::read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_after_write(warp, granule, address);
    read_of(i, warp.index) = {known_[warp.index].all[warp.index], warp.now.pc};
  });
}

void Hazards::require_no_mbarrier(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  begin = inside_shared(begin);
  const auto found = live_.lower_bound(begin < 8 ? 0 : begin - 7);
  if (found != live_.end() && found->first < begin + bytes)
    report(warp, "writes over an mbarrier that was not invalidated,", found->first, found->second,
           warp.index);
}

void Hazards::mbarrier(const Warp& warp, std::uint32_t address, bool live) {
  address = inside_shared(address);
  if (live) {
    write(warp, address, 8);
    live_[address] = warp.now.pc;
  } else {
    live_.erase(address);
    write(warp, address, 8);
  }
}

void Hazards::write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    set_write(granule, warp.index, known_[warp.index].all[warp.index], warp.now.pc);
  });
}

/// Atomics are in no order with each other, and need none.
void Hazards::atomic(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    if (!granule.atomic) require_after_write(warp, granule, address);
    require_no_reader(warp, i, address);
    set_write(granule, warp.index, known_[warp.index].all[warp.index], warp.now.pc);
    granule.atomic = true;
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
    for (const Range& each : list.front()) {
      if (each.engine != 0) {
        Clock known(each.engine + 1, 0);
        known[each.engine] = each.clock;
        join(known_[warp.index].all, known);
      }
      for_granules(each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != warp.index + 1) return;
        granule.copying = 0;
        granule.write.clock = known_[warp.index].all[warp.index];
      });
    }
    list.erase(list.begin());
  }
}

Hazards::Engine& Hazards::engine_of(std::uint32_t key, bool bulk) {
  const auto [found, fresh] = engines_.try_emplace(key);
  if (fresh) {
    found->second.who = warps_ + bulk_.size();
    bulk_.push_back(bulk);
  }
  return found->second;
}

void Hazards::done(std::uint32_t mbarrier, std::uint32_t key) {
  Engine& engine = engine_of(inside_shared(key), key == mbarrier);
  if (engine.under_way.empty()) return;
  Clock written(engine.who + 1, 0);
  written[engine.who] = engine.under_way.front();
  engine.under_way.pop_front();
  // What the bulk engine wrote the async proxy sees; what cp.async wrote only behind a fence.
  join(syncs_[inside_shared(mbarrier)].gathering,
       {written, is_bulk(engine.who) ? written : Clock()});
}

void Hazards::hand_copies(const Warp& warp, std::uint32_t mbarrier) {
  Engine& engine = engine_of(inside_shared(mbarrier) + 1, false);
  ++engine_clock_;
  for (auto& group : copies_[warp.index])
    for (Range& each : group) {
      each.engine = engine.who;
      each.clock = engine_clock_;
      for_granules(each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != warp.index + 1) return;
        granule.copying = 0;
        set_write(granule, engine.who, engine_clock_, granule.write.pc);
      });
    }
  engine.under_way.push_back(engine_clock_);
}

void Hazards::engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                           std::uint32_t mbarrier) {
  Engine& engine = engine_of(inside_shared(mbarrier), true);
  ++engine_clock_;
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_granules(begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    require_proxy_fence(warp, granule, address,
                        "the async proxy writes over a generic write with no fence.proxy.async "
                        "behind it");
    set_write(granule, engine.who, engine_clock_, warp.now.pc);
  });
  engine.under_way.push_back(engine_clock_);
}

/// The async proxy sees a generic write behind a proxy fence only.
void Hazards::require_proxy_fence(const Warp& warp, const Granule& granule, std::uint32_t address,
                                  const char* what) {
  if (!is_bulk(granule.writer) &&
      granule.write.clock > at(known_[warp.index].async, granule.writer))
    report(warp, what, address, granule.write.pc, granule.writer);
}

void Hazards::async_read(const Warp& warp, Reader reader, std::uint32_t begin,
                         std::uint32_t bytes) {
  // Most of a range was written at once: one look is enough.
  const Access nothing;
  Access seen = nothing;
  std::size_t seen_writer = 0;
  for_granules(begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t address) {
    const bool as_before = granule.copying == 0 && granule.writer == seen_writer &&
                           granule.write.clock == seen.clock && granule.write.pc == seen.pc;
    if (!as_before) {
      require_after_write(warp, granule, address);
      require_proxy_fence(warp, granule, address,
                          "the async proxy reads a generic write with no fence.proxy.async behind "
                          "it");
      seen = granule.write;
      seen_writer = granule.writer;
    }
    ++granule.reading;
    granule.reader_pc = warp.now.pc;
  });
  groups(warp, reader).back().push_back({begin, bytes});
}

void Hazards::commit_reads(const Warp& warp, Reader reader) {
  groups(warp, reader).emplace_back();
  if (reader == Reader::wgmma) registers_.commit(warp);
}

void Hazards::hold(const Warp& warp, std::span<const Place> accumulator, std::span<const Place> a) {
  if (const auto found = registers_.hold(warp, accumulator, a)) report(warp, *found);
}

void Hazards::touch(const Warp& warp, const MicroOp& op) {
  if (const auto found = registers_.touch(warp, op)) report(warp, *found);
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
    registers_.wait(warp, left);
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
  join(syncs_[inside_shared(key)].gathering, known);
  ++known.all[warp.index];
}

void Hazards::complete(std::uint32_t key) {
  Sync& sync = syncs_[inside_shared(key)];
  sync.released = std::move(sync.gathering);
  sync.gathering = {};
}

void Hazards::wait(const Warp& warp, std::uint32_t key) {
  join(known_[warp.index], syncs_[inside_shared(key)].released);
}

}  // namespace karat::ptx
