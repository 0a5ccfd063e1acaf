// Private: one entry of a launch file's "taps".
#pragma once

#include "karat/files/json_file.hpp"
#include "karat/ptx/tap.hpp"

namespace karat::ptx {

Tap read_tap(const files::Json& json, const std::string& path);

}  // namespace karat::ptx
