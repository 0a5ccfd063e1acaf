// What people ask of a run: the launch file and what may stand beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "karat/files/request.hpp"
#include "karat/ptx/launch.hpp"

namespace karat::ptx {

struct RunRequest {
  std::string launch;
  std::optional<Fuse> fuse;  ///< empty: as the launch file says
  std::optional<std::int64_t> limit;
  bool hazards = false;
  bool taps = false;
  Schedule schedule = Schedule::eager;
  std::uint64_t seed = 0;
  int threads = 0;
};
std::span<const files::RequestField<RunRequest>> run_fields();

/// read_launch() with what the request says beside it.
Launch launch_of(const RunRequest& request);

}  // namespace karat::ptx
