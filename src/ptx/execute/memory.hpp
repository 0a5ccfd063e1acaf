// Private: global memory as the kernel sees it: host buffers at addresses of their own, with gaps
// that belong to nobody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "program/addresses.hpp"
#include "units/lanes.hpp"

namespace karat::ptx {

class Memory final : public units::GlobalMemory {
 public:
  /// @param begin  no buffer lies below it
  explicit Memory(std::uint64_t begin = kGlobalBase);

  /// Gives a buffer an address; the buffer must outlive the memory.
  std::uint64_t place(std::span<std::byte> buffer, const std::string& name);
  /// Puts it at a given one. @throws Error(usage) unless that is a multiple of 256, not below
  /// begin, below the windows, and no 2 MiB of it are another buffer's
  void place_at(std::uint64_t address, std::span<std::byte> buffer, const std::string& name);

  /// @throws Error(usage) naming the address and the nearest buffer below it
  std::byte* at(std::uint64_t address, std::uint64_t size, Access access) override {
    const std::byte* const found = find(address, size);
    if (found == nullptr)
      throw Error(ErrorKind::usage, "global memory", problem(address, size, access));
    return const_cast<std::byte*>(found);
  }

  /// Null where the bytes are not all of one buffer. Safe from several threads.
  const std::byte* find(std::uint64_t address, std::uint64_t size) const {
    const std::uint64_t index = (address - begin_) >> kStepBits;
    if (address < begin_ || index >= owners_.size()) return nullptr;
    const Buffer& buffer = buffers_[owners_[index]];
    const std::uint64_t offset = address - buffer.address;
    if (size > buffer.bytes.size() || offset > buffer.bytes.size() - size) return nullptr;
    return buffer.bytes.data() + offset;
  }
  std::byte* find(std::uint64_t address, std::uint64_t size) {
    return const_cast<std::byte*>(static_cast<const Memory*>(this)->find(address, size));
  }

  /// What is wrong with an access that find() does not find.
  std::string problem(std::uint64_t address, std::uint64_t size, Access access) const;

 private:
  /// Addresses are cut into steps of 2 MiB; each step belongs to one buffer.
  static constexpr int kStepBits = 21;

  struct Buffer {
    std::uint64_t address;
    std::span<std::byte> bytes;
    std::string name;
  };

  std::uint64_t begin_;
  std::vector<Buffer> buffers_;  ///< the first one is nobody's and empty
  std::vector<std::uint32_t> owners_;
};

/// "0x1000"
std::string hexadecimal(std::uint64_t value);

}  // namespace karat::ptx
