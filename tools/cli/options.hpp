// Values of options: whole numbers, extents, names; and the options of a request's table of fields
// (karat/files/request.hpp). Strict: "12x" or "3,3" is an error that says so.
#pragma once

#include <algorithm>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "command.hpp"
#include "karat/files/request.hpp"
#include "karat/numerics/base/choice.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/report/table.hpp"
#include "karat/video/grid.hpp"

namespace karat::cli {

/// @throws Error(usage) unless `text` is a whole number in [low, high]
std::int64_t parse_integer(std::string_view text, const std::string& option, std::int64_t low,
                           std::int64_t high = std::numeric_limits<std::int32_t>::max());
/// Likewise a number.
double parse_number(std::string_view text, const std::string& option, std::int64_t low,
                    std::int64_t high);
/// Numbers separated by commas.
std::vector<std::int64_t> parse_integers(std::string_view text, const std::string& option,
                                         std::int64_t low);
/// "T,H,W" or "TxHxW", each at least 1: grids, tiles and windows of every command.
video::Extent3 parse_extent(std::string_view text, const std::string& option);
/// An extent of tokens: 2^31 - 1 together at most, as token numbers are 32-bit.
video::Extent3 parse_grid(std::string_view text, const std::string& option);

/// Names separated by commas, spaces around them allowed. @throws Error(usage) for an empty one
std::vector<std::string> parse_names(std::string_view text, const std::string& option);

/// Of commands that compute with a recipe's instructions.
inline const Option kVerbose{"v,verbose", "also say what the recipe's instructions rest on",
                             Takes::nothing};
/// Of commands that print tables.
inline const Option kMarkdown{"markdown", "tables as Markdown", Takes::nothing};
/// @throws Error(usage) where --json was given too
report::TableStyle table_style(const cxxopts::ParseResult& given);

using numerics::Named;
using numerics::parse_choice;
using numerics::split;

/// "head_dim" -> "head-dim", or the row's own name.
template <typename Request>
std::string option_name(const files::RequestField<Request>& field) {
  std::string name(field.option.empty() ? field.name : field.option);
  std::ranges::replace(name, '_', '-');
  return name;
}

template <typename Request>
void add_options(CommandLine& line, std::span<const files::RequestField<Request>> fields,
                 const std::string& group = "") {
  for (const auto& field : fields)
    line.add({{option_name(field),
               std::string(field.meaning) +
                   (field.kind == files::FieldKind::extent ? " (TxHxW too)" : ""),
               field.kind == files::FieldKind::flag ? Takes::nothing : Takes::text,
               std::string(field.otherwise)}},
             group);
}

/// The whole number in [low, high] that an option was given, or `otherwise`.
int whole(const cxxopts::ParseResult& given, const std::string& option, int otherwise, int low,
          int high = std::numeric_limits<int>::max());
/// The same of --seed.
std::uint64_t seed_of(const cxxopts::ParseResult& given, std::uint64_t otherwise = 0);

/// The value of one option. @throws Error(usage) about `subject` where it is not of the kind
files::FieldValue parse_value(const std::string& text, const std::string& subject,
                              files::FieldKind kind, std::int64_t low, std::int64_t high);

/// Writes what was given; the rest keeps its defaults.
template <typename Request>
void read_options(const cxxopts::ParseResult& given,
                  std::span<const files::RequestField<Request>> fields, Request& request) {
  for (const auto& field : fields) {
    const std::string name = option_name(field), subject = "--" + name;
    if (given.count(name) == 0) continue;
    const bool flag = field.kind == files::FieldKind::flag;
    const std::string text = flag ? "" : given[name].template as<std::string>();
    field.write(request, parse_value(text, subject, field.kind, field.low, field.high), subject);
  }
}

/// @throws Error(usage) where one of the options was given beside --`with`
void refuse_beside(const cxxopts::ParseResult& given, const std::string& with,
                   std::initializer_list<std::string> options);
template <typename Request>
void refuse_beside(const cxxopts::ParseResult& given, const std::string& with,
                   std::span<const files::RequestField<Request>> fields) {
  for (const auto& field : fields) refuse_beside(given, with, {option_name(field)});
}

}  // namespace karat::cli
