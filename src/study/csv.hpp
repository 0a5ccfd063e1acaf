// Numbers of a CSV.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <string>

namespace karat::study {

/// The shortest decimal that reads back the same; empty for NaN, which stands for "not known".
inline std::string csv_decimal(double value) {
  if (std::isnan(value)) return "";
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace karat::study
