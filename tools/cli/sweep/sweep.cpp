// karat sweep: many heads on many machines. This file finds the command behind it.
#include "sweep/sweep.hpp"

#include <algorithm>
#include <iostream>

#include "karat/numerics/base/suggest.hpp"

namespace karat::cli {
namespace {

constexpr Command kCommands[] = {
    {"plan", "list the shards that a spec asks for, with their cost", run_sweep_plan},
    {"run", "compute shards of a plan: alone, in a Slurm array, under MPI", run_sweep_run},
    {"status", "what is done, running and failed", run_sweep_status},
    {"retry", "put failed shards back", run_sweep_retry},
    {"merge", "make one file of all results, and a manifest", run_sweep_merge},
};

std::string sweep_help() {
  std::string text =
      "Many heads on many machines: a list of shards that survives anything.\n\n"
      "usage: karat sweep COMMAND [OPTIONS]     karat sweep COMMAND --help\n\n";
  for (const Command& command : kCommands)
    text += "  " + std::string(command.name) + std::string(12 - command.name.size(), ' ') +
            std::string(command.summary) + "\n";
  return text + "\nSpecs, Slurm and MPI: docs/scale.md\n";
}

}  // namespace

int run_sweep(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    std::cout << sweep_help();
    return match;
  }
  if (name.empty())
    throw Error(ErrorKind::usage, "karat sweep", "names no command",
                "give plan, run, status, retry or merge");
  const auto found = std::ranges::find(kCommands, name, &Command::name);
  if (found == std::end(kCommands))
    throw Error(
        ErrorKind::usage, std::string(name), "karat sweep has no such command",
        "did you mean karat sweep " +
            numerics::nearest_name(name, kCommands, [](const Command& c) { return c.name; }) + "?");
  return found->run(argc - 1, argv + 1);
}

sweep::Plan opened_plan(const cxxopts::ParseResult& given) {
  std::error_code error;
  std::filesystem::path folder =
      std::filesystem::absolute(required(given, "plan"), error).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  return sweep::Plan(folder);
}

std::vector<std::size_t> only_of(const cxxopts::ParseResult& given, const sweep::Plan& plan) {
  std::vector<std::size_t> shards;
  if (const auto names = text_of(given, "only")) {
    for (const std::string& name : numerics::words(*names))
      shards.push_back(plan.shard_named(name));
    if (shards.empty())
      throw Error(ErrorKind::usage, "--only", "names no shard",
                  "give names joined by commas, or leave it out");
  }
  return shards;
}

}  // namespace karat::cli
