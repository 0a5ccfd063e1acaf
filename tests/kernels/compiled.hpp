// Kernels of tests/data/kernels/triton as they were compiled, and launches of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "karat/ptx/launch.hpp"

namespace karat::kernels {

/// The folder of NAME.ptx and NAME.json.
std::filesystem::path compiled_folder();

/// A tensor (its memory, and whether it is returned) or a number.
using Given = std::variant<ptx::LaunchTensor, std::int32_t, float>;
using Arguments = std::map<std::string, Given>;

/// A launch of NAME.ptx as NAME.json describes it: threads, shared and scratch memory, and the
/// parameters that Triton makes of each argument. A tensor whose argument is a descriptor has two
/// dimensions.
ptx::Launch compiled_launch(const std::string& name, ptx::Dimensions grid, Arguments arguments);

/// @{ Tensors of a launch.
ptx::LaunchTensor codes(std::vector<std::size_t> shape, const std::vector<std::uint8_t>& e4m3);
ptx::LaunchTensor bf16(std::vector<std::size_t> shape, const std::vector<float>& values);
ptx::LaunchTensor numbers(std::vector<std::size_t> shape, const std::vector<float>& values);
ptx::LaunchTensor integers(const std::vector<std::int32_t>& values);
ptx::LaunchTensor output(files::DType type, std::vector<std::size_t> shape);
/// @}

}  // namespace karat::kernels
