#include "execute/locate.hpp"

namespace karat::ptx {
namespace {

[[noreturn]] void wild(const char* space, std::uint64_t address, std::uint64_t bytes, int lane,
                       MemoryAccess access) {
  throw Fault{lane, std::string(access == MemoryAccess::read ? "reads " : "writes ") +
                        std::to_string(bytes) + " bytes at " + space + " address " +
                        hexadecimal(address) + ", outside it"};
}

[[noreturn]] void unaligned(std::uint64_t address, std::uint64_t bytes, int lane) {
  throw Fault{lane,
              "address " + hexadecimal(address) + " is no multiple of " + std::to_string(bytes)};
}

std::byte* locate_shared(Warp& warp, std::uint64_t address, std::uint64_t bytes, int lane,
                         MemoryAccess access) {
  units::SharedMemory& memory = shared_of(warp, address, lane);
  const std::uint32_t inside = inside_shared(address);
  if (!memory.holds(inside, bytes)) wild("shared", address, bytes, lane, access);
  return memory.at(inside);
}

std::byte* locate_local(Warp& warp, std::uint64_t address, std::uint64_t bytes, int lane,
                        MemoryAccess access) {
  const std::uint64_t size = warp.cta->cluster->program->local_bytes;
  if (address > size || bytes > size - address) wild("local", address, bytes, lane, access);
  return warp.cta->local.data() + (warp.index * 32 + static_cast<std::uint32_t>(lane)) * size +
         address;
}

std::byte* locate_parameter(Warp& warp, std::uint64_t address, std::uint64_t bytes, int lane,
                            MemoryAccess access) {
  const auto& parameters = *warp.cta->cluster->parameters;
  if (access == MemoryAccess::write) throw Fault{lane, "it writes to the kernel's parameters"};
  if (address > parameters.size() || bytes > parameters.size() - address)
    wild("parameter", address, bytes, lane, access);
  return const_cast<std::byte*>(parameters.data()) + address;
}

std::byte* locate_global(Warp& warp, std::uint64_t address, std::uint64_t bytes, int lane,
                         MemoryAccess access) {
  Memory& memory = *warp.cta->cluster->memory;
  std::byte* const found = memory.find(address, bytes);
  if (found == nullptr) throw Fault{lane, memory.problem(address, bytes, access)};
  return found;
}

std::byte* locate_generic(Warp& warp, std::uint64_t address, std::uint64_t bytes, int lane,
                          MemoryAccess access) {
  if (in_shared_window(address))
    return locate_shared(warp, address - kSharedWindow, bytes, lane, access);
  if (address - kLocalWindow < kWindowSize)
    return locate_local(warp, address - kLocalWindow, bytes, lane, access);
  if (address - kParamWindow < kWindowSize)
    return locate_parameter(warp, address - kParamWindow, bytes, lane, access);
  return locate_global(warp, address, bytes, lane, access);
}

}  // namespace

units::SharedMemory& shared_of(Warp& warp, std::uint64_t address, int lane) {
  const std::uint64_t rank = address >> kRankShift;
  Cta& cta = *warp.cta;
  if (rank == 0) return cta.shared;
  if (rank > cta.cluster->ctas.size())
    throw Fault{lane, "shared address " + hexadecimal(address) + " is of no CTA of the cluster"};
  return cta.cluster->ctas[rank - 1].shared;
}

std::byte* locate(Warp& warp, Space space, std::uint64_t address, std::uint64_t bytes, int lane,
                  MemoryAccess access) {
  if (address % bytes != 0) unaligned(address, bytes, lane);
  switch (space) {
    case Space::shared:
      return locate_shared(warp, address, bytes, lane, access);
    case Space::local:
      return locate_local(warp, address, bytes, lane, access);
    case Space::param:
      return locate_parameter(warp, address, bytes, lane, access);
    case Space::generic:
      return locate_generic(warp, address, bytes, lane, access);
    case Space::global:
    case Space::constant:
      break;
  }
  return locate_global(warp, address, bytes, lane, access);
}

std::byte* LaneMemory::at(std::uint64_t address, std::uint64_t size, Access access) {
  return locate_generic(warp_, address, size, lane_, access);
}

}  // namespace karat::ptx
