// A check as one self-contained HTML page: the stage table, ulp histograms, heat maps of o by tile.
#pragma once

#include <string>

#include "karat/golden/check.hpp"

namespace karat::cli {

std::string check_html(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate);

}  // namespace karat::cli
