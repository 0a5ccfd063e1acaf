// What compiled host code hands over, as the CUDA runtime's headers lay it out in memory (CUDA 12
// and 13; where they differ it says so). Names are ours, so that no CUDA header is needed to build.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace karat::cudart {

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
};

using Handle = void*;  ///< streams, events, kernels, pools

/// cudaLaunchAttribute
struct LaunchAttribute {
  std::uint32_t id = 0;
  std::uint32_t padding = 0;
  union {
    std::array<char, 64> bytes;
    Dim3 cluster;
    std::int32_t number;
  };
};
static_assert(sizeof(LaunchAttribute) == 72);

/// Values of cudaLaunchAttributeID.
enum LaunchAttributeId : std::uint32_t {
  kCooperative = 2,
  kClusterDimension = 4,
};

/// cudaLaunchConfig_t
struct LaunchConfig {
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  Handle stream = nullptr;
  const LaunchAttribute* attributes = nullptr;
  std::uint32_t attribute_count = 0;
};

/// cudaFuncAttributes
struct FunctionAttributes {
  std::size_t shared = 0, constant = 0, local = 0;
  int most_threads = 0, registers = 0, ptx_version = 0, binary_version = 0, cache_mode = 0;
  int most_dynamic_shared = 0, carveout = 0, cluster_must_be_set = 0;
  int cluster_width = 0, cluster_height = 0, cluster_depth = 0;
  int cluster_policy = 0, non_portable_cluster = 0;
  int reserved[16] = {};
};
static_assert(sizeof(FunctionAttributes) == 24 + 30 * 4);

/// Values of cudaFuncAttribute.
enum FunctionAttribute : int {
  kMaxDynamicSharedMemorySize = 8,
  kPreferredSharedMemoryCarveout = 9,
  kClusterDimMustBeSet = 10,
  kRequiredClusterWidth = 11,
  kRequiredClusterHeight = 12,
  kRequiredClusterDepth = 13,
  kNonPortableClusterSizeAllowed = 14,
  kClusterSchedulingPolicyPreference = 15,
};

/// cudaPointerAttributes
struct PointerAttributes {
  int type = 0;  ///< cudaMemoryType: 0 unregistered, 1 host, 2 device, 3 managed
  int device = 0;
  void* device_pointer = nullptr;
  void* host_pointer = nullptr;
  long reserved[8] = {};
};

/// __fatBinC_Wrapper_t, which compiled programs register.
struct FatBinaryWrapper {
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  const std::byte* data = nullptr;
  void* more = nullptr;
};
inline constexpr std::uint32_t kWrapperMagic = 0x466243B1;

}  // namespace karat::cudart
