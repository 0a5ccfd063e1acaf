// Private: where things lie in the 64-bit generic address space and in the 32-bit shared one.
#pragma once

#include <cstdint>

namespace karat::ptx {

/// The first kilobyte of shared memory is the system's, as on sm_90; static variables follow, then
/// dynamic shared memory on a multiple of 1024, as kernels OR and XOR offsets into its addresses.
inline constexpr std::uint32_t kSharedBase = 1024;
/// Most shared memory a CTA can have on sm_90, the system's kilobyte included.
inline constexpr std::uint32_t kSharedLimit = 228 * 1024;
/// shared::cluster addresses name a CTA of the cluster in bits 24 and above: its rank plus one; 0
/// is the CTA itself.
inline constexpr int kRankShift = 24;

/// Generic windows. That of shared memory lies on 16 MiB, since CuTe XORs its swizzle into generic
/// addresses before converting them.
inline constexpr std::uint64_t kSharedWindow = 0x7100'0000'0000;
inline constexpr std::uint64_t kLocalWindow = 0x7200'0000'0000;
inline constexpr std::uint64_t kParamWindow = 0x7300'0000'0000;
inline constexpr std::uint64_t kWindowSize = std::uint64_t{1} << 32;
/// Where buffers of a launch are placed, each on a multiple of 2 MiB with a gap behind it.
inline constexpr std::uint64_t kGlobalBase = 0x0000'0010'0000'0000;

}  // namespace karat::ptx
