// A PTX module that is read once and launched often, and what is in it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/ptx/launch.hpp"

namespace karat::ptx {

/// @param file  what errors call it
/// @throws Error(input_output) with the line where it cannot be read
std::shared_ptr<const LoadedModule> load_module(std::string_view ptx, const std::string& file);

/// The version of the PTX, "9.0", and its target, "sm_90a".
std::string_view version_of(const LoadedModule& module);
std::string_view target_of(const LoadedModule& module);

struct KernelInfo {
  std::string name;
  struct Parameter {
    std::uint64_t offset = 0, bytes = 0;
  };
  std::vector<Parameter> parameters;
  std::uint64_t static_shared = 0, local = 0;       ///< bytes, local of a thread
  std::uint64_t most_threads = 0;                   ///< .maxntid; 0: any
  std::uint32_t most_registers = 0;                 ///< .maxnreg; 0: any
  std::array<std::uint32_t, 3> required_cluster{};  ///< .reqnctapercluster; zeros: any
};
/// Of all entries, in the module's order.
std::vector<KernelInfo> kernels_of(const LoadedModule& module);

/// A variable in global or constant memory.
struct VariableInfo {
  std::string name;
  std::uint64_t bytes = 0, align = 1;
};
std::vector<VariableInfo> variables_of(const LoadedModule& module);

/// What a variable holds before the first launch: its initial values, then zeros.
/// @param address  of a variable, for those that hold the address of another one
/// @throws Error(input_output) for a variable, or the address of one, that the module has not
std::vector<std::byte> initial_bytes(const LoadedModule& module, std::string_view variable,
                                     const std::function<std::uint64_t(std::string_view)>& address);

}  // namespace karat::ptx
