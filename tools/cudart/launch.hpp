// Launches: run by karat's executor, recorded, or both.
#pragma once

#include "abi.hpp"

namespace karat::cudart {

/// A launch to its end. @return a cudaError_t
/// @throws Error where the PTX cannot be read or the launch does not fit the kernel
int launch(const void* kernel, const LaunchConfig& config, void** arguments);

}  // namespace karat::cudart
