// Attributes of kernels, and how many CTAs an SM takes.
#include <algorithm>
#include <charconv>

#include "abi.hpp"
#include "device.hpp"
#include "errors.hpp"
#include "modules.hpp"

using namespace karat::cudart;
namespace ptx = karat::ptx;

namespace {

struct Known {
  Kernel* kernel = nullptr;
  const ptx::KernelInfo* info = nullptr;
};

/// @return no kernel where the host function is none or the PTX has it not
Known known(const void* function) {
  Kernel* const kernel = registry().kernel(function);
  if (kernel == nullptr) return {};
  const ptx::KernelInfo* const info = kernel->image->kernel(kernel->name);
  return info == nullptr ? Known{} : Known{kernel, info};
}

int digits(std::string_view text) {
  int number = 0;
  for (const char each : text)
    if (each >= '0' && each <= '9') number = number * 10 + (each - '0');
  return number;
}

int most_threads(const ptx::KernelInfo& info) {
  return info.most_threads == 0
             ? kThreadsOfCta
             : static_cast<int>(std::min<std::uint64_t>(info.most_threads, 1024));
}

int most_dynamic_shared(const Known& it) {
  if (it.kernel->most_dynamic_shared >= 0) return it.kernel->most_dynamic_shared;
  return static_cast<int>(kSharedMemory - std::min(kSharedMemory, it.info->static_shared));
}

/// CTAs of an SM: by threads, shared memory and .maxnreg. Registers that ptxas would choose are not
/// known.
int ctas_of_sm(const ptx::KernelInfo& info, int threads, std::size_t dynamic_shared) {
  const int warps = (threads + kWarp - 1) / kWarp;
  if (threads < 1 || threads > most_threads(info)) return 0;
  std::uint64_t most = std::min<std::uint64_t>(kCtasOfSm, kThreadsOfSm / (warps * kWarp));
  const std::uint64_t shared = info.static_shared + dynamic_shared;
  if (shared > kMostSharedMemory) return 0;
  const std::uint64_t taken = (shared + kReservedSharedMemory + 127) / 128 * 128;
  most = std::min(most, kSharedMemoryOfSm / taken);
  if (info.most_registers > 0)
    most = std::min<std::uint64_t>(
        most, kRegisters / (std::uint64_t{info.most_registers} * kWarp * warps));
  return static_cast<int>(most);
}

std::uint64_t cluster_size(const Known& it, const LaunchConfig& config) {
  for (std::uint32_t i = 0; i < config.attribute_count; ++i)
    if (const LaunchAttribute& each = config.attributes[i]; each.id == kClusterDimension)
      return std::uint64_t{each.cluster.x} * each.cluster.y * each.cluster.z;
  const auto& required = it.info->required_cluster;
  return required[0] == 0 ? 1 : std::uint64_t{required[0]} * required[1] * required[2];
}

}  // namespace

extern "C" {

int cudaFuncGetAttributes(FunctionAttributes* out, const void* function) {
  return call("cudaFuncGetAttributes", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    *out = {};
    out->shared = it.info->static_shared;
    out->local = it.info->local;
    out->most_threads = most_threads(*it.info);
    out->registers = static_cast<int>(it.info->most_registers);
    out->ptx_version = digits(ptx::target_of(*it.kernel->image->module()).substr(0, 6));
    out->binary_version = kMajor * 10 + kMinor;
    out->most_dynamic_shared = most_dynamic_shared(it);
    out->carveout = it.kernel->carveout;
    out->cluster_must_be_set = it.info->required_cluster[0] != 0;
    out->cluster_width = static_cast<int>(it.info->required_cluster[0]);
    out->cluster_height = static_cast<int>(it.info->required_cluster[1]);
    out->cluster_depth = static_cast<int>(it.info->required_cluster[2]);
    out->non_portable_cluster = it.kernel->non_portable_cluster;
    return int{kSuccess};
  });
}

int cudaFuncSetAttribute(const void* function, int attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    switch (attribute) {
      case kMaxDynamicSharedMemorySize:
        if (value < 0 || it.info->static_shared + std::uint64_t(value) > kMostSharedMemory)
          return int{kInvalidValue};
        it.kernel->most_dynamic_shared = value;
        break;
      case kPreferredSharedMemoryCarveout:
        it.kernel->carveout = value;
        break;
      case kRequiredClusterWidth:
        it.kernel->cluster.x = static_cast<std::uint32_t>(value);
        break;
      case kRequiredClusterHeight:
        it.kernel->cluster.y = static_cast<std::uint32_t>(value);
        break;
      case kRequiredClusterDepth:
        it.kernel->cluster.z = static_cast<std::uint32_t>(value);
        break;
      case kNonPortableClusterSizeAllowed:
        it.kernel->non_portable_cluster = value != 0;
        break;
      case kClusterDimMustBeSet:
      case kClusterSchedulingPolicyPreference:
        break;
      default:
        return int{kInvalidValue};
    }
    return int{kSuccess};
  });
}
int cudaKernelSetAttributeForDevice(Handle kernel, int attribute, int value, int) {
  return cudaFuncSetAttribute(kernel, attribute, value);
}
int cudaFuncSetCacheConfig(const void*, int) { return kSuccess; }
int cudaFuncSetSharedMemConfig(const void*, int) { return kSuccess; }

int cudaFuncGetName(const char** name, const void* function) {
  const Kernel* const kernel = registry().kernel(function);
  if (kernel == nullptr) return failed(kInvalidDeviceFunction);
  *name = kernel->name.c_str();
  return kSuccess;
}
int cudaFuncGetParamInfo(const void* function, std::size_t index, std::size_t* offset,
                         std::size_t* bytes) {
  return call("cudaFuncGetParamInfo", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    if (index >= it.info->parameters.size()) return int{kInvalidValue};
    *offset = it.info->parameters[index].offset;
    if (bytes != nullptr) *bytes = it.info->parameters[index].bytes;
    return int{kSuccess};
  });
}

int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* ctas, const void* function,
                                                           int threads, std::size_t dynamic_shared,
                                                           unsigned) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    *ctas = ctas_of_sm(*it.info, threads, dynamic_shared);
    return int{kSuccess};
  });
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* ctas, const void* function, int threads,
                                                  std::size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(ctas, function, threads,
                                                                dynamic_shared, 0);
}
int cudaOccupancyAvailableDynamicSMemPerBlock(std::size_t* bytes, const void* function, int ctas,
                                              int) {
  return call("cudaOccupancyAvailableDynamicSMemPerBlock", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    if (ctas < 1) return int{kInvalidValue};
    const std::uint64_t each = kSharedMemoryOfSm / static_cast<std::uint64_t>(ctas);
    const std::uint64_t taken = kReservedSharedMemory + it.info->static_shared;
    const std::uint64_t most = kMostSharedMemory - it.info->static_shared;
    *bytes = each < taken ? 0 : std::min(most, (each - taken) / 128 * 128);
    return int{kSuccess};
  });
}
int cudaOccupancyMaxActiveClusters(int* clusters, const void* function,
                                   const LaunchConfig* config) {
  return call("cudaOccupancyMaxActiveClusters", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    const int threads = static_cast<int>(config->block.x * config->block.y * config->block.z);
    const int ctas = ctas_of_sm(*it.info, threads, config->dynamic_shared) * kSms;
    *clusters = ctas / static_cast<int>(std::max<std::uint64_t>(1, cluster_size(it, *config)));
    return int{kSuccess};
  });
}
int cudaOccupancyMaxPotentialClusterSize(int* size, const void* function, const LaunchConfig*) {
  return call("cudaOccupancyMaxPotentialClusterSize", [&] {
    const Known it = known(function);
    if (it.kernel == nullptr) return int{kInvalidDeviceFunction};
    *size = static_cast<int>(it.kernel->non_portable_cluster ? kMostCluster : kPortableCluster);
    return int{kSuccess};
  });
}

}  // extern "C"
