// What a sweep is asked for: one JSON object, read strictly. docs/scale.md shows every field.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"

namespace karat::sweep {

/// What a shard is.
enum class Kind {
  golden,    ///< a golden file
  study,     ///< one job of a study
  check,     ///< a candidate beside a golden file
  diagnose,  ///< the same, diagnosed
  trial,     ///< nothing: tries a queue and a file system
};
std::string_view to_string(Kind kind);

struct Spec {
  std::string name;   ///< of the sweep, in reports and job scripts
  double lease = 60;  ///< seconds without a sign of life after which a shard is taken over
  int attempts = 10;  ///< runners that may die at a shard before it counts as failed
  int threads = 0;    ///< of a shard; 0: all the machine has
  Kind kind = Kind::trial;
  std::string text;    ///< the JSON of what stands under the kind's name
  std::string sha256;  ///< of the spec's bytes
};

/// @param bytes of the file; @param subject names it in errors
/// @throws Error(usage) for other schemas and versions, unknown fields, none or two kinds
Spec parse_spec(std::string_view bytes, const std::string& subject);

/// Where names in a spec lead.
struct Places {
  std::filesystem::path base;     ///< relative names start here: the spec's folder
  std::filesystem::path recipes;  ///< the plan's copies of recipe files
  std::filesystem::path plan;     ///< the plan's folder, as commands name it
  std::string inputs = {};        ///< what the work found when it was planned; empty while planning

  std::string file(const std::string& name) const;
  /// A preset's name, or the copy to be read.
  std::string recipe(const std::string& name) const;
  /// The same as commands name it.
  std::string recipe_in_command(const std::string& name) const;
};

/// The recipe files that a spec names, in its order.
std::vector<std::string> recipe_files(const Spec& spec);

}  // namespace karat::sweep
