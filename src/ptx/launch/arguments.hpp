// Private: arguments as the bytes a kernel finds in its parameter space.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "karat/ptx/launch.hpp"
#include "program/program.hpp"

namespace karat::ptx {

/// Where a tensor of the launch lies in global memory.
using TensorAddresses = std::map<std::string, std::uint64_t>;

/// @throws Error(usage) for an argument that is not as large as the parameter, an unknown tensor, a
/// map that cuTensorMapEncodeTiled would refuse
std::vector<std::byte> argument_bytes(const Launch& launch, const Program& program,
                                      const TensorAddresses& addresses);

}  // namespace karat::ptx
