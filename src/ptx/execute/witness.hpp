// Private: what operations do to shared memory and to the order between warps, told to whoever
// looks for hazards.
#pragma once

#include <cstdint>
#include <span>

#include "execute/state.hpp"

namespace karat::ptx {

/// Addresses are shared ones of the warp's own CTA, [begin, begin + bytes).
class Witness {
 public:
  virtual ~Witness() = default;

  virtual void read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) = 0;
  virtual void write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) = 0;
  /// Reads and writes in one step; unordered with others of its kind.
  virtual void atomic(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) = 0;
  /// cp.async: the bytes are there once the warp has waited for the group.
  virtual void copy(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) = 0;
  virtual void commit_copies(const Warp& warp) = 0;
  virtual void wait_copies(const Warp& warp, std::size_t left) = 0;
  /// cp.async.mbarrier.arrive: the copies of the warp are there for those who wait at the mbarrier.
  virtual void hand_copies(const Warp& warp, std::uint32_t mbarrier) = 0;
  /// The bulk engine writes for a warp, and completes transactions of an mbarrier later.
  virtual void engine_write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes,
                            std::uint32_t mbarrier) = 0;
  /// The oldest engine_write(), or hand_copies(), for this mbarrier has taken effect: just before
  /// the mbarrier is told.
  virtual void engine_done(std::uint32_t mbarrier) = 0;
  virtual void copies_done(std::uint32_t mbarrier) = 0;
  /// The async proxy reads until the warp has waited: wgmma and stores of the bulk engine.
  enum class Reader : std::uint8_t { wgmma, store };
  virtual void async_read(const Warp& warp, Reader reader, std::uint32_t begin,
                          std::uint32_t bytes) = 0;
  virtual void commit_reads(const Warp& warp, Reader reader) = 0;
  virtual void wait_reads(const Warp& warp, Reader reader, std::size_t left) = 0;
  /// A wgmma holds its accumulator (nobody may touch it) and A in registers (nobody may write it)
  /// until its group has been waited for.
  virtual void hold(const Warp& warp, std::span<const Place> accumulator,
                    std::span<const Place> a) = 0;
  /// An operation is about to run.
  virtual void touch(const Warp& warp, const MicroOp& op) = 0;
  /// fence.proxy.async
  virtual void fence(const Warp& warp) = 0;
  /// wgmma.fence
  virtual void fence_registers(const Warp& warp) = 0;

  /// An mbarrier begins (it is live until it is invalidated) or ends at an address.
  virtual void mbarrier(const Warp& warp, std::uint32_t address, bool live) = 0;
  /// Named barriers have keys 0 to 15, that of the cluster kClusterKey, mbarriers their address.
  static constexpr std::uint32_t kClusterKey = 16;
  virtual void arrive(const Warp& warp, std::uint32_t key) = 0;
  /// The phase in progress is over: what arrived is what the next waiters see.
  virtual void complete(std::uint32_t key) = 0;
  virtual void wait(const Warp& warp, std::uint32_t key) = 0;
};

/// When an operation tells.
enum class Moment : std::uint8_t { before, after };

}  // namespace karat::ptx
