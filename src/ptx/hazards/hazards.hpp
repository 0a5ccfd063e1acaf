// Private: happens-before over the warps of a cluster and its bulk engine. Each warp has a clock
// for everybody: what it knows to have happened. A second clock says what of that the async proxy
// may see: fence.proxy.async brings it up to date.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "execute/locate.hpp"
#include "execute/witness.hpp"
#include "hazards/global.hpp"
#include "hazards/grid_trace.hpp"
#include "hazards/guests.hpp"
#include "hazards/passings.hpp"
#include "hazards/registers.hpp"
#include "hazards/shared_record.hpp"
#include "hazards/wgmma_reads.hpp"

namespace karat::ptx {

class Hazards final : public Witness {
 public:
  /// @param grid  what other clusters did to global memory; null: only this one counts
  explicit Hazards(const Cluster& cluster, GridTrace* grid);

  /// One line each, in the order they were found; the same pair of instructions once.
  const std::vector<std::string>& found() const { return found_; }
  /// Accesses of global memory that were not, or only in part, compared with others of the cluster.
  std::uint64_t not_looked_at() const { return global_.not_looked_at(); }
  /// Of the records of a cluster of such CTAs, at most (about).
  static std::size_t most_bytes(std::size_t ctas, std::size_t shared_bytes, std::size_t warps);

  void read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) override;
  void write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) override;
  void atomic(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) override;
  void copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) override;
  void commit_copies(const Warp& warp) override;
  void wait_copies(const Warp& warp, std::size_t left) override;
  void hand_copies(const Warp& warp, std::span<const std::uint32_t> mbarriers) override;
  void engine_done(std::uint32_t mbarrier) override { done(mbarrier, mbarrier); }
  void copies_done(std::uint32_t mbarrier) override { done(mbarrier, mbarrier + 1); }
  void engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                    std::uint32_t mbarrier) override;
  void engine_read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                   std::uint32_t mbarrier) override;
  void async_read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) override;
  void wgmma_read(const Warp& warp, const MatrixBytes& bytes) override;
  void commit_reads(const Warp& warp, Reader reader) override;
  void wait_reads(const Warp& warp, Reader reader, std::size_t left) override;
  void hold(const Warp& warp, std::span<const Place> accumulator,
            std::span<const Place> a) override;
  void touch(const Warp& warp, const MicroOp& op) override;
  void fence(const Warp& warp) override;
  void release(const Warp& warp, Released what) override;
  void meet_lanes(const Warp& warp) override;
  void map_image(const Warp& warp, std::uint32_t lanes, std::uint32_t begin,
                 MapAccess access) override;
  void map(const Warp& warp, MapStep step, std::uint64_t address) override;
  void fence_registers(const Warp& warp) override { registers_.fence(warp); }
  void global(const Warp& warp, GlobalAccess access, std::uint64_t address,
              std::uint64_t bytes) override;
  void mbarrier(const Warp& warp, std::uint32_t address, bool live) override;
  void use_mbarrier(const Warp& warp, std::uint32_t address) override;
  void arrive(const Warp& warp, std::uint32_t key, Arrival how) override;
  void complete(std::uint32_t key) override;
  void wait(const Warp& warp, std::uint32_t key) override;
  void leave(const Warp& warp) override;

 private:
  using Clock = std::vector<std::uint32_t>;  ///< per warp, then per other participant
  struct Knowledge {
    Clock all, async;  ///< async: what the async proxy may see of it
    /// What happened before, though its accesses are in no order with those behind: copies that
    /// were issued after it have arrived. Says that a phase was seen.
    Clock seen;
    /// Up to when others' mbarriers have begun, and a fence has said so.
    Clock begun;
  };
  struct Sync {
    Knowledge gathering, released;
  };
  struct Range {
    std::uint32_t begin = 0, bytes = 0;
  };
  using Groups = NumberedGroups<Range>;
  /// To the groups of a warp, whose memory is bounded.
  static void add(Groups& groups, Range range);
  static void require_room(std::size_t under_way);
  using Access = SharedRecord::Access;
  using Write = SharedRecord::Write;
  using Line = SharedRecord::Line;

  static void join(Clock& into, const Clock& from);
  void join(Knowledge& into, const Knowledge& from) {
    join(into.all, from.all);
    join(into.async, from.async);
    join(into.seen, from.seen);
    join(into.begun, from.begun);
  }
  /// Granules of one line that an access covers.
  struct Piece {
    std::size_t line = 0, begin = 0, end = 0;
    std::size_t cta = 0;
  };
  /// each(piece) for what an access of the warp covers.
  template <typename Each>
  void for_pieces(const Warp& warp, std::uint32_t begin, std::uint32_t bytes, Each each);
  std::uint32_t address_of(const Piece& piece, std::size_t granule) const {
    const std::size_t first = piece.cta * shared_.lines_of_cta() * SharedRecord::kOfLine;
    return kSharedBase + static_cast<std::uint32_t>((granule - first) * SharedRecord::kGranule);
  }
  /// The warp knows of every write of the line: nothing of it needs a look.
  bool knows_writes(const Warp& warp, const Line& line) const {
    return line.kind != Line::Kind::mixed && line.copying == 0 &&
           (line.last.writer == who(warp) || knows(clock_of(warp), line.last));
  }
  bool knows_reads(const Warp& warp, const Piece& piece) const;
  /// Nor does the async proxy need one.
  bool shows_writes(const Warp& warp, const Line& line) const {
    return line.kind != Line::Kind::mixed &&
           (is_bulk(line.last.writer) || knows(known_[who(warp)].async, line.last));
  }
  static bool knows(const Clock& clock, const Write& write) {
    return write.access.clock <= at(clock, write.writer);
  }
  /// Who reads the granules of a CTA: its warps, behind them the wgmmas of its warpgroups.
  std::size_t reader_of_cta(std::size_t cta, std::size_t reader) const {
    return reader < warps_of_cta_ ? cta * warps_of_cta_ + reader
                                  : wgmmas_[cta * warpgroups_ + reader - warps_of_cta_];
  }
  void set_reads(const Warp& warp, const Piece& piece, std::uint32_t pc);
  void require_after_write(const Warp& warp, const Write& write, std::uint32_t address);
  void require_proxy_fence(const Warp& warp, const Write& write, std::uint32_t address,
                           const char* what);
  void require_no_reader(const Warp& warp, const Piece& piece);
  void require_wgmmas_over(const Warp& warp, const Piece& piece);
  void require_writable(const Warp& warp, const Piece& piece);
  void require_readable_by_proxy(const Warp& warp, const Piece& piece);
  static std::uint32_t at(const Clock& clock, std::size_t who) {
    return who < clock.size() ? clock[who] : 0;
  }
  /// Who takes part besides the warps. One that copies does so for one mbarrier; the wgmmas of a
  /// warpgroup are one that reads, and its clock counts the groups that are over.
  enum class Part : std::uint8_t { bulk, copy, wgmma };
  std::size_t new_part(Part part) {
    require_few(parts_.size());
    parts_.push_back(part);
    return warps_ + parts_.size() - 1;
  }
  /// The bulk engine's writes are the async proxy's own; those of cp.async are not.
  bool is_bulk(std::size_t who) const {
    return who >= warps_ && parts_[who - warps_] == Part::bulk;
  }
  void know(const Warp& warp, std::size_t who, std::uint32_t clock);
  /// The participant that a warp's wgmmas are, by the number of the warp in the cluster.
  std::size_t wgmmas_of(std::size_t warp) const {
    return wgmmas_[warp / warps_of_cta_ * warpgroups_ + warp % warps_of_cta_ / 4];
  }
  static Write write_by(std::size_t writer, std::uint32_t clock, std::uint32_t pc) {
    return {.access = {clock, pc}, .writer = static_cast<std::uint16_t>(writer)};
  }
  void report(const Warp& warp, const char* what, std::uint32_t address, std::uint32_t other_pc,
              std::size_t other);
  /// "warp 3", in a cluster "warp 3 of CTA 1"; the engines by their names.
  std::string name_of(std::size_t who) const;
  bool is_new(std::uint32_t pc, std::uint32_t other_pc);
  std::size_t who(const Warp& warp) const { return number_in_cluster(warp); }
  Clock& clock_of(const Warp& warp) { return known_[who(warp)].all; }
  const Clock& clock_of(const Warp& warp) const { return known_[who(warp)].all; }
  std::uint32_t now(const Warp& warp) const { return known_[who(warp)].all[who(warp)]; }
  void report(const Warp& warp, const HeldRegisters::Finding& finding);
  void wait_wgmmas(const Warp& warp, std::size_t left);

  const Cluster& cluster_;
  std::size_t warps_of_cta_, warps_;
  std::size_t warpgroups_;         ///< of a CTA; 0 where the kernel has no wgmma
  std::vector<Knowledge> known_;   ///< by each warp
  std::vector<Knowledge> fenced_;  ///< what a warp's relaxed arrivals hand on
  std::map<std::uint32_t, Sync> syncs_;
  Sync& sync_of(std::uint32_t key) {
    require_few(syncs_.size());
    return syncs_[key];
  }
  /// Each has clocks of all others.
  static void require_few(std::size_t mbarriers);
  SharedRecord shared_;
  WgmmaReads wgmma_reads_;
  /// Warps that have seen a phase end: the next one must not end before they did.
  struct Waiter {
    std::uint32_t clock = 0, pc = 0;
    /// The first wgmma it issued behind it is of the group before this number; 0: it issued none.
    std::uint64_t issued = 0;
  };
  std::map<std::uint32_t, std::map<std::size_t, Waiter>> waiters_;
  std::vector<std::set<std::uint32_t>> seen_;  ///< mbarriers each warp saw since its last wgmma
  void require_waiters_known(std::uint32_t key, const Knowledge& gathered);
  Passings passings_;
  void require_round_over(const Warp& warp, std::uint32_t key);
  Guests guests_;
  std::size_t cta_of(const Warp& warp, std::uint32_t address) const {
    return (ranked(warp, address) >> kRankShift) - 1;
  }
  /// Whether this has happened before what the warp does next, in whatever order to it.
  bool has_seen(const Warp& warp, std::size_t who, std::uint32_t clock) const {
    const Knowledge& known = known_[this->who(warp)];
    return clock <= at(known.all, who) || clock <= at(known.seen, who);
  }
  void visit(const Warp& warp, std::uint32_t address, std::size_t visitor, std::uint32_t clock);
  /// Its access of a CTA's shared memory, where that is another one's.
  void visit(const Warp& warp, std::uint32_t address) {
    if (cta_of(warp, address) != warp.cta->rank) visit(warp, address, who(warp), now(warp));
  }
  void require_cta_begun(const Warp& warp, std::size_t cta);
  void require_begun(const Warp& warp, std::uint32_t mbarrier);
  GlobalOrder global_;
  GridTrace* grid_;
  std::uint64_t number_;  ///< of the cluster's first CTA in the grid
  std::vector<Groups> copies_, stores_;
  std::vector<NumberedGroups<std::uint32_t>> multiplied_;  ///< operands of wgmmas, by warp
  /// Who writes for an mbarrier without waiting: bulk copies, or cp.async.
  struct Engine {
    std::size_t who = 0;
    struct Write {
      std::size_t who = 0;
      std::uint32_t clock = 0;
      Clock seen;  ///< by its warp
    };
    std::deque<Write> under_way;  ///< what has not taken effect yet
  };
  Engine& engine_of(std::uint32_t key, Part part);
  /// Copies of a warp that it has handed to an mbarrier.
  struct Handed {
    std::uint64_t group = 0;
    std::size_t who = 0;
    std::uint32_t clock = 0;
  };
  std::vector<std::deque<Handed>> handed_;
  void done(std::uint32_t mbarrier, std::uint32_t key);
  std::map<std::uint32_t, Engine> engines_;  ///< by mbarrier; for cp.async its address plus one
  std::vector<Part> parts_;
  std::vector<std::size_t> wgmmas_;
  std::map<std::uint32_t, std::uint32_t> live_;  ///< mbarriers, and the instruction of their init
  void require_no_mbarrier(const Warp& warp, std::uint32_t begin, std::uint32_t bytes);
  std::uint32_t engine_clock_ = 0;
  HeldRegisters registers_;
  /// A tensor map that the cluster wrote to global memory, and fences behind that by warp.
  struct Map {
    std::size_t writer = 0;
    Access write;
    std::map<std::size_t, std::uint32_t> fences;
  };
  std::map<std::uint64_t, Map> maps_;
  std::vector<std::uint32_t> met_;  ///< the clock at which a warp's lanes last met
  static bool makes_maps(const Cluster& cluster);
  bool makes_maps_;
  std::uint8_t lane_now(const Warp& warp) const;
  void require_lanes_met(const Warp& warp, const Piece& piece, std::uint8_t lane);
  std::set<std::pair<std::uint32_t, std::uint32_t>> pairs_;
  std::vector<std::string> found_;
};

/// The kernel itself finds accesses outside shared memory, and of CTAs that are not there.
template <typename Each>
void Hazards::for_pieces(const Warp& warp, std::uint32_t begin, std::uint32_t bytes, Each each) {
  constexpr std::size_t kOfLine = SharedRecord::kOfLine;
  const std::size_t rank = (ranked(warp, begin) >> kRankShift) - 1;
  begin = inside_shared(begin);
  if (begin < kSharedBase || bytes == 0 || rank >= cluster_.ctas.size()) return;
  const std::uint64_t last = std::uint64_t{begin} - kSharedBase + bytes - 1;
  std::size_t at = (begin - kSharedBase) / SharedRecord::kGranule;
  const std::size_t end =
      std::min<std::size_t>(last / SharedRecord::kGranule + 1, shared_.granules_of_cta());
  const std::size_t first = rank * shared_.lines_of_cta() * kOfLine;
  while (at < end) {
    const std::size_t stop = std::min(end, (at / kOfLine + 1) * kOfLine);
    each(Piece{(first + at) / kOfLine, first + at, first + stop, rank});
    at = stop;
  }
}

}  // namespace karat::ptx
