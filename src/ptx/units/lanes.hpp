// The words all units share: a warp's registers, memories, byte ranges, what a result rests on.
//
// A register of a warp is an array over its 32 lanes: std::uint32_t[32] for registers of up to 32
// bits (8- and 16-bit values in the low bits, the bits above zero), std::uint64_t[32] for 64 bits.
// A predicate of a warp is a std::uint32_t with bit l for lane l.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace karat::ptx::units {

inline constexpr int kLanes = 32;

/// Shared memory of a CTA: bytes[0] has the shared address `base`. Swizzles act on the absolute
/// shared address. Addresses outside are an Error of the function that takes them.
struct SharedMemory {
  std::span<std::byte> bytes;
  std::uint32_t base = 0;

  bool holds(std::uint64_t address, std::uint64_t size) const {
    return address >= base && size <= bytes.size() && address - base <= bytes.size() - size;
  }
  /// @pre holds(address, 1)
  std::byte* at(std::uint64_t address) const { return bytes.data() + (address - base); }
};

/// Global memory as the executor keeps it.
class GlobalMemory {
 public:
  enum class Access { read, write };
  virtual ~GlobalMemory() = default;
  /// Where `size` bytes at a global (or generic) address lie, contiguous.
  /// @throws Error for an address that no allocation holds
  virtual std::byte* at(std::uint64_t address, std::uint64_t size, Access access) = 0;
};

/// Addresses [begin, end).
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool operator==(const ByteRange&) const = default;
};

/// What the bits of a result rest on, worst last.
enum class Fidelity : std::uint8_t {
  definition,     ///< PTX defines every bit (integers, IEEE operations, moves)
  hardware_rows,  ///< equal to captures from GPUs
  supported,      ///< a model with strong support (docs/evidence.md)
  stand_in,       ///< a model that no capture confirms
};
std::string_view fidelity_name(Fidelity);

}  // namespace karat::ptx::units
