// A plan: a folder with the list of shards, and room for their results and for what runners say.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "karat/sweep/work.hpp"

namespace karat::sweep {

inline constexpr std::string_view kPlanSchema = "karat.sweep_plan";
inline constexpr int kPlanVersion = 1;

struct PlanTotals {
  std::size_t shards = 0;
  Cost cost;
};

/// What a plan's folder holds:
///   plan.json           what is below, and totals
///   spec.json           the spec, byte for byte
///   recipes/            its recipe files, resolved
///   inputs.json         what was found when it was planned
///   shards.tsv          a line a shard: name, multiply-adds, seconds, bytes, command
///   sbatch.sh           an array job for Slurm
///   results/NNNN/       results, a thousand shards a folder
///   claims/ taken/      who works at what; claims that were taken over
///   failed/             a file a failed shard
///   log/                a file a runner
class Plan {
 public:
  /// @throws Error(input_output) for folders that hold no plan, one of another version of the
  /// format
  ///   or of karat, and for a list or a spec that was changed
  explicit Plan(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Spec& spec() const { return spec_; }
  const Places& places() const { return places_; }
  const PlanTotals& totals() const { return totals_; }
  /// The hash of everything that results depend on.
  const std::string& work_sha256() const { return work_sha256_; }
  const std::string& karat_version() const { return karat_version_; }

  std::size_t size() const { return shards_.size(); }
  std::string_view name(std::size_t shard) const { return shards_[shard].name; }
  const Cost& cost(std::size_t shard) const { return shards_[shard].cost; }
  std::string_view command(std::size_t shard) const { return shards_[shard].command; }
  /// @throws Error(usage) for a name that no shard has, naming the nearest
  std::size_t shard_named(std::string_view name) const;
  /// All shards, the longest first.
  std::vector<std::size_t> by_cost() const;

  std::filesystem::path result(std::size_t shard) const;
  std::filesystem::path failure(std::size_t shard) const;
  std::filesystem::path inside(std::string_view name) const { return folder_ / name; }
  /// Which shards have a result.
  std::vector<char> done() const;

  /// The work behind the list.
  /// @throws Error(input_output) where recipes or inputs are others than were planned
  std::unique_ptr<Work> work() const;

 private:
  struct Line {
    std::string_view name, command;
    Cost cost;
  };
  std::filesystem::path folder_;
  Spec spec_;
  Places places_;
  PlanTotals totals_;
  std::string karat_version_, work_sha256_, ending_;
  std::string list_;  ///< shards.tsv, which the lines look into
  std::vector<Line> shards_;
};

struct PlanOptions {
  std::string karat;  ///< the executable that job scripts call
};

enum class Planned { made, standing };

/// Plans a spec into a new folder, which appears whole or not at all. The same spec into the same
/// folder again changes nothing.
/// @throws Error(usage) for what the spec says, and for names that are too long or that no line can
///   hold; Error(input_output) where another plan, or anything
///   else, stands in the folder
Planned make_plan(const std::filesystem::path& spec, const std::filesystem::path& folder,
                  const PlanOptions& options);

/// The text of an array job for Slurm: tasks of about an hour, a thousand at most.
std::string sbatch_script(const Spec& spec, const PlanTotals& totals,
                          const std::filesystem::path& folder, const std::string& karat);

}  // namespace karat::sweep
