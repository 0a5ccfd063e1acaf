#include "execute/memory.hpp"

#include <charconv>

namespace karat::ptx {

namespace {

/// Addresses that one launch may span.
constexpr std::uint64_t kMostSpan = std::uint64_t{1} << 44;

}  // namespace

Memory::Memory(std::uint64_t begin)
    : begin_(begin >> kStepBits << kStepBits), buffers_{{0, {}, "nobody"}} {}

std::uint64_t Memory::place(std::span<std::byte> buffer, const std::string& name) {
  const std::uint64_t address = begin_ + (std::uint64_t{owners_.size()} << kStepBits);
  place_at(address, buffer, name);
  return address;
}

void Memory::place_at(std::uint64_t address, std::span<std::byte> buffer, const std::string& name) {
  const auto refuse = [&](const std::string& problem) {
    throw Error(ErrorKind::usage, name, "address " + hexadecimal(address) + " " + problem);
  };
  if (address % 256 != 0) refuse("is no multiple of 256");
  if (address == 0 || address < begin_ || address - begin_ > kMostSpan ||
      address >= kSharedWindow || buffer.size() > kMostSpan ||
      buffer.size() >= kSharedWindow - address)
    refuse("is not where global memory can lie");
  const std::uint64_t first = (address - begin_) >> kStepBits;
  const std::uint64_t end = ((address - begin_ + buffer.size()) >> kStepBits) + 1;
  if (end > owners_.size()) owners_.resize(end, 0);
  for (std::uint64_t i = first; i < end; ++i) {
    if (owners_[i] != 0) refuse("is within 2 MiB of " + buffers_[owners_[i]].name);
    owners_[i] = static_cast<std::uint32_t>(buffers_.size());
  }
  buffers_.push_back({address, buffer, name});
}

std::string Memory::problem(std::uint64_t address, std::uint64_t size, Access access) const {
  std::string text = (access == Access::read ? "reads " : "writes ") + std::to_string(size) +
                     " bytes at " + hexadecimal(address) + ", which no buffer holds";
  const std::uint64_t index = (address - begin_) >> kStepBits;
  if (address >= begin_ && index < owners_.size() && owners_[index] != 0) {
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
