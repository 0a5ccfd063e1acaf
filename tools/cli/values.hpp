// Values of options: whole numbers, extents, names. Strict: "12x" or "3,3" is an error that says so.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "karat/video/grid.hpp"

namespace karat::cli {

/// @throws Error(usage) unless `text` is a whole number in [low, high]
std::int64_t parse_integer(std::string_view text, const std::string& option, std::int64_t low,
                           std::int64_t high = std::numeric_limits<std::int32_t>::max());
/// Numbers separated by commas.
std::vector<std::int64_t> parse_integers(std::string_view text, const std::string& option,
                                         std::int64_t low);
/// "T,H,W", each at least 1.
video::Extent3 parse_extent(std::string_view text, const std::string& option);

template <typename Enum>
struct Named {
  std::string_view name;
  Enum value;
};
/// @throws Error(usage) naming the nearest choice
template <typename Enum, std::size_t n>
Enum parse_choice(std::string_view text, const std::string& option, const Named<Enum> (&table)[n]) {
  const auto name = [](const Named<Enum>& row) { return row.name; };
  for (const auto& row : table)
    if (row.name == text) return row.value;
  std::string choices;
  for (const auto& row : table)
    choices += (choices.empty() ? "" : ", ") + std::string(row.name);
  throw Error(ErrorKind::usage, option, "\"" + std::string(text) + "\" is none of " + choices,
              "did you mean " + numerics::nearest_name(text, table, name) + "?");
}

}  // namespace karat::cli
