// Cells of the user's own model: a folder of saved tensors.
#pragma once

#include <filesystem>
#include <memory>

#include "karat/capture/source.hpp"

namespace karat::capture {

/// A folder of safetensors files, or one file, named as docs/study.md says.
/// @throws Error(input_output) naming the first thing that is missing, unknown or contradictory
std::unique_ptr<Source> folder_source(const std::filesystem::path& folder);

}  // namespace karat::capture
