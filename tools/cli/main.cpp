// karat: finds the command, runs it, turns errors into one line and an exit code.
#include <algorithm>
#include <csignal>
#include <exception>
#include <iostream>
#include <new>
#include <span>
#include <vector>

#include "command.hpp"
#include "interrupt.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "terminal.hpp"
#include "version.hpp"

namespace {

using karat::Error;
using karat::ErrorKind;
using karat::cli::Command;

std::string help() {
  std::string text =
      "karat measures how pure a kernel's gold is: FP8 block-sparse video attention, bit for bit.\n"
      "\nusage: karat COMMAND [OPTIONS]     karat help COMMAND     karat --version\n\n";
  for (const Command& command : karat::cli::commands())
    text +=
        "  " + std::string(command.name) +
        std::string(std::max<std::size_t>(12, command.name.size() + 2) - command.name.size(), ' ') +
        std::string(command.summary) + "\n";
  return text +
         "\nexit codes: 0 match, 1 mismatch or undecided, 2 usage, 3 input or output, 4 internal\n";
}

const Command& find_command(std::string_view name) {
  const auto table = karat::cli::commands();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Command& command) { return command.name == name; });
  if (found != table.end()) return *found;
  const std::string nearest =
      karat::numerics::nearest_name(name, table, [](const Command& c) { return c.name; });
  throw Error(ErrorKind::usage, std::string(name), "no such command",
              "did you mean karat " + nearest + "?");
}

/// `karat help make` is `karat make --help`, `karat help sweep plan` likewise.
int help_on(std::span<char*> words) {
  std::string option = "--help";
  std::vector<char*> line(words.begin(), words.end());
  line.push_back(option.data());
  return find_command(words.front()).run(static_cast<int>(line.size()), line.data());
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << help();
    return karat::cli::usage;
  }
  const std::string_view first = argv[1];
  if (first == "help" && argc > 2) return help_on({argv + 2, static_cast<std::size_t>(argc) - 2});
  if (first == "--help" || first == "-h" || first == "help") {
    std::cout << help();
    return karat::cli::match;
  }
  if (first == "--version" || first == "-V") {
    std::cout << "karat " << KARAT_VERSION << "\n";
    return karat::cli::match;
  }
  return find_command(first).run(argc - 1, argv + 1);
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return karat::cli::usage;
    case ErrorKind::input_output:
      return karat::cli::input_output;
    case ErrorKind::internal:
      break;
  }
  return karat::cli::internal;
}

int report(std::string_view line, int code) {
  std::cerr << "karat: " << karat::cli::one_line(line) << "\n";
  return code;
}

int report_interrupt(int signal) { return report(karat::cli::interrupted_line(), 128 + signal); }

/// A full disk behind stdout shows only when the last bytes are pushed out.
int flushed(int code) {
  std::cout.flush();
  if (std::cout) return code;
  return report("standard output: cannot be written; check the disk and the pipe",
                karat::cli::input_output);
}

}  // namespace

int main(int argc, char** argv) {
  karat::cli::catch_interrupts();
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error of the write, not a death
  try {
    return flushed(run(argc, argv));
  } catch (const karat::cli::Interrupted& interrupted) {
    return report_interrupt(interrupted.signal);
  } catch (const Error& error) {
    // Ctrl-C reaches helper processes too; what they then fail at is no error of its own.
    if (const int signal = karat::cli::interrupted_by()) return report_interrupt(signal);
    return report(error.what(), exit_code(error.kind()));
  } catch (const std::bad_alloc&) {
    return report("memory: not enough for this case; use fewer threads or a smaller grid",
                  karat::cli::input_output);
  } catch (const std::exception& error) {
    return report(std::string("internal: ") + error.what() + "; please report this",
                  karat::cli::internal);
  }
}
