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
#include "hazards/registers.hpp"

namespace karat::ptx {

/// Bytes of shared memory that have one record.
inline constexpr std::size_t kGranule = 4;

class Hazards final : public Witness {
 public:
  /// @param grid  what other clusters did to global memory; null: only this one counts
  explicit Hazards(const Cluster& cluster, GridTrace* grid);

  /// One line each, in the order they were found; the same pair of instructions once.
  const std::vector<std::string>& found() const { return found_; }

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
  void async_read(const Warp& warp, Reader reader, std::uint32_t begin,
                  std::uint32_t bytes) override;
  void commit_reads(const Warp& warp, Reader reader) override;
  void wait_reads(const Warp& warp, Reader reader, std::size_t left) override;
  void hold(const Warp& warp, std::span<const Place> accumulator,
            std::span<const Place> a) override;
  void touch(const Warp& warp, const MicroOp& op) override;
  void fence(const Warp& warp) override;
  void fence_registers(const Warp& warp) override { registers_.fence(warp); }
  void global(const Warp& warp, GlobalAccess access, std::uint64_t address,
              std::uint64_t bytes) override;
  void mbarrier(const Warp& warp, std::uint32_t address, bool live) override;
  void arrive(const Warp& warp, std::uint32_t key) override;
  void complete(std::uint32_t key) override;
  void wait(const Warp& warp, std::uint32_t key) override;

 private:
  using Clock = std::vector<std::uint32_t>;  ///< per warp, then per other participant
  struct Knowledge {
    Clock all, async;  ///< async: what the async proxy may see of it
    /// What happened before, though its accesses are in no order with those behind: copies that
    /// were issued after it have arrived. Says that a phase was seen.
    Clock seen;
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
  struct Access {
    std::uint32_t clock = 0, pc = 0;
  };
  /// Four bytes of shared memory.
  struct Granule {
    Access write;
    std::uint16_t writer = 0;
    std::uint16_t copying = 0;    ///< a warp's number plus one: cp.async under way
    bool atomic = false;          ///< the last write was an atomic's
    std::uint16_t reading = 0;    ///< async reads under way
    std::uint32_t reader_pc = 0;  ///< of the last of them
  };

  static void join(Clock& into, const Clock& from);
  void join(Knowledge& into, const Knowledge& from) {
    join(into.all, from.all);
    join(into.async, from.async);
    join(into.seen, from.seen);
  }
  /// each(index, granule, ranked address) for what an access of the warp covers.
  template <typename Each>
  void for_granules(const Warp& warp, std::uint32_t begin, std::uint32_t bytes, Each each);
  std::size_t cta_of(std::size_t granule) const { return granule / granules_of_cta_; }
  /// The last read of a granule by a warp of its own CTA; behind the warps by the wgmmas of each
  /// warpgroup.
  Access& read_of(std::size_t granule, std::size_t reader_of_cta) {
    return reads_[reader_of_cta * granules_.size() + granule];
  }
  void set_read(const Warp& warp, std::size_t granule, std::uint32_t pc);
  void require_after_write(const Warp& warp, const Granule& granule, std::uint32_t address);
  void require_proxy_fence(const Warp& warp, const Granule& granule, std::uint32_t address,
                           const char* what);
  void require_no_reader(const Warp& warp, std::size_t index, std::uint32_t address);
  void require_writable(const Warp& warp, std::size_t index, std::uint32_t address);
  static std::uint32_t at(const Clock& clock, std::size_t who) {
    return who < clock.size() ? clock[who] : 0;
  }
  /// Who takes part besides the warps. One that copies does so for one mbarrier; the wgmmas of a
  /// warpgroup are one that reads, and its clock counts the groups that are over.
  enum class Part : std::uint8_t { bulk, copy, wgmma };
  std::size_t new_part(Part part) {
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
  void set_write(Granule& granule, std::size_t writer, std::uint32_t clock, std::uint32_t pc);
  void report(const Warp& warp, const char* what, std::uint32_t address, std::uint32_t other_pc,
              std::size_t other);
  /// "warp 3", in a cluster "warp 3 of CTA 1"; the engines by their names.
  std::string name_of(std::size_t who) const;
  bool is_new(std::uint32_t pc, std::uint32_t other_pc);
  std::size_t who(const Warp& warp) const { return number_in_cluster(warp); }
  Clock& clock_of(const Warp& warp) { return known_[who(warp)].all; }
  std::uint32_t now(const Warp& warp) const { return known_[who(warp)].all[who(warp)]; }
  void report(const Warp& warp, const HeldRegisters::Finding& finding);
  void wait_wgmmas(const Warp& warp, std::size_t left);
  Groups& groups(const Warp& warp, Reader reader) {
    return pending_[static_cast<std::size_t>(reader)][who(warp)];
  }

  const Cluster& cluster_;
  std::size_t warps_of_cta_, warps_;
  std::size_t warpgroups_;  ///< of a CTA; 0 where the kernel has no wgmma
  std::size_t granules_of_cta_;
  std::vector<Knowledge> known_;  ///< by each warp
  std::map<std::uint32_t, Sync> syncs_;
  std::vector<Granule> granules_;
  std::vector<Access> reads_;  ///< by reader of the granule's CTA, then by granule
  /// The last read by a warp of another CTA; in clusters only.
  struct RemoteRead {
    Access access;
    std::uint16_t who = 0;
  };
  std::vector<RemoteRead> remote_reads_;
  /// Warps that have seen a phase end: the next one must not end before they did.
  struct Waiter {
    std::uint32_t clock = 0, pc = 0;
    /// The first wgmma it issued behind it is of the group before this number; 0: it issued none.
    std::uint64_t issued = 0;
  };
  std::map<std::uint32_t, std::map<std::size_t, Waiter>> waiters_;
  std::vector<std::set<std::uint32_t>> seen_;  ///< mbarriers each warp saw since its last wgmma
  void require_waiters_known(std::uint32_t key, const Knowledge& gathered);
  GlobalOrder global_;
  std::vector<Groups> copies_, pending_[2];
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
  std::set<std::pair<std::uint32_t, std::uint32_t>> pairs_;
  std::vector<std::string> found_;
};

/// The kernel itself finds accesses outside shared memory, and of CTAs that are not there.
template <typename Each>
void Hazards::for_granules(const Warp& warp, std::uint32_t begin, std::uint32_t bytes, Each each) {
  const std::size_t rank = (ranked(warp, begin) >> kRankShift) - 1;
  begin = inside_shared(begin);
  if (begin < kSharedBase || bytes == 0 || rank >= cluster_.ctas.size()) return;
  const std::size_t first = (begin - kSharedBase) / kGranule;
  const std::size_t end =
      std::min((begin - kSharedBase + bytes - 1) / kGranule + 1, granules_of_cta_);
  for (std::size_t i = first; i < end; ++i) {
    const std::size_t index = rank * granules_of_cta_ + i;
    each(index, granules_[index], kSharedBase + static_cast<std::uint32_t>(i * kGranule));
  }
}

}  // namespace karat::ptx
