// Private: where parameters and variables of a kernel lie in their state spaces.
#pragma once

#include <cstdint>
#include <vector>

#include "program/program.hpp"

namespace karat::ptx {

/// Addresses of variables by their index in the module or the function.
using VariableAddresses = std::vector<std::uint64_t>;

/// Parameters in order, each at its natural or declared alignment.
void lay_out_parameters(Program& program);

/// Shared variables from kSharedBase, dynamic shared memory behind them, local ones from 0.
/// @param of_module  addresses of global and constant variables are there; shared ones are added
/// @throws Error(input_output) where static shared memory is too large
void lay_out_variables(Program& program, VariableAddresses& of_module,
                       VariableAddresses& of_function);

}  // namespace karat::ptx
