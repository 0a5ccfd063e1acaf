// What nvcc's host code calls before main() and around <<< >>>.
#include <cstring>
#include <vector>

#include "errors.hpp"
#include "launch.hpp"
#include "modules.hpp"

using namespace karat::cudart;

namespace {

/// The handle of a fat binary is a pointer to a pointer.
Image* image_of(void** handle) {
  return handle != nullptr ? static_cast<Image*>(*handle) : nullptr;
}

/// <<< >>> pushes, the kernel's host function pops.
struct Configuration {
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;
  Handle stream = nullptr;
};
thread_local std::vector<Configuration> configurations;

}  // namespace

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  FatBinaryWrapper copy;
  std::memcpy(&copy, wrapper, sizeof copy);
  return new void*(registry().add(copy));
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, void*,
                            void*, void*, void*, int*) {
  registry().add_kernel(host, image_of(handle), name);
}
void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, std::size_t bytes,
                       int, int) {
  registry().add_symbol(host, image_of(handle), name, bytes);
}
void __cudaRegisterManagedVar(void** handle, void** host, char*, const char* name, int,
                              std::size_t bytes, int, int) {
  call("__cudaRegisterManagedVar", [&] {
    registry().add_symbol(host, image_of(handle), name, bytes);
    const auto block = image_of(handle)->variable(name);
    if (!block) return int{kInvalidSymbol};
    *host = block->bytes.data();
    return int{kSuccess};
  });
}

unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, std::size_t dynamic_shared,
                                     Handle stream) {
  configurations.push_back({grid, block, dynamic_shared, stream});
  return 0;
}
int __cudaPopCallConfiguration(Dim3* grid, Dim3* block, std::size_t* dynamic_shared,
                               Handle* stream) {
  if (configurations.empty()) return failed(kMissingConfiguration);
  const Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid;
  *block = top.block;
  *dynamic_shared = top.dynamic_shared;
  *stream = top.stream;
  return kSuccess;
}

/// A kernel's handle is the address of its host function.
int __cudaGetKernel(Handle* kernel, const void* host) {
  *kernel = const_cast<void*>(host);
  return kSuccess;
}
int cudaGetKernel(Handle* kernel, const void* host) { return __cudaGetKernel(kernel, host); }
int cudaGetFuncBySymbol(Handle* kernel, const void* host) { return __cudaGetKernel(kernel, host); }

int cudaLaunchKernel(const void* kernel, Dim3 grid, Dim3 block, void** arguments,
                     std::size_t dynamic_shared, Handle) {
  return call("cudaLaunchKernel", [&] {
    return launch(kernel, {.grid = grid, .block = block, .dynamic_shared = dynamic_shared},
                  arguments);
  });
}
int cudaLaunchKernel_ptsz(const void* kernel, Dim3 grid, Dim3 block, void** arguments,
                          std::size_t dynamic_shared, Handle stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared, stream);
}
int __cudaLaunchKernel(Handle kernel, Dim3 grid, Dim3 block, void** arguments,
                       std::size_t dynamic_shared, Handle stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared, stream);
}
int __cudaLaunchKernel_ptsz(Handle kernel, Dim3 grid, Dim3 block, void** arguments,
                            std::size_t dynamic_shared, Handle stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared, stream);
}

int cudaLaunchKernelExC(const LaunchConfig* config, const void* kernel, void** arguments) {
  return call("cudaLaunchKernelExC", [&] {
    if (config == nullptr) return int{kInvalidValue};
    return launch(kernel, *config, arguments);
  });
}
int cudaLaunchKernelExC_ptsz(const LaunchConfig* config, const void* kernel, void** arguments) {
  return cudaLaunchKernelExC(config, kernel, arguments);
}
int cudaLaunchCooperativeKernel(const void*, Dim3, Dim3, void**, std::size_t, Handle) {
  return failed(kNotSupported, "cudaLaunchCooperativeKernel",
                "CTAs of a grid do not run all at once here");
}

}  // extern "C"
