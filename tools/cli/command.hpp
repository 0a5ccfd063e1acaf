// One command of the command line: its row in the table, its options, its errors.
// Data goes to stdout, narration to stderr; an Error becomes one line and an exit code.
#pragma once

#include <cxxopts.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "terminal.hpp"

namespace karat::cli {

enum ExitCode { match = 0, mismatch = 1, usage = 2, input_output = 3, internal = 4 };

struct Command {
  std::string_view name;
  std::string_view summary;           ///< one line, for `karat --help`
  int (*run)(int argc, char** argv);  ///< argv[0] is the command's name; returns an ExitCode
};

/// The table in commands.cpp, of these.
std::span<const Command> commands();
int run_codec(int argc, char** argv);
int run_cost(int argc, char** argv);
int run_diagnose(int argc, char** argv);
int run_evidence(int argc, char** argv);
int run_export(int argc, char** argv);
int run_attend(int argc, char** argv);
int run_check(int argc, char** argv);
int run_inspect(int argc, char** argv);
int run_make(int argc, char** argv);
int run_mask(int argc, char** argv);
int run_mma(int argc, char** argv);
int run_recipes(int argc, char** argv);
int run_run(int argc, char** argv);
int run_study(int argc, char** argv);
int run_sweep(int argc, char** argv);
int run_tune(int argc, char** argv);

/// What stands behind an option.
enum class Takes { text, nothing, texts };

struct Option {
  std::string name;  ///< "heads", or with its letter "o,out"
  std::string meaning;
  Takes takes = Takes::text;
  std::string otherwise = {};  ///< the default, as help shows it
};

/// The options of one command: its own, and --help, --json, --quiet.
class CommandLine {
 public:
  /// @param positional names of the options filled by position, shown in the usage line as given
  CommandLine(std::string name, std::string summary, std::vector<std::string> positional = {});

  void add(const std::vector<Option>& options, const std::string& group = "");
  /// A paragraph at the end of the help.
  void note(std::string text) { note_ = std::move(text); }

  /// Nothing when --help was asked for (and printed).
  /// @throws Error(usage) for anything unknown, naming the nearest option
  std::optional<cxxopts::ParseResult> parse(int argc, char** argv);

 private:
  std::string help() const;
  void require_known(int argc, char** argv) const;

  std::string name_;
  std::vector<std::string> positional_;
  std::string note_;
  cxxopts::Options options_;
};

/// The examples of a command's help, "sweep plan" for one below another; nothing where it has none.
std::string examples_of(std::string_view command);

/// The text of an option, or nothing.
std::optional<std::string> text_of(const cxxopts::ParseResult& given, const std::string& option);
/// @throws Error(usage) when a positional argument or option is missing.
std::string required(const cxxopts::ParseResult& given, const std::string& option);

/// Quiet where --quiet was given.
Narration narration(const cxxopts::ParseResult& given);

/// "karat study --grid ...": a command as it was typed, argv[0] its name.
std::string typed(int argc, char** argv);

/// Prints a command's JSON: {"schema": "karat.NAME", "version": 1, ...}, fields as docs/json.md
/// says.
void print_json(const std::string& schema, int version, const files::Json& body);

}  // namespace karat::cli
