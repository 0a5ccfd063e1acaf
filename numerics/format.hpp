// Number formats as one table of data; everything else about a format is derived from its row.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace karat::numerics {

enum class FormatId : std::uint8_t {
  e4m3, e5m2, e8m0, e2m1, f16, bf16, tf32, f32, int8, int4
};

}  // namespace karat::numerics
