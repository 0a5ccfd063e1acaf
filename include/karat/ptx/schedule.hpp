// When asynchronous work takes effect, and which warp runs next.
#pragma once

#include <cstdint>

namespace karat::ptx {

/// A correct kernel gives the same bits under all of them.
enum class Schedule : std::uint8_t {
  eager,   ///< at its issue; warps in order
  late,    ///< when somebody has waited for it, or no warp can go on; warps in reverse order
  random,  ///< either, warps in any order and for any time, by Launch::seed
};

}  // namespace karat::ptx
