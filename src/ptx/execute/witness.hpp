// Private: what operations do to shared memory and to the order between warps, told to whoever
// looks for hazards.
#pragma once

#include <cstdint>
#include <span>

#include "execute/state.hpp"

namespace karat::ptx {

/// Addresses are shared ones as the warp gives them, [begin, begin + bytes): of its own CTA, or of
/// the one whose rank they carry. Nothing is done with what a witness does not ask for.
class Witness {
 public:
  virtual ~Witness() = default;

  enum class MapAccess : std::uint8_t { read, write };
  enum class MapStep : std::uint8_t { write, fence, use };

  virtual void read(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/) {}
  virtual void write(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/) {}
  /// Reads and writes in one step; unordered with others of its kind.
  virtual void atomic(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/) {}
  /// cp.async: the bytes are there once the warp has waited for the group.
  virtual void copy(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/) {}
  virtual void commit_copies(const Warp& /*warp*/) {}
  virtual void wait_copies(const Warp& /*warp*/, std::size_t /*left*/) {}
  /// cp.async.mbarrier.arrive: the copies of the warp are there for those who wait at the
  /// mbarriers, one for each lane.
  virtual void hand_copies(const Warp& /*warp*/, std::span<const std::uint32_t> /*mbarriers*/) {}
  /// The bulk engine writes for a warp, and completes transactions of an mbarrier later.
  virtual void engine_write(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/,
                            std::uint32_t /*mbarrier*/) {}
  /// What such a copy reads, where that is shared memory; behind its engine_write().
  virtual void engine_read(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/,
                           std::uint32_t /*mbarrier*/) {}
  /// The oldest engine_write(), or lane of hand_copies(), for this mbarrier (its key) has taken
  /// effect: just before the mbarrier is told.
  virtual void engine_done(std::uint32_t /*mbarrier*/) {}
  virtual void copies_done(std::uint32_t /*mbarrier*/) {}
  /// The async proxy reads until the warp has waited: wgmma and stores of the bulk engine.
  enum class Reader : std::uint8_t { wgmma, store };
  virtual void async_read(const Warp& /*warp*/, std::uint32_t /*begin*/, std::uint32_t /*bytes*/) {}
  virtual void wgmma_read(const Warp& /*warp*/, const MatrixBytes& /*bytes*/) {}
  virtual void commit_reads(const Warp& /*warp*/, Reader /*reader*/) {}
  virtual void wait_reads(const Warp& /*warp*/, Reader /*reader*/, std::size_t /*left*/) {}
  /// A wgmma holds its accumulator (nobody may touch it) and A in registers (nobody may write it)
  /// until its group has been waited for.
  virtual void hold(const Warp& /*warp*/, std::span<const Place> /*accumulator*/,
                    std::span<const Place> /*a*/) {}
  /// An operation is about to run.
  virtual void touch(const Warp& /*warp*/, const MicroOp& /*op*/) {}
  /// fence.proxy.async
  virtual void fence(const Warp& /*warp*/) {}
  /// What a fence releases to whoever sees a relaxed arrival behind it: mbarriers that the warp has
  /// begun (fence.mbarrier_init), or all it did.
  enum class Released : std::uint8_t { mbarriers, all };
  virtual void release(const Warp& /*warp*/, Released /*what*/) {}
  /// bar.warp.sync, which orders the lanes of a warp.
  virtual void meet_lanes(const Warp& /*warp*/) {}
  /// Lanes read or write the 128 bytes of a tensor map that is being made in shared memory.
  virtual void map_image(const Warp& /*warp*/, std::uint32_t /*lanes*/, std::uint32_t /*begin*/,
                         MapAccess /*access*/) {}
  /// A tensor map in global memory: it is written there, fence.proxy.tensormap shows it to the
  /// bulk engine, which uses it.
  virtual void map(const Warp& /*warp*/, MapStep /*step*/, std::uint64_t /*address*/) {}
  /// wgmma.fence
  virtual void fence_registers(const Warp& /*warp*/) {}

  enum class GlobalAccess : std::uint8_t { read, write, atomic };
  virtual void global(const Warp& /*warp*/, GlobalAccess /*access*/, std::uint64_t /*address*/,
                      std::uint64_t /*bytes*/) {}

  /// An mbarrier begins (it is live until it is invalidated) or ends at an address.
  virtual void mbarrier(const Warp& /*warp*/, std::uint32_t /*address*/, bool /*live*/) {}
  /// A warp arrives at it, counts transactions or looks at it.
  virtual void use_mbarrier(const Warp& /*warp*/, std::uint32_t /*address*/) {}
  /// Keys of named barriers are named_key(), that of the cluster's kClusterKey, of mbarriers their
  /// ranked() address.
  static constexpr std::uint32_t kClusterKey = 16;
  enum class Arrival : std::uint8_t {
    waits,    ///< releases what its warp did before, and waits for the round's end
    passes,   ///< likewise, and goes on
    relaxed,  ///< goes on, and releases what a fence before it does
  };
  virtual void arrive(const Warp& /*warp*/, std::uint32_t /*key*/, Arrival /*how*/) {}
  /// The phase in progress is over: what arrived is what the next waiters see.
  virtual void complete(std::uint32_t /*key*/) {}
  virtual void wait(const Warp& /*warp*/, std::uint32_t /*key*/) {}
  /// The warp's last lanes have left the kernel.
  virtual void leave(const Warp& /*warp*/) {}
};

/// The same number for a shared address whoever gives it: its CTA's rank plus one is in it.
inline std::uint32_t ranked(const Warp& warp, std::uint32_t address) {
  return address >> kRankShift != 0 ? address : address | (warp.cta->rank + 1) << kRankShift;
}
/// Of a CTA's named barrier 0 to 15: below every shared address.
inline std::uint32_t named_key(const Cta& cta, std::uint32_t id) {
  return (cta.rank + 1) << kRankShift | id;
}

/// When an operation tells.
enum class Moment : std::uint8_t { before, after };

}  // namespace karat::ptx
