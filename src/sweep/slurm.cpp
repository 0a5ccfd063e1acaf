// A job script that needs a partition and an account from nobody but Slurm's defaults.
#include <algorithm>
#include <cmath>

#include "karat/report/text.hpp"
#include "karat/sweep/plan.hpp"
#include "shell.hpp"

namespace karat::sweep {
namespace {

constexpr double kTaskSeconds = 3600;  // of one core's estimate, divided by the cores of a task
constexpr int kCores = 8;
constexpr int kMostTasks = 1000;  // Slurm's MaxArraySize is 1001 unless an administrator raised it
constexpr double kMargin = 4;     // between the estimate and the time limit

}  // namespace

std::string sbatch_script(const Spec& spec, const PlanTotals& totals,
                          const std::filesystem::path& folder, const std::string& karat) {
  const int cores = spec.threads > 0 ? spec.threads : kCores;
  const double seconds = totals.cost.seconds / cores;
  const int tasks = static_cast<int>(
      std::clamp(std::ceil(seconds / kTaskSeconds), 1.0,
                 std::min<double>(kMostTasks, static_cast<double>(totals.shards))));
  const int minutes =
      static_cast<int>(std::clamp(std::ceil(kMargin * seconds / tasks / 60), 10.0, 24.0 * 60));
  std::string name = spec.name;
  std::ranges::replace_if(
      name, [](char c) { return std::isspace(static_cast<unsigned char>(c)); }, '_');
  return "#!/bin/bash\n"
         "# An array job of this sweep. Tasks may start late, be killed and be submitted again: "
         "what\n"
         "# is finished is kept, what was lost is taken over. Edit the limits to suit the "
         "cluster.\n"
         "#SBATCH --job-name=" +
         name + "\n" + report::print("#SBATCH --array=0-%d\n", tasks - 1) +
         report::print("#SBATCH --cpus-per-task=%d\n", cores) +
         report::print("#SBATCH --time=%02d:%02d:00\n", minutes / 60, minutes % 60) +
         "#SBATCH --mem-per-cpu=1G\n"
         "#SBATCH --requeue\n"
         "#SBATCH --output=" +
         (folder / "log" / "slurm-%A_%a.txt").string() + "\n" +
         report::print("export OMP_NUM_THREADS=\"${SLURM_CPUS_PER_TASK:-%d}\"\n", cores) + "exec " +
         in_quotes(karat) + " sweep run " + in_quotes(folder.string()) + " --slurm --quiet\n";
}

}  // namespace karat::sweep
