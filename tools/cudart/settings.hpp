// What environment variables say; docs/run.md describes them.
#pragma once

#include <cstdint>
#include <string>

#include "karat/ptx/launch.hpp"

namespace karat::cudart {

enum class Mode : std::uint8_t {
  run,     ///< launches run
  record,  ///< they are written as launch files, and do not run
  both,    ///< written, run, and what they left written too
};

struct Settings {
  Mode mode = Mode::run;
  std::string folder;  ///< of recordings
  std::string report;  ///< a file the fidelity reports are appended to; "-": stderr; empty: none
  ptx::Fuse fuse = ptx::Fuse::ptxas;
  ptx::HazardSearch hazards = ptx::HazardSearch::off;
  ptx::Schedule schedule = ptx::Schedule::eager;
  std::uint64_t seed = 0;
  std::uint64_t limit = 4'000'000'000;
  int threads = 0;
};

/// Read once. @throws Error(usage) naming the variable
const Settings& settings();

}  // namespace karat::cudart
