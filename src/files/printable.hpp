// Names found in files, made fit for a one-line message.
// Control characters are shown as \xNN and very long names are cut.
#pragma once

#include <string>
#include <string_view>

namespace karat::files {

inline std::string printable(std::string_view name) {
  constexpr std::size_t kLongest = 120;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const char c : name.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return name.size() > kLongest ? text + "..." : text;
}

}  // namespace karat::files
