#include "execute/memory.hpp"

#include <charconv>

namespace karat::ptx {

std::uint64_t Memory::place(std::span<std::byte> buffer, const std::string& name) {
  const std::uint64_t step = std::uint64_t{1} << kStepBits;
  const std::uint64_t address = kBegin + owners_.size() * step;
  const std::uint64_t steps = buffer.size() / step + 1;  // at least a byte behind is nobody's
  owners_.insert(owners_.end(), steps, static_cast<std::uint32_t>(buffers_.size()));
  buffers_.push_back({address, buffer, name});
  return address;
}

std::string Memory::problem(std::uint64_t address, std::uint64_t size, Access access) const {
  std::string text = (access == Access::read ? "reads " : "writes ") + std::to_string(size) +
                     " bytes at " + hexadecimal(address) + ", which no buffer holds";
  const std::uint64_t index = (address - kBegin) >> kStepBits;
  if (address >= kBegin && index < owners_.size()) {
    const Buffer& buffer = buffers_[owners_[index]];
    text += " (" + buffer.name + " has " + std::to_string(buffer.bytes.size()) + " bytes from " +
            hexadecimal(buffer.address) + ")";
  }
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
  return "0x" + std::string(digits, end);
}

}  // namespace karat::ptx
