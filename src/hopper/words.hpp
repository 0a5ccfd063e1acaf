// Names as people type them: case and punctuation ignored, and the nearest known one suggested.
// Private to the hopper layer.
#pragma once

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
  const std::string wanted = plain(name);
  std::vector<std::string> forms;
  for (const std::string& each : known) forms.push_back(plain(each));
  const std::string nearest =
      numerics::nearest_name(wanted, forms, [](const std::string& form) { return form; });
  std::size_t index = 0;
  while (forms[index] != nearest) ++index;
  return Error(ErrorKind::usage, what, "\"" + std::string(name) + "\" is none of " + all,
               "did you mean " + known[index] + "?");
}

}  // namespace karat::hopper
