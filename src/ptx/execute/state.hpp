// Private: what runs: warps, the CTA they belong to, the cluster.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "execute/matrix_bytes.hpp"
#include "execute/memory.hpp"
#include "execute/numbered_groups.hpp"
#include "karat/ptx/schedule.hpp"
#include "program/addresses.hpp"
#include "program/program.hpp"
#include "units/lanes.hpp"
#include "units/mma.hpp"
#include "units/named_barrier.hpp"
#include "units/wgmma.hpp"

namespace karat::ptx {

struct Cta;
struct Cluster;

struct Extent {
  std::uint32_t x = 1, y = 1, z = 1;
  std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

/// An instruction that has begun and waits for others.
struct Pending {
  enum class Kind : std::uint8_t { none, barrier, warpgroup, cluster };
  Kind kind = Kind::none;
  std::uint32_t id = 0;
  std::uint64_t round = 0;
};

/// Lanes of a warp at one program counter.
struct Group {
  std::uint32_t pc = 0;
  std::uint32_t lanes = 0;
  Pending pending;
  bool blocked = false;  ///< waited when it last ran
  bool waits = false;    ///< in the middle of an operation; kept for observers
};

struct WgmmaDetail;

/// Work that has been issued and not been done, and the instruction that issued it.
struct Later {
  Warp* warp = nullptr;
  std::uint32_t pc = 0;
  std::function<void()> work;
};
using LaterGroups = NumberedGroups<Later>;

/// A wgmma that a warp has issued and that is not computed yet.
struct IssuedWgmma {
  std::uint64_t group = 0;  ///< how many its warp had committed before
  const WgmmaDetail* detail = nullptr;
  std::uint64_t a_descriptor = 0, b_descriptor = 0;
  bool adds = true;  ///< scale-d

  bool operator==(const IssuedWgmma&) const = default;
};

struct Warp {
  std::byte* file = nullptr;
  Group now;                   ///< the lanes that run
  std::vector<Group> others;   ///< lanes that left the common path
  std::uint32_t rejoin = ~0u;  ///< the lowest program counter among others that are not blocked
  std::uint32_t alive = 0;     ///< lanes that have not exited
  Cta* cta = nullptr;
  std::uint32_t index = 0;  ///< in the CTA
  std::vector<IssuedWgmma> issued;
  std::uint64_t committed = 0;  ///< groups of wgmma
  LaterGroups copies, stores;
  std::uint64_t cluster_round = 0;  ///< barrier.cluster rounds this warp arrived at
  /// Lanes that stand at a named barrier whose other lanes have not come yet.
  std::array<std::uint32_t, 16> at_barrier{};

  template <typename T>
  T* lanes(Place place) const {
    return reinterpret_cast<T*>(file + place);
  }
  std::uint32_t& predicate(Place place) const { return *lanes<std::uint32_t>(place); }
  bool done() const { return alive == 0; }
};

/// Where the warps of a warpgroup compute their wgmmas together.
struct Warpgroup {
  std::uint32_t arrived = 0;
  std::uint32_t place = 0;  ///< of those that arrived: groups committed before, commit or wait
  std::uint64_t round = 0;
};

struct Barrier {
  units::NamedBarrier state;
  bool whole = false;  ///< waits for all threads of the CTA that have not exited
  /// bar.red: threads with a true predicate, whether all are, whether any is.
  struct Reduced {
    std::uint32_t count = 0;
    bool all = true, any = false;
  };
  Reduced now;                       ///< of the round in progress
  std::array<Reduced, 2> results{};  ///< of earlier rounds, by the last bit of their number
};

/// What one thread keeps from CTA to CTA.
struct Worker {
  units::Wgmma wgmma;
  units::Mma mma;
  MatrixByteCache matrix_bytes;
  std::vector<std::uint64_t> executed;  ///< per micro-operation: warps that ran it
};

struct Cta {
  Cluster* cluster = nullptr;
  Extent position;         ///< %ctaid
  std::uint32_t rank = 0;  ///< in the cluster
  std::vector<std::byte> shared_bytes;
  units::SharedMemory shared;
  std::vector<std::byte> local;  ///< per thread one after the other
  std::vector<Warp> warps;
  std::vector<std::byte> files;
  std::array<Barrier, 16> barriers;
  std::vector<Warpgroup> warpgroups;
  Witness* witness = nullptr;  ///< the cluster's; null where nobody looks on
};

class Observer;

struct Cluster {
  const Program* program = nullptr;
  Memory* memory = nullptr;
  Worker* worker = nullptr;
  const std::vector<std::byte>* parameters = nullptr;
  Extent grid, block, extent;  ///< extent: CTAs of a cluster
  std::vector<Cta> ctas;
  std::uint64_t steps = 0;  ///< micro-operations run, the clock of the cluster
  std::uint64_t limit = 0;
  std::uint32_t arrived = 0;  ///< warps at barrier.cluster
  std::uint64_t round = 0;
  Schedule schedule = Schedule::eager;
  bool late_wgmma = false;  ///< computed when its group is waited for, not when it is committed
  std::uint64_t random = 0;
  std::deque<Later> under_way;  ///< of no warp's groups
  std::vector<Observer*> observers;
};

/// A kernel's own fault, for one lane. The scheduler adds the line, the CTA and the warp.
struct Fault {
  int lane = -1;  ///< -1: the whole warp
  std::string problem;
  const Warp* warp = nullptr;  ///< whose instruction it was; null: the one that runs
  std::uint32_t pc = 0;
};

/// Of all warps of the cluster, one CTA's after another's.
inline std::uint32_t number_in_cluster(const Warp& warp) {
  return warp.cta->rank * static_cast<std::uint32_t>(warp.cta->warps.size()) + warp.index;
}

/// The lowest lane of a mask that is not 0.
inline int first_lane(std::uint32_t lanes) { return __builtin_ctz(lanes); }

/// For each lane of a mask, from the lowest.
template <typename Each>
void for_lanes(std::uint32_t lanes, Each each) {
  for (; lanes != 0; lanes &= lanes - 1) each(__builtin_ctz(lanes));
}

}  // namespace karat::ptx
