// One cell of a model as the input of a case.
#pragma once

#include <cstdint>
#include <memory>

#include "karat/capture/source.hpp"

namespace karat::capture {

/// The head of one cell: batch 1, heads 1. Its values are read here.
/// @param seed of a generated gradient of the output
/// @throws Error(usage) for a cell that the source does not hold, or whose queries were saved in
/// part
/// @throws Error(input_output) for values that are missing, NaN or infinite
std::unique_ptr<cases::Inputs> cell_inputs(const Source& source, const Cell& cell,
                                           std::uint64_t seed, int threads);

}  // namespace karat::capture
