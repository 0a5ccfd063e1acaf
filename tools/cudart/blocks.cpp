#include "blocks.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "device.hpp"

namespace karat::cudart {
namespace {

constexpr std::uint64_t kStep = std::uint64_t{2} << 20;  // a block each, as kernels' memory has it
/// Where blocks may begin: usually nothing lies there; sanitizers keep the first one for
/// themselves.
constexpr std::uint64_t kBegins[] = {0x0010'0000'0000, 0x2000'0000'0000, 0x3000'0000'0000};

void* map_at(std::uint64_t address, std::size_t bytes) {
  void* const at = mmap(reinterpret_cast<void*>(address), bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  if (at == reinterpret_cast<void*>(address)) return at;
  munmap(at, bytes);  // Linux before 4.17 takes the address as a hint
  return nullptr;
}

}  // namespace

void* Blocks::map(std::size_t bytes) {
  if (next_ != 0) return map_at(next_, bytes);
  for (const std::uint64_t begin : kBegins)
    if (void* const at = map_at(begin, bytes)) {
      next_ = begin;
      return at;
    }
  return nullptr;
}

std::optional<Block> Blocks::allocate(std::size_t bytes, Block::Kind kind,
                                      const std::string& name) {
  const std::lock_guard lock(guard_);
  const bool of_device = kind != Block::Kind::host;
  if (of_device && bytes > kDeviceMemory - used_) return std::nullopt;
  void* const at = map(std::max<std::size_t>(bytes, 1));
  if (at == nullptr) return std::nullopt;
  next_ += (bytes / kStep + 1) * kStep;
  if (of_device) used_ += bytes;
  Block block{.kind = kind,
              .name = name.empty() ? "memory_" + std::to_string(made_++) : name,
              .bytes = {static_cast<std::byte*>(at), bytes}};
  blocks_.emplace(block.address(), block);
  return block;
}

bool Blocks::release(const void* begin) {
  const std::lock_guard nobody_runs(kept_);
  const std::lock_guard lock(guard_);
  const auto found = blocks_.find(reinterpret_cast<std::uint64_t>(begin));
  if (found == blocks_.end() || found->second.kind == Block::Kind::variable) return false;
  if (found->second.kind != Block::Kind::host) used_ -= found->second.bytes.size();
  munmap(found->second.bytes.data(), found->second.bytes.size());
  blocks_.erase(found);
  return true;
}

std::optional<Block> Blocks::find(const void* address) const {
  const std::lock_guard lock(guard_);
  const auto at = reinterpret_cast<std::uint64_t>(address);
  auto found = blocks_.upper_bound(at);
  if (found == blocks_.begin()) return std::nullopt;
  --found;
  if (at - found->first >= found->second.bytes.size()) return std::nullopt;
  return found->second;
}

std::vector<Block> Blocks::list() const {
  const std::lock_guard lock(guard_);
  std::vector<Block> list;
  for (const auto& [address, block] : blocks_) list.push_back(block);
  return list;
}

std::uint64_t Blocks::used() const {
  const std::lock_guard lock(guard_);
  return used_;
}

Blocks& blocks() {
  static Blocks* const all = new Blocks;
  return *all;
}

}  // namespace karat::cudart
