// Lists in one line of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace karat::numerics {

/// The parts between separators, in order, empty ones too: "a,,b" has three, "" has one.
inline std::vector<std::string> split(std::string_view list, char separator = ',') {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = list.find(separator);
    parts.emplace_back(list.substr(0, end));
    if (end == std::string_view::npos) return parts;
    list.remove_prefix(end + 1);
  }
}

/// The parts that are not empty: "a,,b," has two, "" has none.
inline std::vector<std::string> words(std::string_view list, char separator = ',') {
  std::vector<std::string> parts = split(list, separator);
  std::erase(parts, "");
  return parts;
}

}  // namespace karat::numerics
