// Parsing of one command's options, with the nearest name for what is misspelt.
#include "command.hpp"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/suggest.hpp"

namespace karat::cli {
namespace {

/// cxxopts quotes with typographic marks; ours are plain.
std::string plain_quotes(std::string text) {
  for (const std::string_view mark : {"\u2018", "\u2019"})
    for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark))
      text.replace(at, mark.size(), "\"");
  return text;
}

}  // namespace

CommandLine::CommandLine(std::string name, std::string summary, std::vector<std::string> positional)
    : name_(std::move(name)),
      positional_(std::move(positional)),
      options_("karat " + name_, std::move(summary)) {
  std::string usage;
  for (const std::string& argument : positional_) usage += " " + argument;
  options_.positional_help(usage.empty() ? "" : usage.substr(1)).custom_help("[OPTIONS]");
  options_.set_width(100);
  options_.add_options()("h,help", "show this help")("json", "print JSON (docs/json.md)")(
      "quiet", "no narration on stderr");
  if (!positional_.empty()) options_.parse_positional(positional_);
}

void CommandLine::add(const std::vector<Option>& options, const std::string& group) {
  for (const auto& [name, meaning, takes, otherwise] : options) {
    auto value = takes == Takes::nothing ? cxxopts::value<bool>()
                 : takes == Takes::texts ? cxxopts::value<std::vector<std::string>>()
                                         : cxxopts::value<std::string>();
    if (!otherwise.empty()) value->default_value(otherwise);
    options_.add_options(group)(name, meaning, value);
  }
}

std::string CommandLine::help() const {
  std::string text = options_.help();
  // Positional arguments stand in the usage line; as options they would be listed twice.
  for (const std::string& argument : positional_) {
    const auto at = text.find("      --" + argument + " ");
    if (at != std::string::npos) text.erase(at, text.find('\n', at) + 1 - at);
  }
  if (!note_.empty()) text += "\n" + note_ + "\n";
  return text + examples_of(name_);
}

void CommandLine::require_known(int argc, char** argv) const {
  std::vector<std::string> known;
  for (const std::string& group : options_.groups())
    for (const auto& option : options_.group_help(group).options)
      known.insert(known.end(), option.l.begin(), option.l.end());
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--") return;
    if (!argument.starts_with("--")) continue;
    const std::string name(argument.substr(2, argument.find('=') - 2));
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest =
        numerics::nearest_name(name, known, [](const std::string& k) { return k; });
    throw Error(ErrorKind::usage, "--" + name, "karat " + name_ + " has no such option",
                "did you mean --" + nearest + "?");
  }
}

std::optional<cxxopts::ParseResult> CommandLine::parse(int argc, char** argv) {
  require_known(argc, argv);
  try {
    cxxopts::ParseResult given = options_.parse(argc, argv);
    if (given.count("help") > 0) {
      std::cout << help();
      return std::nullopt;
    }
    if (!given.unmatched().empty())
      throw Error(ErrorKind::usage, given.unmatched().front(), "one argument too many",
                  "see karat " + name_ + " --help");
    return given;
  } catch (const cxxopts::exceptions::exception& error) {
    throw Error(ErrorKind::usage, "karat " + name_, plain_quotes(error.what()),
                "see karat " + name_ + " --help");
  }
}

std::optional<std::string> text_of(const cxxopts::ParseResult& given, const std::string& option) {
  if (given.count(option) == 0) return std::nullopt;
  return given[option].as<std::string>();
}

std::string required(const cxxopts::ParseResult& given, const std::string& option) {
  if (const auto text = text_of(given, option)) return *text;
  throw Error(ErrorKind::usage, option, "missing", "see --help");
}

Narration narration(const cxxopts::ParseResult& given) {
  return given.count("quiet") > 0 ? Narration::quiet : Narration::spoken;
}

std::string typed(int argc, char** argv) {
  std::string text = "karat";
  for (int i = 0; i < argc; ++i) text += std::string(" ") + argv[i];
  return text;
}

void print_json(const std::string& schema, int version, const files::Json& body) {
  files::Json json{{"schema", "karat." + schema}, {"version", version}};
  for (const auto& [key, value] : body.items()) json[key] = value;
  std::cout << files::format_json(json);
}

}  // namespace karat::cli
