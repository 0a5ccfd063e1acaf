// Values of options, and the options of a request's table of fields (karat/files/request.hpp).
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "command.hpp"
#include "karat/files/request.hpp"

namespace karat::cli {

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
  for (const auto& field : fields) {
    const std::string name = option_name(field), meaning(field.meaning);
    if (field.kind == files::FieldKind::flag)
      line.add(group)(name, meaning);
    else if (field.otherwise.empty())
      line.add(group)(name, meaning, cxxopts::value<std::string>());
    else
      line.add(group)(name, meaning,
                      cxxopts::value<std::string>()->default_value(std::string(field.otherwise)));
  }
}

/// The whole number from `low` that an option was given, or `otherwise`.
int whole(const cxxopts::ParseResult& given, const std::string& option, int otherwise, int low);

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
    const std::string text =
        field.kind == files::FieldKind::flag ? "" : given[name].as<std::string>();
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
