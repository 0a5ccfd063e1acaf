// Thirty mistakes, fixed before anything was measured: what field reports name, and the commonest
// of docs/diagnose_faults.md. Each gives the output of a kernel that makes it.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sampled_head.hpp"

namespace karat::golden {

struct PlantedMistake {
  std::string_view name;
  /// o per token; rows that were not computed hold the golden values. Nothing where the recipe
  /// leaves no room for the mistake.
  std::optional<std::vector<float>> (*make)(const SampledHead& head);
};
std::span<const PlantedMistake> planted_mistakes();

}  // namespace karat::golden
