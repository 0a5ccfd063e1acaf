// Private: keeping the timeline of one CTA.
#pragma once

#include <map>
#include <vector>

#include "execute/observer.hpp"
#include "execute/witness.hpp"
#include "karat/ptx/timeline.hpp"

namespace karat::ptx {

/// The witness and an observer of the CTA's cluster.
class TimelineKeeper final : public Witness, public Observer {
 public:
  TimelineKeeper(const Cluster& cluster, const Cta& cta);

  Timeline take();

  void before(const Warp&, const MicroOp&, std::uint32_t) override {}
  void after(const Warp& warp, const MicroOp& op, Step step) override;

  void engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                    std::uint32_t mbarrier) override;
  void hold(const Warp& warp, std::span<const Place> accumulator,
            std::span<const Place> a) override;
  void commit_reads(const Warp& warp, Reader reader) override;
  void wait_reads(const Warp& warp, Reader reader, std::size_t left) override;
  void arrive(const Warp& warp, std::uint32_t key, Arrival how) override;
  void complete(std::uint32_t key) override;
  void wait(const Warp& warp, std::uint32_t key) override;

 private:
  using Slice = Timeline::Slice;
  /// The first wgmma of one commit_group.
  struct Group {
    std::uint64_t begin = 0;
    std::uint32_t pc = 0;
  };
  struct OfWarp {
    std::uint64_t now = 0;       ///< instructions, waits included
    std::uint64_t since = 0;     ///< when it began to run, or to wait
    std::uint64_t released = 0;  ///< what it waits for was over then
    bool looked = false;         ///< it asked a barrier in the operation that runs
    NumberedGroups<Group> groups;
    std::vector<Slice> slices, tensor;
  };
  OfWarp& of(const Warp& warp) { return warps_[number_in_cluster(warp)]; }
  void keep(std::vector<Slice>& to, Slice slice);
  std::string name_of(std::uint32_t pc) const;

  const Cluster& cluster_;  ///< while it runs; take() comes later
  std::size_t rank_, warps_of_cta_;
  std::vector<OfWarp> warps_;  ///< of the cluster
  std::map<std::uint32_t, std::uint64_t> gathering_, released_;
  Timeline timeline_;
};

}  // namespace karat::ptx
