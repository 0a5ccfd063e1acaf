// Text of the command line into values, with nothing left over.
#include "options.hpp"

#include <array>
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

double parse_number(std::string_view text, const std::string& option, std::int64_t low,
                    std::int64_t high) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() &&
      value >= static_cast<double>(low) && value <= static_cast<double>(high))
    return value;
  throw Error(ErrorKind::usage, option,
              "\"" + std::string(text) + "\" is not a number from " + std::to_string(low) + " to " +
                  std::to_string(high),
              "give one number");
}

std::vector<std::int64_t> parse_integers(std::string_view text, const std::string& option,
                                         std::int64_t low) {
  std::vector<std::int64_t> values;
  for (const std::string_view part : split(text, ','))
    values.push_back(parse_integer(part, option, low));
  return values;
}

video::Extent3 parse_extent(std::string_view text, const std::string& option) {
  const auto parts = split(text, text.find('x') == std::string_view::npos ? ',' : 'x');
  std::array<int, 3> extent{};
  bool whole = parts.size() == extent.size();
  for (std::size_t i = 0; whole && i < extent.size(); ++i) {
    const char *begin = parts[i].data(), *end = begin + parts[i].size();
    const auto [stop, error] = std::from_chars(begin, end, extent[i]);
    whole = error == std::errc{} && stop == end && extent[i] >= 1;
  }
  if (!whole)
    throw Error(
        ErrorKind::usage, option,
        "\"" + std::string(text) + "\" is not three whole numbers from 1 (time, height, width)",
        "give T,H,W or TxHxW, as 21,30,52 or 21x30x52");
  return {extent[0], extent[1], extent[2]};
}

video::Extent3 parse_grid(std::string_view text, const std::string& option) {
  const video::Extent3 grid = parse_extent(text, option);
  if (double{1} * grid.t * grid.h * grid.w > std::numeric_limits<std::int32_t>::max())
    throw Error(ErrorKind::usage, option, video::to_string(grid) + " has more than 2^31 - 1 tokens",
                "give a smaller grid");
  return grid;
}

int whole(const cxxopts::ParseResult& given, const std::string& option, int otherwise, int low,
          int high) {
  const auto text = text_of(given, option);
  return text ? static_cast<int>(parse_integer(*text, "--" + option, low, high)) : otherwise;
}

std::uint64_t seed_of(const cxxopts::ParseResult& given, std::uint64_t otherwise) {
  const auto text = text_of(given, "seed");
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  return text ? static_cast<std::uint64_t>(parse_integer(*text, "--seed", 0, kMost)) : otherwise;
}

files::FieldValue parse_value(const std::string& text, const std::string& subject,
                              files::FieldKind kind, std::int64_t low, std::int64_t high) {
  switch (kind) {
    case files::FieldKind::text:
      break;
    case files::FieldKind::whole:
      return parse_integer(text, subject, low, high);
    case files::FieldKind::number:
      return parse_number(text, subject, low, high);
    case files::FieldKind::flag:
      return true;
    case files::FieldKind::extent: {
      const video::Extent3 extent = parse_grid(text, subject);
      return std::array{extent.t, extent.h, extent.w};
    }
    case files::FieldKind::texts: {
      if (text.empty()) return std::vector<std::string>{};
      const auto parts = split(text, ',');
      return std::vector<std::string>(parts.begin(), parts.end());
    }
  }
  return text;
}

std::vector<std::string> parse_names(std::string_view text, const std::string& option) {
  std::vector<std::string> names;
  for (std::string_view part : split(text)) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (part.empty())
      throw Error(ErrorKind::usage, option, "has an empty name in its list",
                  "give names separated by commas");
    names.emplace_back(part);
  }
  return names;
}

report::TableStyle table_style(const cxxopts::ParseResult& given) {
  if (given.count("markdown") == 0) return report::TableStyle::aligned;
  refuse_beside(given, "markdown", {"json"});
  return report::TableStyle::markdown;
}

void refuse_beside(const cxxopts::ParseResult& given, const std::string& with,
                   std::initializer_list<std::string> options) {
  for (const std::string& option : options)
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, "--" + option, "cannot stand beside --" + with,
                  "leave one out");
}

}  // namespace karat::cli
