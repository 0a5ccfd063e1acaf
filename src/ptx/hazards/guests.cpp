// Shared memory of a CTA that others access: it is there from the CTA's beginning to its end, and
// an mbarrier in it once it has begun.
#include "hazards/guests.hpp"

#include <algorithm>

#include "hazards/hazards.hpp"

namespace karat::ptx {

void Hazards::visit(const Warp& warp, std::uint32_t address, std::size_t visitor,
                    std::uint32_t clock) {
  const std::size_t cta = cta_of(warp, address);
  if (cta >= cluster_.ctas.size()) return;  // the kernel itself finds that
  guests_.visit(cta, visitor, {clock, warp.now.pc, address});
  require_cta_begun(warp, cta);
  if (const auto& end = guests_.end_of(cta))
    report(warp, "accesses shared memory of a CTA that may have ended,", address, end->pc,
           end->who);
}

/// Whoever knows anything that one of a CTA's warps did knows that the CTA has begun.
void Hazards::require_cta_begun(const Warp& warp, std::size_t cta) {
  if (cta == warp.cta->rank) return;
  for (std::size_t w = cta * warps_of_cta_; w < (cta + 1) * warps_of_cta_; ++w)
    if (has_seen(warp, w, 1)) return;
  if (!is_new(warp.now.pc, warp.now.pc)) return;
  const Program& program = *cluster_.program;
  found_.push_back(shown(program, program.code[warp.now.pc].instruction) + ", " +
                   name_of(who(warp)) + ": accesses shared memory of CTA " + std::to_string(cta) +
                   ", which may not have begun: no barrier.cluster stands before it");
}

void Hazards::leave(const Warp& warp) {
  Groups& stores = stores_[who(warp)];
  stores.commit();
  if (const auto oldest = stores.take_before(stores.committed()))
    for_pieces(warp, oldest->items.front().begin, 1, [&](const Piece& piece) {
      report(warp, "leaves while its bulk store may still read shared memory",
             address_of(piece, piece.begin), shared_.storing(piece.begin).pc, who(warp));
    });
  const Cta& cta = *warp.cta;
  if (!std::ranges::all_of(cta.warps, &Warp::done)) return;
  for (const auto& [visitor, guest] : guests_.of(cta.rank)) {
    const auto seen = [&, who = visitor, clock = guest.clock](const Warp& each) {
      return has_seen(each, who, clock);
    };
    if (std::ranges::any_of(cta.warps, seen)) continue;
    report(warp,
           visitor < warps_ ? "ends its CTA with no order behind another CTA's access of its "
                              "shared memory"
                            : "ends its CTA while a bulk copy of its shared memory may be under "
                              "way",
           guest.address, guest.pc, visitor);
  }
  guests_.end(cta.rank, {warp.now.pc, who(warp)});
}

/// Whoever lets the bulk engine complete a copy at an mbarrier must know that it has begun. At one
/// of another CTA the async proxy is to know it as well: behind the fence of whoever began it.
void Hazards::require_begun(const Warp& warp, std::uint32_t mbarrier) {
  const Knowledge& known = known_[who(warp)];
  const bool afar = cta_of(warp, mbarrier) != warp.cta->rank;
  for_pieces(warp, mbarrier, sizeof(std::uint64_t), [&](const Piece& piece) {
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      const Write& write = shared_.write(i);
      if (knows(known.begun, write) || knows(known.async, write)) continue;
      require_after_write(warp, write, address_of(piece, i));
      if (afar)
        report(warp,
               "completes a copy at an mbarrier of another CTA, with no fence.mbarrier_init behind "
               "its init,",
               address_of(piece, i), write.access.pc, write.writer);
    }
  });
}

/// An arrival or a look: the init it is behind may have been released by itself.
void Hazards::use_mbarrier(const Warp& warp, std::uint32_t address) {
  visit(warp, address);
  const Knowledge& known = known_[who(warp)];
  for_pieces(warp, address, sizeof(std::uint64_t), [&](const Piece& piece) {
    if (!knows_writes(warp, shared_.line(piece.line)))
      for (std::size_t i = piece.begin; i < piece.end; ++i) {
        const Write& write = shared_.write(i);
        if (write.copying != 0 || !knows(known.begun, write))
          require_after_write(warp, write, address_of(piece, i));
      }
    set_reads(warp, piece, warp.now.pc);
  });
}

}  // namespace karat::ptx
