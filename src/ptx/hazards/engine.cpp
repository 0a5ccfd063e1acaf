// Hazards of asynchronous work: cp.async, the bulk engine, wgmma.
#include "hazards/hazards.hpp"

namespace karat::ptx {

void Hazards::copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  write(warp, begin, bytes);
  for_granules(warp, begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
    granule.copying = static_cast<std::uint16_t>(who(warp) + 1);
  });
  copies_[who(warp)].back().push_back({begin, bytes});
}

void Hazards::commit_copies(const Warp& warp) { copies_[who(warp)].emplace_back(); }

void Hazards::wait_copies(const Warp& warp, std::size_t left) {
  Groups& list = copies_[who(warp)];
  while (list.size() - 1 > left) {
    for (const Range& each : list.front()) {
      if (each.engine != 0) {
        Clock known(each.engine + 1, 0);
        known[each.engine] = each.clock;
        join(clock_of(warp), known);
      }
      for_granules(warp, each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != who(warp) + 1) return;
        granule.copying = 0;
        granule.write.clock = now(warp);
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
  Engine& engine = engine_of(key, key == mbarrier);
  if (engine.under_way.empty()) return;
  Clock written(engine.who + 1, 0);
  written[engine.who] = engine.under_way.front();
  engine.under_way.pop_front();
  // What the bulk engine wrote the async proxy sees; what cp.async wrote only behind a fence.
  join(syncs_[mbarrier].gathering, {written, is_bulk(engine.who) ? written : Clock()});
}

void Hazards::hand_copies(const Warp& warp, std::uint32_t mbarrier) {
  Engine& engine = engine_of(ranked(warp, mbarrier) + 1, false);
  ++engine_clock_;
  for (auto& group : copies_[who(warp)])
    for (Range& each : group) {
      each.engine = engine.who;
      each.clock = engine_clock_;
      for_granules(warp, each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != who(warp) + 1) return;
        granule.copying = 0;
        set_write(granule, engine.who, engine_clock_, granule.write.pc);
      });
    }
  engine.under_way.push_back(engine_clock_);
}

void Hazards::engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                           std::uint32_t mbarrier) {
  Engine& engine = engine_of(ranked(warp, mbarrier), true);
  ++engine_clock_;
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_granules(warp, begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
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
  if (!is_bulk(granule.writer) && granule.write.clock > at(known_[who(warp)].async, granule.writer))
    report(warp, what, address, granule.write.pc, granule.writer);
}

void Hazards::async_read(const Warp& warp, Reader reader, std::uint32_t begin,
                         std::uint32_t bytes) {
  // Most of a range was written at once: one look is enough.
  const Access nothing;
  Access seen = nothing;
  std::size_t seen_writer = 0;
  for_granules(warp, begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t address) {
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
void Hazards::end_reads(const Warp& warp, Groups& list, std::size_t left) {
  for (std::size_t i = 0; i + 1 + left < list.size(); ++i)
    for (Range& each : list[i]) {
      if (each.over) continue;
      each.over = true;
      for_granules(warp, each.begin, each.bytes,
                   [](std::size_t, Granule& granule, std::uint32_t) { --granule.reading; });
    }
}

/// A group of wgmma is over for the whole warpgroup at once; the warp that waited knows from here
/// on that it has read.
void Hazards::wait_reads(const Warp& warp, Reader reader, std::size_t left) {
  Groups& list = groups(warp, reader);
  end_reads(warp, list, left);
  if (reader == Reader::wgmma) {
    registers_.wait(warp, left);
    const std::size_t first = warp.index / 4 * 4, cta = warp.cta->rank * warps_of_cta_;
    for (std::size_t w = first; w < std::min(first + 4, warps_of_cta_); ++w)
      end_reads(warp, pending_[static_cast<std::size_t>(reader)][cta + w], left);
  }
  while (list.size() - 1 > left) {
    for (const Range& each : list.front())
      for_granules(warp, each.begin, each.bytes,
                   [&](std::size_t i, Granule& granule, std::uint32_t) {
                     set_read(warp, i, granule.reader_pc);
                   });
    list.erase(list.begin());
  }
}

}  // namespace karat::ptx
