// Private: where an address of one lane lies in the host's memory.
#pragma once

#include "execute/state.hpp"
#include "parse/syntax.hpp"

namespace karat::ptx {

using MemoryAccess = units::GlobalMemory::Access;

/// The shared memory a shared address names, and the address inside it: a CTA's own, or another
/// one's of the cluster. @throws Fault where there is no such CTA
units::SharedMemory& shared_of(Warp& warp, std::uint64_t address, int lane);
inline std::uint32_t inside_shared(std::uint64_t address) {
  return static_cast<std::uint32_t>(address) & ((1u << kRankShift) - 1);
}

/// @param bytes  a power of two, to which the address must be aligned
/// @throws Fault naming the lane and the address
std::byte* locate(Warp& warp, Space space, std::uint64_t address, std::uint64_t bytes, int lane,
                  MemoryAccess access);

/// A generic address that lies in the window of shared memory as a shared address; else nothing.
inline bool in_shared_window(std::uint64_t address) {
  return address - kSharedWindow < kWindowSize;
}

/// Neither a window nor below all buffers.
inline bool in_global(std::uint64_t address) {
  return address - kSharedWindow >= kParamWindow + kWindowSize - kSharedWindow;
}

/// Global memory and parameters by generic address, as bulk copies need it, for one lane.
class LaneMemory final : public units::GlobalMemory {
 public:
  LaneMemory(Warp& warp, int lane) : warp_(warp), lane_(lane) {}
  std::byte* at(std::uint64_t address, std::uint64_t size, Access access) override;

 private:
  Warp& warp_;
  int lane_;
};

}  // namespace karat::ptx
