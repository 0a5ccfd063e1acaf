// The few functions of the driver that host code of kernels asks for by name.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "abi.hpp"
#include "device.hpp"
#include "errors.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/ptx/tensor_map.hpp"

using namespace karat::cudart;
namespace ptx = karat::ptx;

namespace {

/// CUresult: what is returned here has the same value in cudaError_t.
enum DriverCode : int { kDriverSuccess = 0, kDriverInvalidValue = 1, kDriverNotSupported = 801 };

int write_map(void* to, const char* function, const auto& make) {
  if (to == nullptr || reinterpret_cast<std::uintptr_t>(to) % 64 != 0) {
    std::fprintf(stderr, "karat: %s: the tensor map is not aligned to 64 bytes\n", function);
    return kDriverInvalidValue;
  }
  try {
    const ptx::TensorMapBytes image = make();
    std::memcpy(to, image.data(), image.size());
    return kDriverSuccess;
  } catch (const karat::Error& error) {
    std::fprintf(stderr, "karat: %s: %s\n", function, error.what());
    return kDriverInvalidValue;
  }
}

}  // namespace

extern "C" {

int cuTensorMapEncodeTiled(void* map, int type, std::uint32_t rank, void* address,
                           const std::uint64_t* size, const std::uint64_t* stride,
                           const std::uint32_t* box, const std::uint32_t* element_stride,
                           int interleave, int swizzle, int l2_promotion, int fill) {
  if (rank < 1 || rank > 5 || size == nullptr || box == nullptr || element_stride == nullptr ||
      (rank > 1 && stride == nullptr))
    return kDriverInvalidValue;
  return write_map(map, "cuTensorMapEncodeTiled", [&] {
    return ptx::encode_tensor_map({.type = static_cast<std::uint32_t>(type),
                                   .address = reinterpret_cast<std::uint64_t>(address),
                                   .size = {size, rank},
                                   .stride = {stride, rank - 1},
                                   .box = {box, rank},
                                   .element_stride = {element_stride, rank},
                                   .interleave = static_cast<std::uint32_t>(interleave),
                                   .swizzle = static_cast<std::uint32_t>(swizzle),
                                   .l2_promotion = static_cast<std::uint32_t>(l2_promotion),
                                   .fill = static_cast<std::uint32_t>(fill)});
  });
}
int cuTensorMapReplaceAddress(void* map, void* address) {
  return write_map(map, "cuTensorMapReplaceAddress", [&] {
    return ptx::with_address({static_cast<const std::byte*>(map), 128},
                             reinterpret_cast<std::uint64_t>(address));
  });
}
int cuTensorMapEncodeIm2col(...) {
  std::fputs("karat: cuTensorMapEncodeIm2col: not supported\n", stderr);
  return kDriverNotSupported;
}

int cuGetErrorName(int code, const char** text) {
  *text = error_name(code);
  return kDriverSuccess;
}
int cuGetErrorString(int code, const char** text) {
  *text = error_text(code);
  return kDriverSuccess;
}
int cuInit(unsigned) { return kDriverSuccess; }
int cuDriverGetVersion(int* version) { return *version = kVersion, kDriverSuccess; }
int cuDeviceGetCount(int* count) { return *count = 1, kDriverSuccess; }
int cuDeviceGet(int* device, int ordinal) {
  *device = 0;
  return ordinal == 0 ? int{kDriverSuccess} : int{kInvalidDevice};
}
int cuCtxGetDevice(int* device) { return *device = 0, kDriverSuccess; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
  const auto found = device_attribute(attribute);
  if (!found) return kDriverInvalidValue;
  return *value = *found, kDriverSuccess;
}

}  // extern "C"

namespace {

struct EntryPoint {
  std::string_view name;
  void* function;
};

const EntryPoint kEntryPoints[] = {
    {"cuTensorMapEncodeTiled", reinterpret_cast<void*>(&cuTensorMapEncodeTiled)},
    {"cuTensorMapReplaceAddress", reinterpret_cast<void*>(&cuTensorMapReplaceAddress)},
    {"cuTensorMapEncodeIm2col", reinterpret_cast<void*>(&cuTensorMapEncodeIm2col)},
    {"cuGetErrorName", reinterpret_cast<void*>(&cuGetErrorName)},
    {"cuGetErrorString", reinterpret_cast<void*>(&cuGetErrorString)},
    {"cuInit", reinterpret_cast<void*>(&cuInit)},
    {"cuDriverGetVersion", reinterpret_cast<void*>(&cuDriverGetVersion)},
    {"cuDeviceGetCount", reinterpret_cast<void*>(&cuDeviceGetCount)},
    {"cuDeviceGet", reinterpret_cast<void*>(&cuDeviceGet)},
    {"cuCtxGetDevice", reinterpret_cast<void*>(&cuCtxGetDevice)},
    {"cuDeviceGetAttribute", reinterpret_cast<void*>(&cuDeviceGetAttribute)},
};

/// cudaDriverEntryPointQueryResult
enum QueryResult : int { kFound = 0, kNotFound = 1 };

}  // namespace

extern "C" {

int cudaGetDriverEntryPoint(const char* name, void** function, unsigned long long, int* result) {
  for (const EntryPoint& each : kEntryPoints) {
    if (each.name != name) continue;
    *function = each.function;
    if (result != nullptr) *result = kFound;
    return kSuccess;
  }
  *function = nullptr;
  if (result != nullptr) *result = kNotFound;
  std::fprintf(stderr, "karat: cudaGetDriverEntryPoint: %s is not supported\n", name);
  // With a place for the result, that nothing was found is no error of the call.
  return result != nullptr ? int{kSuccess} : failed(kSymbolNotFound);
}
int cudaGetDriverEntryPoint_ptsz(const char* name, void** function, unsigned long long flags,
                                 int* result) {
  return cudaGetDriverEntryPoint(name, function, flags, result);
}
int cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                     unsigned long long flags, int* result) {
  return cudaGetDriverEntryPoint(name, function, flags, result);
}
int cudaGetDriverEntryPointByVersion_ptsz(const char* name, void** function, unsigned,
                                          unsigned long long flags, int* result) {
  return cudaGetDriverEntryPoint(name, function, flags, result);
}

}  // extern "C"
