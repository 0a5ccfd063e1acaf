// The CPU twins of the GPU programs in tools/hopper: the same files, written by the emulator.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "karat/evidence/interpolator.hpp"

namespace karat::evidence {

/// Sizes of a synthetic capture; the defaults are those of the GPU programs.
struct EmulateOptions {
  std::uint64_t seed = 1;
  std::uint32_t tiles = 2048;  ///< of 512 cases, per instruction
  std::uint32_t chain_tiles = 8;
  std::uint32_t sweep_step = 1;  ///< every n-th block of 2^20 inputs
  int threads = 0;
  std::vector<std::string> only;  ///< files to write, named without ending; empty: all
};

/// Made-up coefficients of the published structure: quadratics through three points of each
/// segment, rounded. They stand in for the measured ones, which do not exist yet; a GPU's values
/// differ.
QuadraticTable synthetic_ex2_table();
QuadraticTable synthetic_rcp_table();

/// Writes a whole capture with manifest "origin": "emulator". @throws Error(input_output)
void emulate_capture(const std::filesystem::path& folder, const EmulateOptions& options = {});

}  // namespace karat::evidence
