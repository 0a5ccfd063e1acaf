// Many results as one file, and a manifest of where they come from.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "karat/sweep/plan.hpp"

namespace karat::sweep {

enum class Gaps {
  refused,  ///< every shard must be done or failed
  allowed,  ///< shards that nobody computed yet are left out
};

struct MergeOptions {
  Gaps gaps = Gaps::refused;
  std::function<void(std::size_t done, std::size_t total)> progress;
};

struct MergeSummary {
  std::size_t merged = 0, failed = 0, open = 0;
  std::string sha256;    ///< of the merged file
  std::string manifest;  ///< its name: the merged file's with .manifest.json behind it
};

/// Writes the merged file, a function of the results alone, and the manifest beside it:
///   golden          HDF5 "karat-golden-set/1": all datasets and attributes of NAME's file under
///                   cases/NAME; the table of shards as JSON in the root's attribute `shards`
///   study           the study's result, byte for byte what `karat study` writes; with shards
///                   missing a study of its own identity
///   check, diagnose, trial    JSON "karat.sweep_results"
/// @throws Error(input_output) where shards are open, or a result is other than its runner logged
MergeSummary merge(const Plan& plan, const std::filesystem::path& destination,
                   const MergeOptions& options);

/// "karat.sweep_merge"
files::Json to_json(const MergeSummary& summary, const std::string& file);

}  // namespace karat::sweep
