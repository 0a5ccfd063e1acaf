// Hazards of asynchronous work: cp.async, the bulk engine, wgmma.
#include "hazards/hazards.hpp"

namespace karat::ptx {
namespace {

/// Ranges that a warp's work under way covers are held in memory: a loop that never waits must end.
constexpr std::size_t kMostUnderWay = 1 << 17;

}  // namespace

void Hazards::copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  write(warp, begin, bytes);
  for_granules(warp, begin, bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
    granule.copying = static_cast<std::uint16_t>(who(warp) + 1);
  });
  add(copies_[who(warp)], {begin, bytes});
}

void Hazards::add(Groups& groups, Range range) {
  if (groups.items() >= kMostUnderWay)
    throw Fault{-1, "more than " + std::to_string(kMostUnderWay) +
                        " ranges of shared memory are copied or read that the warp does not wait "
                        "for"};
  groups.add(range);
}

void Hazards::know(const Warp& warp, std::size_t who, std::uint32_t clock) {
  Clock& own = clock_of(warp);
  if (own.size() <= who) own.resize(who + 1, 0);
  own[who] = std::max(own[who], clock);
}

void Hazards::commit_copies(const Warp& warp) { copies_[who(warp)].commit(); }

void Hazards::wait_copies(const Warp& warp, std::size_t left) {
  Groups& list = copies_[who(warp)];
  const std::uint64_t end = list.end(left);
  std::deque<Handed>& handed = handed_[who(warp)];
  for (; !handed.empty() && handed.front().group < end; handed.pop_front())
    know(warp, handed.front().who, handed.front().clock);
  while (const auto oldest = list.take_before(end))
    for (const Range& each : oldest->items)
      for_granules(warp, each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != who(warp) + 1) return;
        granule.copying = 0;
        granule.write.clock = now(warp);
      });
}

Hazards::Engine& Hazards::engine_of(std::uint32_t key, Part part) {
  const auto [found, fresh] = engines_.try_emplace(key);
  if (fresh) found->second.who = new_part(part);
  return found->second;
}

void Hazards::done(std::uint32_t mbarrier, std::uint32_t key) {
  Engine& engine = engine_of(key, key == mbarrier ? Part::bulk : Part::copy);
  if (engine.under_way.empty()) return;
  const auto [who, clock, seen] = std::move(engine.under_way.front());
  engine.under_way.pop_front();
  Clock written(who + 1, 0);
  written[who] = clock;
  // What the bulk engine wrote the async proxy sees; what cp.async wrote only behind a fence.
  join(syncs_[mbarrier].gathering, {written, is_bulk(who) ? written : Clock(), seen});
}

void Hazards::hand_copies(const Warp& warp, std::span<const std::uint32_t> mbarriers) {
  const auto engine = [&](std::uint32_t mbarrier) -> Engine& {
    return engine_of(ranked(warp, mbarrier) + 1, Part::copy);
  };
  // Of one instruction's mbarriers the first one's participant writes for all.
  const std::size_t writer = engine(mbarriers.front()).who;
  ++engine_clock_;
  Groups& list = copies_[who(warp)];
  std::deque<Handed>& handed = handed_[who(warp)];
  while (const auto oldest = list.take_before(list.committed() + 1)) {
    for (const Range& each : oldest->items)
      for_granules(warp, each.begin, each.bytes, [&](std::size_t, Granule& granule, std::uint32_t) {
        if (granule.copying != who(warp) + 1) return;
        granule.copying = 0;
        set_write(granule, writer, engine_clock_, granule.write.pc);
      });
    handed.push_back({oldest->number, writer, engine_clock_});
  }
  while (!handed.empty() && handed.front().clock <= at(clock_of(warp), handed.front().who))
    handed.pop_front();
  if (handed.size() > kMostUnderWay)
    throw Fault{-1, "more than " + std::to_string(kMostUnderWay) +
                        " groups of copies are under way that nothing waits for"};
  Clock seen = known_[who(warp)].seen;
  join(seen, clock_of(warp));
  for (std::size_t i = 0; i < mbarriers.size(); ++i) {
    const bool again = i > 0 && mbarriers[i] == mbarriers[i - 1];
    engine(mbarriers[i]).under_way.push_back({writer, engine_clock_, again ? Clock() : seen});
  }
}

void Hazards::engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                           std::uint32_t mbarrier) {
  Engine& engine = engine_of(ranked(warp, mbarrier), Part::bulk);
  ++engine_clock_;
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_granules(warp, begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    require_proxy_fence(warp, granule, address,
                        "the async proxy writes over a generic write with no fence.proxy.async "
                        "behind it");
    set_write(granule, engine.who, engine_clock_, warp.now.pc);
  });
  engine.under_way.push_back({engine.who, engine_clock_, {}});
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
  add(groups(warp, reader), {begin, bytes});
}

void Hazards::commit_reads(const Warp& warp, Reader reader) {
  groups(warp, reader).commit();
  if (reader == Reader::wgmma) registers_.commit(warp);
}

void Hazards::hold(const Warp& warp, std::span<const Place> accumulator, std::span<const Place> a) {
  if (const auto found = registers_.hold(warp, accumulator, a)) report(warp, *found);
  for (const std::uint32_t key : seen_[who(warp)])
    if (const auto found = waiters_.find(key); found != waiters_.end())
      if (const auto own = found->second.find(who(warp)); own != found->second.end())
        own->second.issued = groups(warp, Reader::wgmma).committed() + 1;
  seen_[who(warp)].clear();
}

void Hazards::touch(const Warp& warp, const MicroOp& op) {
  if (const auto found = registers_.touch(warp, op)) report(warp, *found);
}

/// A group of wgmma is over for the whole warpgroup at once: nobody reads for it any more, and
/// whoever is ordered behind one warp's wait knows that all four warps have read. An arrival
/// between commit and wait says nothing of that, so the reads are the warpgroup's, not the warps'.
void Hazards::wait_wgmmas(const Warp& warp, std::size_t left) {
  registers_.wait(warp, left);
  const std::uint64_t end = groups(warp, Reader::wgmma).end(left);
  if (end == 0 || warpgroups_ == 0) return;
  const std::size_t warpgroup = warp.index / 4, cta = warp.cta->rank * warps_of_cta_;
  for (std::size_t w = warpgroup * 4; w < std::min(warpgroup * 4 + 4, warps_of_cta_); ++w) {
    Groups& list = pending_[static_cast<std::size_t>(Reader::wgmma)][cta + w];
    while (const auto oldest = list.take_before(end))
      for (const Range& each : oldest->items)
        for_granules(warp, each.begin, each.bytes,
                     [&](std::size_t i, Granule& granule, std::uint32_t) {
                       --granule.reading;
                       Access& read = read_of(i, warps_of_cta_ + warpgroup);
                       const auto clock = static_cast<std::uint32_t>(oldest->number + 1);
                       if (clock >= read.clock) read = {clock, granule.reader_pc};
                     });
  }
  know(warp, wgmmas_of(who(warp)), static_cast<std::uint32_t>(end));
}

void Hazards::wait_reads(const Warp& warp, Reader reader, std::size_t left) {
  if (reader == Reader::wgmma) return wait_wgmmas(warp, left);
  Groups& list = groups(warp, reader);
  const std::uint64_t end = list.end(left);
  while (const auto oldest = list.take_before(end))
    for (const Range& each : oldest->items)
      for_granules(warp, each.begin, each.bytes,
                   [&](std::size_t i, Granule& granule, std::uint32_t) {
                     --granule.reading;
                     set_read(warp, i, granule.reader_pc);
                   });
}

}  // namespace karat::ptx
