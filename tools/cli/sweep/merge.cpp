// karat sweep merge: one file of all results.
#include "karat/sweep/merge.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "sweep/sweep.hpp"

namespace karat::cli {

int run_sweep_merge(int argc, char** argv) {
  CommandLine line("sweep merge", "Make one file of all results, and a manifest.", {"plan"});
  line.add({{"plan", "the plan's folder"},
            {"o,out", "HDF5 for golden files and studies, JSON else; OUT.manifest.json beside it"},
            {"partial", "leave out what is not computed yet", Takes::nothing}});
  line.note("exit code 0: all shards; 1: some failed or, with --partial, are open.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const sweep::Plan plan = opened_plan(*given);
  const std::string out = required(*given, "out");
  sweep::MergeSummary summary;
  {
    Progress bar("merge", narration(*given));
    summary = sweep::merge(
        plan, out,
        {.gaps = given->count("partial") > 0 ? sweep::Gaps::allowed : sweep::Gaps::refused,
         .progress = bar.callback()});
  }
  say(narration(*given), "wrote " + out + " and " + summary.manifest);
  if (given->count("json") > 0)
    print_json("sweep_merge", 1, to_json(summary, out));
  else
    std::cout << summary.merged << " merged, " << summary.failed << " failed, " << summary.open
              << " open, sha256 " << summary.sha256.substr(0, 16) << "\n";
  return summary.failed + summary.open == 0 ? match : mismatch;
}

}  // namespace karat::cli
