// Modules that are read once, and what is in them.
#include "karat/ptx/module.hpp"

#include <algorithm>
#include <cstring>

#include "karat/numerics/base/error.hpp"
#include "launch/loaded.hpp"
#include "program/addresses.hpp"
#include "program/layout.hpp"

namespace karat::ptx {
namespace {

bool in_memory(const Variable& variable) { return variable.space != Space::shared; }

KernelInfo info_of(const Module& module, const Function& function) {
  Program program{.module = &module, .function = &function};
  lay_out_parameters(program);
  VariableAddresses of_module, of_function;
  lay_out_variables(program, of_module, of_function);
  KernelInfo info{.name = function.name,
                  .static_shared = program.shared_end - kSharedBase,
                  .local = program.local_bytes,
                  .most_threads = function.most_threads,
                  .most_registers = function.most_registers,
                  .required_cluster = function.required_cluster};
  for (const std::uint32_t each : function.required_block)
    if (each != 0) info.most_threads = std::max<std::uint64_t>(info.most_threads, 1) * each;
  for (const ParameterPlace& each : program.parameters)
    info.parameters.push_back({each.offset, each.bytes});
  return info;
}

const Variable& variable_named(const Module& module, std::string_view name) {
  for (const Variable& each : module.variables)
    if (in_memory(each) && each.name == name) return each;
  throw Error(ErrorKind::input_output, module.file,
              "it has no variable \"" + std::string(name) + "\"");
}

}  // namespace

std::shared_ptr<const LoadedModule> load_module(std::string_view ptx, const std::string& file) {
  return std::make_shared<const LoadedModule>(parse(ptx, file));
}

std::string_view version_of(const LoadedModule& loaded) { return loaded.module.version; }
std::string_view target_of(const LoadedModule& loaded) { return loaded.module.target; }

std::vector<KernelInfo> kernels_of(const LoadedModule& loaded) {
  std::vector<KernelInfo> list;
  for (const Function& each : loaded.module.functions)
    if (each.entry) list.push_back(info_of(loaded.module, each));
  return list;
}

std::vector<VariableInfo> variables_of(const LoadedModule& loaded) {
  std::vector<VariableInfo> list;
  for (const Variable& each : loaded.module.variables)
    if (in_memory(each)) list.push_back({each.name, each.bytes, each.align});
  return list;
}

std::vector<std::byte> initial_bytes(
    const LoadedModule& loaded, std::string_view variable,
    const std::function<std::uint64_t(std::string_view)>& address) {
  return initial_bytes_of(loaded.module, variable_named(loaded.module, variable), address);
}

std::vector<std::byte> initial_bytes_of(
    const Module& module, const Variable& found,
    const std::function<std::uint64_t(std::string_view)>& address) {
  std::vector<std::byte> bytes(found.bytes);
  if (!found.initial.empty())
    std::memcpy(bytes.data(), found.initial.data(), std::min(bytes.size(), found.initial.size()));
  for (const Relocation& each : found.relocations) {
    variable_named(module, each.symbol);
    const std::uint64_t value = address(each.symbol) + static_cast<std::uint64_t>(each.addend);
    const std::size_t left = bytes.size() - std::min<std::size_t>(each.offset, bytes.size());
    std::memcpy(bytes.data() + each.offset, &value, std::min<std::size_t>(8, left));
  }
  return bytes;
}

}  // namespace karat::ptx
