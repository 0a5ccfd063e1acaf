// Which cells and query tiles of a real model to save: a stratified sample small enough to keep.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/video/denoising.hpp"
#include "karat/video/grid.hpp"

namespace karat::capture {

struct PlanSpec {
  std::string model = "wan2.1-14b";
  std::string resolution;  ///< empty: the model's first
  int prompts = 4;
  int step_strata = 5,
      layer_strata = 4;  ///< the model's steps and layers, cut into equal stretches
  int cells = 2;         ///< drawn from every stratum
  int query_tiles = 8;   ///< of each cell
  video::Extent3 tile{6, 8, 8};
  std::vector<video::Branch> branches;  ///< empty: those of the model's guidance
  std::uint64_t seed = 0;
};

/// The plan as docs/study.md describes it. Steps and layers are cut into stretches that differ by
/// at most one, each stratum gives the same number of cells, so that plain means over cells are
/// estimates of the model's; tiles are drawn one from each of `query_tiles` equal stretches of
/// their ids.
/// @throws Error(usage) for unknown models and counts that do not fit
files::Json make_plan(const PlanSpec& spec);

}  // namespace karat::capture
