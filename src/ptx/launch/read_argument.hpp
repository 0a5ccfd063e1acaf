// Private: one entry of a launch file's "parameters".
#pragma once

#include "karat/ptx/launch.hpp"

namespace karat::ptx {

Argument read_argument(const files::Json& json, const std::string& path);

}  // namespace karat::ptx
