#include "device.hpp"

#include <cstring>
#include <type_traits>

#include "errors.hpp"

namespace karat::cudart {
namespace {

struct Attribute {
  int id;
  int value;
};

constexpr int kMostGrid = 0x7FFFFFFF, kMostGridYz = 65535;
constexpr int kClock = 1980000;        // kHz: boost clock, NVIDIA H100 whitepaper
constexpr int kMemoryClock = 2619000;  // kHz: HBM3, 3.35 TB/s over 5120 bits

/// Rows that are not 0, by the values of cudaDeviceAttr.
constexpr Attribute kAttributes[] = {
    {1, kThreadsOfCta},
    {2, kThreadsOfCta},
    {3, kThreadsOfCta},
    {4, 64},
    {5, kMostGrid},
    {6, kMostGridYz},
    {7, kMostGridYz},
    {8, int{kSharedMemory}},
    {9, 64 << 10},  // constant memory
    {10, kWarp},
    {11, kMostGrid},  // pitch
    {12, kRegisters},
    {13, kClock},
    {16, kSms},
    {19, 1},  // maps host memory
    {31, 1},  // concurrent kernels
    {32, 1},  // ECC
    {36, kMemoryClock},
    {37, 5120},      // bits, NVIDIA H100 whitepaper
    {38, 50 << 20},  // L2, NVIDIA H100 whitepaper
    {39, kThreadsOfSm},
    {41, 1},  // unified addressing
    {75, kMajor},
    {76, kMinor},
    {78, 1},  // stream priorities
    {79, 1},
    {80, 1},
    {81, int{kSharedMemoryOfSm}},
    {82, kRegisters},
    {83, 1},  // managed memory
    {89, 1},  // concurrent managed access
    {97, int{kMostSharedMemory}},
    {106, kCtasOfSm},
    {111, int{kReservedSharedMemory}},
    {115, 1},  // memory pools
    {120, 1},  // clusters
};
constexpr int kLastAttribute = 147;

}  // namespace

std::optional<int> device_attribute(int attribute) {
  if (attribute < 1 || attribute > kLastAttribute) return std::nullopt;
  for (const Attribute& each : kAttributes)
    if (each.id == attribute) return each.value;
  return 0;
}

namespace {

int wrong_device(int device) { return device == 0 ? kSuccess : kInvalidDevice; }

enum class Toolkit { cuda12, cuda13 };

/// Of a field that CUDA 13 has taken out: no byte, and a type of its own, so that none is added for
/// the sake of an address of its own.
template <int kNumber>
struct Nothing {
  Nothing(int = 0) {}
};
template <Toolkit kToolkit, int kNumber>
using Older = std::conditional_t<kToolkit == Toolkit::cuda12, int, Nothing<kNumber>>;

/// cudaDeviceProp as a toolkit lays it out.
template <Toolkit kToolkit>
struct Properties {
  char name[256] = "karat (H100 SXM)";
  char uuid[16] = {}, luid[8] = {};
  unsigned luid_mask = 0;
  std::size_t memory = kDeviceMemory, shared = kSharedMemory;
  int registers = kRegisters, warp = kWarp;
  std::size_t pitch = kMostGrid;
  int threads = kThreadsOfCta, block[3] = {kThreadsOfCta, kThreadsOfCta, 64},
      grid[3] = {kMostGrid, kMostGridYz, kMostGridYz};
  [[no_unique_address]] Older<kToolkit, 0> clock = kClock;
  std::size_t constant = 64 << 10;
  int major = kMajor, minor = kMinor;
  std::size_t texture_alignment = 0, texture_pitch_alignment = 0;
  [[no_unique_address]] Older<kToolkit, 1> overlap = 1;
  int sms = kSms;
  [[no_unique_address]] Older<kToolkit, 2> timeout = 0;
  int integrated = 0, maps_host = 1;
  [[no_unique_address]] Older<kToolkit, 3> mode = 0;
  [[no_unique_address]] Older<kToolkit, 4> texture_line = 0;
  int textures_and_surfaces[39] = {};
  std::size_t surface_alignment = 0;
  int concurrent_kernels = 1, ecc = 1, pci[3] = {}, tcc = 0, async_engines = 0,
      unified_addressing = 1;
  [[no_unique_address]] Older<kToolkit, 5> memory_clock = kMemoryClock;
  int bus_width = 5120, l2 = 50 << 20, persisting_l2 = 0, threads_of_sm = kThreadsOfSm,
      priorities = 1, global_l1 = 1, local_l1 = 1;
  std::size_t shared_of_sm = kSharedMemoryOfSm;
  int registers_of_sm = kRegisters, managed = 1, multi_gpu = 0, multi_gpu_group = 0,
      host_atomics = 0;
  [[no_unique_address]] Older<kToolkit, 6> single_to_double = 2;
  int pageable = 0, concurrent_managed = 1, preemption = 0, registered_pointer = 0, cooperative = 0;
  [[no_unique_address]] Older<kToolkit, 7> cooperative_devices = 0;
  std::size_t shared_optin = kMostSharedMemory;
  int host_page_tables = 0, direct_managed = 0, ctas_of_sm = kCtasOfSm, access_window = 0;
  std::size_t reserved_shared = kReservedSharedMemory;
  int host_register = 0, sparse = 0, read_only = 0, timeline = 0, pools = 1, rdma = 0;
  unsigned rdma_options = 0;
  int rdma_ordering = 0;
  unsigned pool_handles = 0;
  int deferred_arrays = 0, ipc_events = 0, clusters = 1, function_pointers = 0, numa[2] = {},
      mps = 0, host_numa = 0;
  unsigned pci_ids[2] = {};
  int host_numa_ipc = 0;
  int reserved[56] = {};
};
/// As sizeof says with the headers of CUDA 12.4 and 13.0.
static_assert(sizeof(Properties<Toolkit::cuda12>) == 1032);
static_assert(sizeof(Properties<Toolkit::cuda13>) == 1008);

template <Toolkit kToolkit>
int get_properties(Properties<kToolkit>* properties, int device) {
  if (wrong_device(device) != kSuccess || properties == nullptr) return failed(kInvalidDevice);
  *properties = {};
  return kSuccess;
}

}  // namespace
}  // namespace karat::cudart

using namespace karat::cudart;

extern "C" {

int cudaGetDeviceProperties(Properties<Toolkit::cuda13>* properties, int device) {
  return get_properties(properties, device);
}
/// What the headers of CUDA 12 make of that name.
int cudaGetDeviceProperties_v2(Properties<Toolkit::cuda12>* properties, int device) {
  return get_properties(properties, device);
}
int cudaDeviceGetAttribute(int* value, int attribute, int device) {
  const auto found = device_attribute(attribute);
  if (!found || value == nullptr) return failed(kInvalidValue);
  *value = *found;
  return failed(wrong_device(device));
}
int cudaGetDeviceCount(int* count) { return *count = 1, kSuccess; }
int cudaGetDevice(int* device) { return *device = 0, kSuccess; }
int cudaSetDevice(int device) { return failed(wrong_device(device)); }
int cudaInitDevice(int device, unsigned, unsigned) { return failed(wrong_device(device)); }
int cudaSetDeviceFlags(unsigned) { return kSuccess; }
int cudaGetDeviceFlags(unsigned* flags) { return *flags = 0, kSuccess; }
int cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  static constexpr char kId[] = "0000:00:00.0";
  if (bytes < int{sizeof kId}) return failed(kInvalidValue);
  std::memcpy(text, kId, sizeof kId);
  return failed(wrong_device(device));
}
int cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [] { return int{kSuccess}; });
}
int cudaDeviceReset() { return kSuccess; }
int cudaDeviceSetLimit(int, std::size_t) { return kSuccess; }
int cudaDeviceGetLimit(std::size_t* value, int) { return *value = 0, kSuccess; }
int cudaDeviceSetCacheConfig(int) { return kSuccess; }
int cudaDeviceGetCacheConfig(int* config) { return *config = 0, kSuccess; }
int cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = 0;
  return kSuccess;
}
int cudaDeviceCanAccessPeer(int* can, int, int) { return *can = 0, kSuccess; }
int cudaDriverGetVersion(int* version) { return *version = kVersion, kSuccess; }
int cudaRuntimeGetVersion(int* version) { return *version = kVersion, kSuccess; }

int cudaGetLastError() { return take_last_error(); }
int cudaPeekAtLastError() { return last_error(); }
const char* cudaGetErrorName(int code) { return error_name(code); }
const char* cudaGetErrorString(int code) { return error_text(code); }

int cudaProfilerStart() { return kSuccess; }
int cudaProfilerStop() { return kSuccess; }

}  // extern "C"
