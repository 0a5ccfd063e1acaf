// What the warps of one CTA did, and for whom they waited.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"

namespace karat::ptx {

/// Times count instructions of warps: one more for each that a warp ran, and after a wait at least
/// what those had who ended it. They order what happened; they are no time of a GPU.
struct Timeline {
  enum class Kind : std::uint8_t { run, wait, tensor };
  struct Slice {
    Kind kind = Kind::run;
    std::uint64_t begin = 0, end = 0;
    std::string what;  ///< the instruction waited at, or that issued the tensor core's work
  };
  /// One of a warp, or of the wgmmas it has under way.
  struct Track {
    std::string name;
    std::vector<Slice> slices;
  };
  /// A barrier's phase that ended.
  struct Mark {
    std::uint64_t at = 0;
    std::string what;  ///< "barrier 1", "mbarrier 0x14000"
  };
  std::string title;  ///< the kernel and the CTA
  std::vector<Track> tracks;
  std::vector<Mark> marks;
  bool cut = false;  ///< slices beyond the limit are left out
};

/// Chrome's trace format, which ui.perfetto.dev opens: one instruction a microsecond.
files::Json to_trace(const Timeline& timeline);
std::string to_svg(const Timeline& timeline);

}  // namespace karat::ptx
