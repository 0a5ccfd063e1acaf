// Parsing with std::from_chars; nothing may be left over.
#include "values.hpp"

#include <charconv>

namespace karat::cli {

std::int64_t parse_integer(std::string_view text, const std::string& option, std::int64_t low,
                           std::int64_t high) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    throw Error(ErrorKind::usage, option,
                "\"" + std::string(text) + "\" is not a whole number from " + std::to_string(low) +
                    " to " + std::to_string(high),
                "give one number");
  return value;
}

std::vector<std::int64_t> parse_integers(std::string_view text, const std::string& option,
                                         std::int64_t low) {
  std::vector<std::int64_t> values;
  for (const std::string_view part : split(text, ','))
    values.push_back(parse_integer(part, option, low));
  return values;
}

video::Extent3 parse_extent(std::string_view text, const std::string& option) {
  const std::vector<std::int64_t> v = parse_integers(text, option, 1);
  if (v.size() != 3)
    throw Error(ErrorKind::usage, option,
                "\"" + std::string(text) + "\" has " + std::to_string(v.size()) + " numbers",
                "give three: time,height,width");
  return {static_cast<int>(v[0]), static_cast<int>(v[1]), static_cast<int>(v[2])};
}

video::Extent3 parse_grid(std::string_view text, const std::string& option) {
  const video::Extent3 grid = parse_extent(text, option);
  if (double{1} * grid.t * grid.h * grid.w > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::usage, option, video::to_string(grid) + " has more than 2^31 - 1 tokens",
                "give a smaller grid");
  return grid;
}

}  // namespace karat::cli
