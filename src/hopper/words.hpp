// Names as people type them: case and punctuation ignored, and the nearest known one suggested.
// Private to the hopper layer.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::hopper {

/// Lower case letters and digits alone: "H100-SXM" -> "h100sxm".
inline std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

/// The error for a name nobody knows, with the nearest one that somebody does.
/// @pre known is not empty
inline Error unknown_name(const std::string& what, std::string_view name,
                          const std::vector<std::string>& known) {
  std::string all;
  for (const std::string& each : known) all += (all.empty() ? "" : ", ") + each;
  const auto nearest = std::ranges::min_element(known, {}, [&](const std::string& each) {
    return numerics::edit_distance(plain(name), plain(each));
  });
  return Error(ErrorKind::usage, what, "\"" + std::string(name) + "\" is none of " + all,
               "did you mean " + *nearest + "?");
}

}  // namespace karat::hopper
