// karat sweep plan: a spec becomes a folder.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "karat/sweep/status.hpp"
#include "sweep/sweep.hpp"

namespace karat::cli {
namespace {

/// This very program, as job scripts call it.
std::string own_path() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "karat" : path.string();
}

}  // namespace

int run_sweep_plan(int argc, char** argv) {
  CommandLine line("sweep plan", "List the shards that a spec asks for, with their cost.",
                   {"spec"});
  line.add({{"spec", "a .json file (docs/scale.md)"}, {"o,out", "the plan's folder"}});
  line.note("The same spec gives the same list. Nothing is computed before karat sweep run.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const std::string spec = required(*given, "spec"), out = required(*given, "out");
  const Stopwatch watch;
  const sweep::Planned planned = sweep::make_plan(spec, out, {.karat = own_path()});
  const sweep::Plan plan(out);
  if (planned == sweep::Planned::standing)
    say(narration(*given), out + " holds this plan already");
  else
    say(narration(*given), "planned in " + short_time(watch.seconds()) + "; " +
                               (std::filesystem::path(out) / "sbatch.sh").string() +
                               " is an array job for Slurm");
  if (given->count("json") > 0)
    print_json("sweep_plan", 1, to_json(plan));
  else
    std::cout << to_text(plan);
  return match;
}

int run_sweep_status(int argc, char** argv) {
  CommandLine line("sweep status", "What is done, running and failed.", {"plan"});
  line.add({{"plan", "the plan's folder"}});
  line.note("exit code 0: every shard is done; 1: some are open, running or failed.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const sweep::Plan plan = opened_plan(*given);
  const sweep::Status status = sweep::status_of(plan);
  if (given->count("json") > 0)
    print_json("sweep_status", 1, to_json(status, plan));
  else
    std::cout << to_text(status, plan, painted);
  return status.complete() ? match : mismatch;
}

int run_sweep_retry(int argc, char** argv) {
  CommandLine line("sweep retry", "Put failed shards back.", {"plan"});
  line.add({{"plan", "the plan's folder"}, {"only", "these shards, joined by commas"}});
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const sweep::Plan plan = opened_plan(*given);
  const std::size_t count = sweep::retry(plan, only_of(*given, plan));
  if (given->count("json") > 0)
    print_json("sweep_retry", 1, {{"plan", plan.folder().string()}, {"retried", count}});
  else
    std::cout << count << (count == 1 ? " shard" : " shards") << " put back\n";
  return match;
}

}  // namespace karat::cli
