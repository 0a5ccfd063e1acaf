#include "launch/place.hpp"

#include <algorithm>
#include <optional>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kMostGlobal = std::uint64_t{256} << 20;  // all variables of a module

void require_small(const Module& module) {
  std::uint64_t bytes = 0;
  for (const Variable& each : module.variables) {
    bytes += each.space == Space::shared ? 0 : each.bytes;
    if (bytes > kMostGlobal)
      throw Error(ErrorKind::input_output, module.file + ":" + std::to_string(each.line),
                  "the module's variables exceed 256 MiB");
  }
}

}  // namespace

struct PlacedMemory::Buffer {
  std::string name;
  std::span<std::byte> bytes;
  std::string variable;
  std::optional<std::uint64_t> address;
  bool tensor = false;
};

namespace {

/// Where the lowest buffer lies that says so.
std::uint64_t lowest(const Launch& launch) {
  std::uint64_t begin = ~std::uint64_t{0};
  for (const auto& [name, tensor] : launch.tensors)
    if (tensor.address) begin = std::min(begin, *tensor.address);
  for (const LaunchMemory& each : launch.memory) begin = std::min(begin, each.address);
  return begin == ~std::uint64_t{0} ? kGlobalBase : begin;
}

}  // namespace

void PlacedMemory::place(const Buffer& buffer, const Module& module) {
  std::uint64_t address = 0;
  if (buffer.address)
    memory.place_at(address = *buffer.address, buffer.bytes, buffer.name);
  else
    address = memory.place(buffer.bytes, buffer.name);
  if (buffer.tensor) tensors[buffer.name] = address;
  if (buffer.variable.empty()) return;
  for (std::size_t i = 0; i < module.variables.size(); ++i) {
    const Variable& each = module.variables[i];
    if (each.space == Space::shared || each.name != buffer.variable) continue;
    if (each.bytes != buffer.bytes.size())
      throw Error(ErrorKind::usage, buffer.name,
                  "variable " + each.name + " has " + std::to_string(each.bytes) +
                      " bytes, the launch gives " + std::to_string(buffer.bytes.size()));
    if (variables[i] != 0)
      throw Error(ErrorKind::usage, buffer.name, "variable " + each.name + " is given twice");
    variables[i] = address;
    return;
  }
  throw Error(ErrorKind::usage, buffer.name,
              "the module has no variable \"" + buffer.variable + "\"");
}

PlacedMemory::PlacedMemory(Launch& launch, const Module& module)
    : memory(lowest(launch)), variables(module.variables.size(), 0), own_(module.variables.size()) {
  require_small(module);
  std::vector<Buffer> buffers;
  for (auto& [name, tensor] : launch.tensors)
    buffers.push_back({name, tensor.value.bytes, tensor.variable, tensor.address, true});
  for (LaunchMemory& each : launch.memory)
    buffers.push_back({each.name, each.bytes, each.variable, each.address});
  std::stable_partition(buffers.begin(), buffers.end(),
                        [](const Buffer& each) { return bool(each.address); });
  for (const Buffer& each : buffers) place(each, module);
  const auto address_of = [&](std::string_view name) {
    for (std::size_t i = 0; i < module.variables.size(); ++i)
      if (module.variables[i].name == name) return variables[i];
    return std::uint64_t{0};
  };
  std::vector<std::size_t> fresh;
  for (std::size_t i = 0; i < module.variables.size(); ++i) {
    const Variable& each = module.variables[i];
    if (each.space == Space::shared || variables[i] != 0) continue;
    own_[i].resize(each.bytes);
    variables[i] = memory.place(own_[i], each.name);
    fresh.push_back(i);
  }
  for (const std::size_t i : fresh) {
    const auto bytes = initial_bytes_of(module, module.variables[i], address_of);
    std::ranges::copy(bytes, own_[i].begin());
  }
}

}  // namespace karat::ptx
