// Hazards of asynchronous work: cp.async, the bulk engine, wgmma.
#include "hazards/hazards.hpp"

namespace karat::ptx {
namespace {

/// Ranges that a warp's work under way covers are held in memory: a loop that never waits must end.
constexpr std::size_t kMostUnderWay = 1 << 17;

}  // namespace

void Hazards::copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  write(warp, begin, bytes);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    for (std::size_t i = piece.begin; i < piece.end; ++i)
      shared_.set_copying(i, static_cast<std::uint16_t>(who(warp) + 1));
  });
  add(copies_[who(warp)], {begin, bytes});
}

void Hazards::require_room(std::size_t under_way) {
  if (under_way >= kMostUnderWay)
    throw Fault{-1, "more than " + std::to_string(kMostUnderWay) +
                        " ranges of shared memory are copied or read that the warp does not wait "
                        "for"};
}

void Hazards::add(Groups& groups, Range range) {
  require_room(groups.items());
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
      for_pieces(warp, each.begin, each.bytes, [&](const Piece& piece) {
        for (std::size_t i = piece.begin; i < piece.end; ++i) {
          if (shared_.write(i).copying != who(warp) + 1) continue;
          shared_.set_copying(i, 0);
          shared_.set_clock(i, now(warp));
        }
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
  join(sync_of(mbarrier).gathering, {written, is_bulk(who) ? written : Clock(), seen});
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
      for_pieces(warp, each.begin, each.bytes, [&](const Piece& piece) {
        for (std::size_t i = piece.begin; i < piece.end; ++i) {
          const Write& copied = shared_.write(i);
          if (copied.copying != who(warp) + 1) continue;
          const Write by_engine = write_by(writer, engine_clock_, copied.access.pc);
          shared_.set_copying(i, 0);
          shared_.set_write(piece.line, i, i + 1, by_engine);
        }
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
  require_begun(warp, mbarrier);
  visit(warp, begin, engine.who, engine_clock_);
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    require_writable(warp, piece);
    if (!shows_writes(warp, shared_.line(piece.line)))
      for (std::size_t i = piece.begin; i < piece.end; ++i)
        require_proxy_fence(warp, shared_.write(i), address_of(piece, i),
                            "the async proxy writes over a generic write with no "
                            "fence.proxy.async behind it");
    shared_.set_write(piece.line, piece.begin, piece.end,
                      write_by(engine.who, engine_clock_, warp.now.pc));
  });
  engine.under_way.push_back({engine.who, engine_clock_, {}});
}

/// The copy reads until its mbarrier has counted it.
void Hazards::engine_read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                          std::uint32_t mbarrier) {
  const std::size_t reader = engine_of(ranked(warp, mbarrier), Part::bulk).who;
  visit(warp, begin, reader, engine_clock_);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    require_readable_by_proxy(warp, piece);
    for (std::size_t i = piece.begin; i < piece.end; ++i)
      shared_.set_read_from_afar(
          i, {{engine_clock_, warp.now.pc}, static_cast<std::uint16_t>(reader)});
  });
}

/// The async proxy sees a generic write behind a proxy fence only.
void Hazards::require_proxy_fence(const Warp& warp, const Write& write, std::uint32_t address,
                                  const char* what) {
  if (!is_bulk(write.writer) && !knows(known_[who(warp)].async, write))
    report(warp, what, address, write.access.pc, write.writer);
}

void Hazards::require_readable_by_proxy(const Warp& warp, const Piece& piece) {
  Line& line = shared_.line(piece.line);
  if (line.kind == Line::Kind::mixed) shared_.settle(piece.line);
  if (knows_writes(warp, line) && shows_writes(warp, line)) return;
  for (std::size_t i = piece.begin; i < piece.end; ++i) {
    require_after_write(warp, shared_.write(i), address_of(piece, i));
    require_proxy_fence(warp, shared_.write(i), address_of(piece, i),
                        "the async proxy reads a generic write with no fence.proxy.async behind "
                        "it");
  }
}

/// A bulk store; wgmmas say more of what they read.
void Hazards::async_read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    require_readable_by_proxy(warp, piece);
    ++shared_.line(piece.line).storing;
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      SharedRecord::Storing& storing = shared_.storing(i);
      ++storing.count;
      storing.pc = warp.now.pc;
    }
  });
  add(stores_[who(warp)], {begin, bytes});
}

void Hazards::wgmma_read(const Warp& warp, const MatrixBytes& bytes) {
  for (const units::ByteRange& each : *bytes)
    for_pieces(warp, static_cast<std::uint32_t>(each.begin),
               static_cast<std::uint32_t>(each.end - each.begin),
               [&](const Piece& piece) { require_readable_by_proxy(warp, piece); });
  NumberedGroups<std::uint32_t>& list = multiplied_[who(warp)];
  require_room(list.items());
  const std::size_t cta = warp.cta->rank;
  list.add(wgmma_reads_.begin(
      cta, warp.index / 4, bytes, warp.now.pc, [&](const WgmmaReads::Operand& old) {
        for (std::size_t i = 0; i < warpgroups_; ++i)
          for (const units::ByteRange& each : *old.bytes)
            if (old.done[i].clock != 0)
              for_pieces(warp, static_cast<std::uint32_t>(each.begin),
                         static_cast<std::uint32_t>(each.end - each.begin),
                         [&](const Piece& piece) {
                           shared_.set_reads(piece.line, piece.begin, piece.end, warps_of_cta_ + i,
                                             {old.done[i].clock, old.done[i].pc});
                         });
      }));
}

void Hazards::commit_reads(const Warp& warp, Reader reader) {
  if (reader == Reader::store) return stores_[who(warp)].commit();
  multiplied_[who(warp)].commit();
  registers_.commit(warp);
}

void Hazards::hold(const Warp& warp, std::span<const Place> accumulator, std::span<const Place> a) {
  if (const auto found = registers_.hold(warp, accumulator, a)) report(warp, *found);
  for (const std::uint32_t key : seen_[who(warp)])
    if (const auto found = waiters_.find(key); found != waiters_.end())
      if (const auto own = found->second.find(who(warp)); own != found->second.end())
        own->second.issued = multiplied_[who(warp)].committed() + 1;
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
  const std::uint64_t end = multiplied_[who(warp)].end(left);
  if (end == 0 || warpgroups_ == 0) return;
  const std::size_t warpgroup = warp.index / 4, rank = warp.cta->rank;
  for (std::size_t w = warpgroup * 4; w < std::min(warpgroup * 4 + 4, warps_of_cta_); ++w)
    while (const auto oldest = multiplied_[rank * warps_of_cta_ + w].take_before(end))
      for (const std::uint32_t operand : oldest->items)
        wgmma_reads_.end(rank, warpgroup, operand, static_cast<std::uint32_t>(oldest->number + 1));
  know(warp, wgmmas_of(who(warp)), static_cast<std::uint32_t>(end));
}

void Hazards::wait_reads(const Warp& warp, Reader reader, std::size_t left) {
  if (reader == Reader::wgmma) return wait_wgmmas(warp, left);
  Groups& list = stores_[who(warp)];
  const std::uint64_t end = list.end(left);
  while (const auto oldest = list.take_before(end))
    for (const Range& each : oldest->items)
      for_pieces(warp, each.begin, each.bytes, [&](const Piece& piece) {
        --shared_.line(piece.line).storing;
        // Of each granule the last store's instruction stands for all.
        for (std::size_t i = piece.begin; i < piece.end; ++i) {
          --shared_.storing(i).count;
          set_reads(warp, {piece.line, i, i + 1, piece.cta}, shared_.storing(i).pc);
        }
      });
}

}  // namespace karat::ptx
