// The device programs find: an H100 SXM of 80 GB. Figures with no source beside them are of the
// CUDA programming guide's table for compute capability 9.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace karat::cudart {

inline constexpr std::uint64_t kDeviceMemory = std::uint64_t{80} << 30;  ///< nominal
inline constexpr std::uint64_t kSharedMemory = 48 << 10;  ///< of a CTA that asked for no more
inline constexpr std::uint64_t kMostSharedMemory = 227 << 10;
inline constexpr std::uint64_t kSharedMemoryOfSm = 228 << 10;
inline constexpr std::uint64_t kReservedSharedMemory = 1 << 10;  ///< of a CTA
inline constexpr int kSms = 132;                                 ///< NVIDIA H100 whitepaper
inline constexpr int kThreadsOfSm = 2048, kThreadsOfCta = 1024, kCtasOfSm = 32, kWarp = 32;
inline constexpr int kRegisters = 65536;
inline constexpr int kMajor = 9, kMinor = 0;
inline constexpr std::uint64_t kPortableCluster = 8, kMostCluster = 16;
/// What cudaDriverGetVersion() says: CUDA 13.0.
inline constexpr int kVersion = 13000;

/// cudaDeviceGetAttribute(). Attributes of textures and of several devices are 0. Nothing for what
/// is no attribute.
std::optional<int> device_attribute(int attribute);

}  // namespace karat::cudart
