// karat sweep run: one runner of a plan.
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "interrupt.hpp"
#include "karat/sweep/runner.hpp"
#include "karat/sweep/status.hpp"
#include "sweep/mpi.hpp"
#include "sweep/sweep.hpp"

namespace karat::cli {
namespace {

/// "2/7": the second of seven.
sweep::Share parse_share(const std::string& text) {
  const auto parts = split(text, '/');
  if (parts.size() != 2)
    throw Error(ErrorKind::usage, "--shard", "\"" + text + "\" is no share", "give I/N, as 2/7");
  const auto count = parse_integer(parts[1], "--shard", 1);
  const auto index = parse_integer(parts[0], "--shard", 1, count);
  return {.index = static_cast<std::size_t>(index - 1), .count = static_cast<std::size_t>(count)};
}

std::optional<std::int64_t> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  return parse_integer(text, variable, 0);
}

/// This task's part of its array. Arrays with holes are fine: a part is where a task begins.
sweep::Share slurm_share() {
  const auto id = number_in("SLURM_ARRAY_TASK_ID");
  if (!id)
    throw Error(ErrorKind::usage, "--slurm", "SLURM_ARRAY_TASK_ID is not set",
                "submit the plan's sbatch.sh, or leave --slurm out");
  const std::int64_t count =
      std::max<std::int64_t>(1, number_in("SLURM_ARRAY_TASK_COUNT")
                                    .value_or(number_in("SLURM_ARRAY_TASK_MAX").value_or(*id) + 1));
  const std::int64_t first = number_in("SLURM_ARRAY_TASK_MIN").value_or(0);
  const std::int64_t step =
      std::max<std::int64_t>(1, number_in("SLURM_ARRAY_TASK_STEP").value_or(1));
  return {
      .index = static_cast<std::size_t>(std::max<std::int64_t>(0, (*id - first) / step) % count),
      .count = static_cast<std::size_t>(count)};
}

void declare_sweep_run(CommandLine& line) {
  line.add({{"plan", "the plan's folder"},
            {"only", "these shards, joined by commas"},
            {"wait", "stay until all is done, also what others hold", Takes::nothing},
            {"threads", "of a shard; as the spec says"}});
  line.add({{"shard", "I/N: every N-th shard and no other"},
            {"slurm", "begin where this task of an array is, then help", Takes::nothing},
            {"mpi", "ranks are dealt shards one by one, the longest first", Takes::nothing}},
           "Share");
  line.note(
      "Any number of runners may work at a plan, start, die and overlap. A shard whose runner\n"
      "gives no sign of life for the spec's lease is taken over.\n"
      "exit code 0: what was looked at is done or in other hands; 1: some shards failed.");
}

int report_run(const cxxopts::ParseResult& given, const sweep::RunReport& report,
               const sweep::Plan& plan) {
  if (given.count("json") > 0)
    print_json("sweep_run", 1, to_json(report, plan));
  else
    std::cout << to_text(report, plan);
  return report.failed.empty() ? match : mismatch;
}

}  // namespace

int run_sweep_run(int argc, char** argv) {
  CommandLine line("sweep run", "Compute shards of a plan.", {"plan"});
  declare_sweep_run(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const bool slurm = given->count("slurm") > 0, mpi = given->count("mpi") > 0;
  const auto share = text_of(*given, "shard");
  if (share) refuse_beside(*given, "shard", {"slurm", "mpi"});
  if (slurm) refuse_beside(*given, "slurm", {"mpi"});
  const sweep::Plan plan = opened_plan(*given);
  say_when_interrupted(
      "interrupted: what is finished is kept, the rest is free; run the plan again");
  sweep::RunOptions options{.only = only_of(*given, plan),
                            .threads = whole(*given, "threads", 0, 0, 1024),
                            .tick = throw_if_interrupted};
  if (share) options.share = parse_share(*share);
  if (slurm) {
    options.share = slurm_share();
    options.beyond = sweep::Beyond::help;
  }
  if (given->count("wait") > 0) options.at_the_end = sweep::AtTheEnd::wait;
  std::optional<sweep::RunReport> report;
  {
    Progress bar(plan.spec().name, narration(*given));
    options.progress = [&](const sweep::RunProgress& now) { bar.update(now.done, now.total); };
    report = mpi ? run_under_mpi(plan, options) : sweep::run(plan, options);
  }
  return report ? report_run(*given, *report, plan) : match;
}

}  // namespace karat::cli
