// Text of the command line into values.
#include "request_options.hpp"

#include <charconv>

#include "values.hpp"

namespace karat::cli {
namespace {

double parse_number(const std::string& text, const std::string& subject, std::int64_t low,
                    std::int64_t high) {
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error == std::errc{} && end == last && value >= static_cast<double>(low) &&
      value <= static_cast<double>(high))
    return value;
  throw Error(ErrorKind::usage, subject,
              "\"" + text + "\" is not a number from " + std::to_string(low) + " to " +
                  std::to_string(high),
              "give one number");
}

}  // namespace

int whole(const cxxopts::ParseResult& given, const std::string& option, int otherwise, int low) {
  const auto text = text_of(given, option);
  return text ? static_cast<int>(parse_integer(*text, "--" + option, low)) : otherwise;
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
      const video::Extent3 extent = parse_extent(text, subject);
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

void refuse_beside(const cxxopts::ParseResult& given, const std::string& with,
                   std::initializer_list<std::string> options) {
  for (const std::string& option : options)
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, "--" + option, "cannot stand beside --" + with,
                  "leave one out");
}

}  // namespace karat::cli
