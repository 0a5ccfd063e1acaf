// Device memory. A block lies in the process at the very address that kernels see, so that managed
// and pinned memory are one with the host's; it is as large as asked for, and no address is given
// twice, so that a kernel's access behind its end or after cudaFree is a fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

namespace karat::cudart {

struct Block {
  enum class Kind : std::uint8_t { device, host, managed, variable };
  Kind kind = Kind::device;
  std::string name;
  std::span<std::byte> bytes;

  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(bytes.data()); }
};

class Blocks {
 public:
  /// Zeros. @param name  of a variable; others are called memory_0, memory_1 ...
  /// @return nothing where there is not enough memory, of the host or of the device's
  std::optional<Block> allocate(std::size_t bytes, Block::Kind kind, const std::string& name = {});
  /// While one is held no block goes: a launch uses memory that it looked up before.
  std::shared_lock<std::shared_mutex> keep() const { return std::shared_lock(kept_); }
  /// Once no launch runs any more, as on a device. False where no block begins there.
  bool release(const void* begin);
  /// The block that holds an address.
  std::optional<Block> find(const void* address) const;
  /// All, by address.
  std::vector<Block> list() const;
  /// Bytes that blocks of device memory take.
  std::uint64_t used() const;

 private:
  void* map(std::size_t bytes);

  mutable std::shared_mutex kept_;  ///< taken before guard_
  mutable std::mutex guard_;
  std::map<std::uint64_t, Block> blocks_;
  std::uint64_t next_ = 0, used_ = 0, made_ = 0;
};

/// Of the process; it outlives everything.
Blocks& blocks();

}  // namespace karat::cudart
