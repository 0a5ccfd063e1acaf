// cudaMalloc and its family, copies, fills, variables by their host symbol.
#include <algorithm>
#include <cstring>

#include "abi.hpp"
#include "device.hpp"
#include "errors.hpp"
#include "modules.hpp"

using namespace karat::cudart;

namespace {

/// cudaMemcpyKind
enum Direction : int { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice, kDefault };

bool is_device_end(int direction, bool destination) {
  return direction == kDeviceToDevice || direction == (destination ? kHostToDevice : kDeviceToHost);
}

/// A device address must be inside one block; with kDefault any address goes.
bool reaches(const void* address, std::size_t bytes, int direction, bool destination) {
  const auto block = blocks().find(address);
  if (!block) return !is_device_end(direction, destination);
  return bytes <=
         block->bytes.size() -
             static_cast<std::size_t>(static_cast<const std::byte*>(address) - block->bytes.data());
}

int allocate(const char* function, void** out, std::size_t bytes, Block::Kind kind) {
  return call(function, [&] {
    if (out == nullptr) return int{kInvalidValue};
    *out = nullptr;
    if (bytes == 0) return int{kSuccess};
    const auto block = blocks().allocate(bytes, kind);
    if (!block) return int{kMemoryAllocation};
    *out = block->bytes.data();
    return int{kSuccess};
  });
}

int release(const char* function, void* begin) {
  return call(function, [&] {
    if (begin == nullptr || blocks().release(begin)) return int{kSuccess};
    return failed(kInvalidValue, function, "no block begins there");
  });
}

int copy(const char* function, void* to, const void* from, std::size_t bytes, int direction) {
  return call(function, [&] {
    if (bytes == 0) return int{kSuccess};
    if (direction < kHostToHost || direction > kDefault) return int{kInvalidMemcpyDirection};
    if (!reaches(to, bytes, direction, true) || !reaches(from, bytes, direction, false))
      return failed(kInvalidValue, function, "it reaches outside a block of device memory");
    std::memmove(to, from, bytes);
    return int{kSuccess};
  });
}

int copy_2d(const char* function, void* to, std::size_t to_pitch, const void* from,
            std::size_t from_pitch, std::size_t width, std::size_t height, int direction) {
  if (width > to_pitch || width > from_pitch) return failed(kInvalidValue);
  for (std::size_t row = 0; row < height; ++row) {
    const int code = copy(function, static_cast<std::byte*>(to) + row * to_pitch,
                          static_cast<const std::byte*>(from) + row * from_pitch, width, direction);
    if (code != kSuccess) return code;
  }
  return kSuccess;
}

int fill(const char* function, void* to, int value, std::size_t bytes) {
  return call(function, [&] {
    if (bytes == 0) return int{kSuccess};
    if (!reaches(to, bytes, kHostToDevice, true))
      return failed(kInvalidValue, function, "it reaches outside a block of device memory");
    std::memset(to, value, bytes);
    return int{kSuccess};
  });
}

/// A variable's bytes by its host symbol. @return nothing for what is none
std::optional<Block> block_of(const void* host) {
  const Symbol* const symbol = registry().symbol(host);
  return symbol == nullptr ? std::nullopt : symbol->image->variable(symbol->name);
}

template <typename Work>
int with_symbol(const char* function, const void* host, std::size_t offset, std::size_t bytes,
                Work work) {
  return call(function, [&] {
    const auto block = block_of(host);
    if (!block) return int{kInvalidSymbol};
    if (offset > block->bytes.size() || bytes > block->bytes.size() - offset)
      return int{kInvalidValue};
    work(block->bytes.data() + offset);
    return int{kSuccess};
  });
}

}  // namespace

extern "C" {

int cudaMalloc(void** out, std::size_t bytes) {
  return allocate("cudaMalloc", out, bytes, Block::Kind::device);
}
int cudaMallocAsync(void** out, std::size_t bytes, Handle) {
  return allocate("cudaMallocAsync", out, bytes, Block::Kind::device);
}
int cudaMallocAsync_ptsz(void** out, std::size_t bytes, Handle stream) {
  return cudaMallocAsync(out, bytes, stream);
}
int cudaMallocFromPoolAsync(void** out, std::size_t bytes, Handle, Handle) {
  return allocate("cudaMallocFromPoolAsync", out, bytes, Block::Kind::device);
}
int cudaMallocManaged(void** out, std::size_t bytes, unsigned) {
  return allocate("cudaMallocManaged", out, bytes, Block::Kind::managed);
}
int cudaMallocHost(void** out, std::size_t bytes) {
  return allocate("cudaMallocHost", out, bytes, Block::Kind::host);
}
int cudaHostAlloc(void** out, std::size_t bytes, unsigned) {
  return allocate("cudaHostAlloc", out, bytes, Block::Kind::host);
}
int cudaMallocPitch(void** out, std::size_t* pitch, std::size_t width, std::size_t height) {
  *pitch = (width + 511) / 512 * 512;
  return allocate("cudaMallocPitch", out, *pitch * height, Block::Kind::device);
}
int cudaFree(void* begin) { return release("cudaFree", begin); }
int cudaFreeAsync(void* begin, Handle) { return release("cudaFreeAsync", begin); }
int cudaFreeAsync_ptsz(void* begin, Handle) { return release("cudaFreeAsync", begin); }
int cudaFreeHost(void* begin) { return release("cudaFreeHost", begin); }
int cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return failed(blocks().find(host) ? kSuccess : kInvalidValue);
}
int cudaHostRegister(void*, std::size_t, unsigned) {
  return failed(kNotSupported, "cudaHostRegister",
                "kernels reach memory of cudaMalloc, cudaMallocManaged and cudaHostAlloc");
}
int cudaHostUnregister(void*) { return failed(kNotSupported); }
int cudaMemGetInfo(std::size_t* left, std::size_t* all) {
  *all = kDeviceMemory;
  *left = kDeviceMemory - blocks().used();
  return kSuccess;
}

int cudaMemcpy(void* to, const void* from, std::size_t bytes, int direction) {
  return copy("cudaMemcpy", to, from, bytes, direction);
}
int cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, int direction, Handle) {
  return copy("cudaMemcpyAsync", to, from, bytes, direction);
}
int cudaMemcpyAsync_ptsz(void* to, const void* from, std::size_t bytes, int direction, Handle) {
  return copy("cudaMemcpyAsync", to, from, bytes, direction);
}
int cudaMemcpyPeer(void* to, int, const void* from, int, std::size_t bytes) {
  return copy("cudaMemcpyPeer", to, from, bytes, kDeviceToDevice);
}
int cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes, Handle) {
  return copy("cudaMemcpyPeerAsync", to, from, bytes, kDeviceToDevice);
}
int cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                 std::size_t width, std::size_t height, int direction) {
  return copy_2d("cudaMemcpy2D", to, to_pitch, from, from_pitch, width, height, direction);
}
int cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                      std::size_t width, std::size_t height, int direction, Handle) {
  return copy_2d("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, width, height, direction);
}
int cudaMemset(void* to, int value, std::size_t bytes) {
  return fill("cudaMemset", to, value, bytes);
}
int cudaMemsetAsync(void* to, int value, std::size_t bytes, Handle) {
  return fill("cudaMemsetAsync", to, value, bytes);
}
int cudaMemsetAsync_ptsz(void* to, int value, std::size_t bytes, Handle) {
  return fill("cudaMemsetAsync", to, value, bytes);
}
int cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height) {
  for (std::size_t row = 0; row < height; ++row) {
    const int code = fill("cudaMemset2D", static_cast<std::byte*>(to) + row * pitch, value, width);
    if (code != kSuccess) return code;
  }
  return kSuccess;
}
int cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                      Handle) {
  return cudaMemset2D(to, pitch, value, width, height);
}

int cudaGetSymbolAddress(void** address, const void* symbol) {
  return with_symbol("cudaGetSymbolAddress", symbol, 0, 0, [&](std::byte* at) { *address = at; });
}
int cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  return call("cudaGetSymbolSize", [&] {
    const auto block = block_of(symbol);
    if (!block) return int{kInvalidSymbol};
    *bytes = block->bytes.size();
    return int{kSuccess};
  });
}
int cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes, std::size_t offset,
                       int) {
  return with_symbol("cudaMemcpyToSymbol", symbol, offset, bytes,
                     [&](std::byte* at) { std::memmove(at, from, bytes); });
}
int cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes, std::size_t offset, int) {
  return with_symbol("cudaMemcpyFromSymbol", symbol, offset, bytes,
                     [&](const std::byte* at) { std::memmove(to, at, bytes); });
}
int cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes,
                            std::size_t offset, int direction, Handle) {
  return cudaMemcpyToSymbol(symbol, from, bytes, offset, direction);
}
int cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t bytes, std::size_t offset,
                              int direction, Handle) {
  return cudaMemcpyFromSymbol(to, symbol, bytes, offset, direction);
}

int cudaPointerGetAttributes(PointerAttributes* out, const void* address) {
  *out = {};
  const auto block = blocks().find(address);
  void* const at = const_cast<void*>(address);
  if (!block) {
    out->device = -2;
    out->host_pointer = at;
    return kSuccess;
  }
  out->type = block->kind == Block::Kind::host ? 1 : block->kind == Block::Kind::managed ? 3 : 2;
  out->device_pointer = at;
  if (out->type != 2) out->host_pointer = at;
  return kSuccess;
}

// Hints, and pools: memory is given at once and taken back at once.
int cudaMemAdvise(const void*, std::size_t, int, Handle) { return kSuccess; }
int cudaMemPrefetchAsync(const void*, std::size_t, Handle, unsigned, Handle) { return kSuccess; }
int cudaDeviceGetDefaultMemPool(Handle* pool, int) {
  static int only;
  return *pool = &only, kSuccess;
}
int cudaDeviceGetMemPool(Handle* pool, int device) {
  return cudaDeviceGetDefaultMemPool(pool, device);
}
int cudaDeviceSetMemPool(int, Handle) { return kSuccess; }
int cudaMemPoolCreate(Handle* pool, const void*) { return cudaDeviceGetDefaultMemPool(pool, 0); }
int cudaMemPoolDestroy(Handle) { return kSuccess; }
int cudaMemPoolSetAttribute(Handle, int, void*) { return kSuccess; }
int cudaMemPoolTrimTo(Handle, std::size_t) { return kSuccess; }

}  // extern "C"
