// Cells of the denoising model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "karat/capture/source.hpp"
#include "karat/video/denoising.hpp"

namespace karat::capture {

struct GeneratedSource {
  video::DenoisingSpec spec;
  std::string model = "wan2.1-1.3b";  ///< whose schedule of sigma and guidance
  int prompts = 1;
  std::vector<int> steps, layers, heads;  ///< which ones, ascending
  std::vector<video::Branch> branches{video::Branch::conditional, video::Branch::unconditional};
};
/// @throws Error(usage) for empty lists and indices out of range
std::unique_ptr<Source> generated_source(const GeneratedSource& source);

/// `count` of [0, total), evenly spread with both ends; all of them when count >= total.
std::vector<int> spread(int count, int total);

}  // namespace karat::capture
