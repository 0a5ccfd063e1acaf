// A text file compiled into the library (presets, machines, coefficient tables).
// Produced by karat_embed() in tools/cmake; an installed binary needs no data folder.
#pragma once

#include <span>
#include <string_view>

namespace karat::numerics {

struct EmbeddedFile {
  std::string_view name;  ///< file name without folder and ending
  std::string_view text;  ///< whole content
};

}  // namespace karat::numerics
