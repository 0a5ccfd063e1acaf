// What karat cost says: one answer as text, JSON and CSV.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/hopper/around.hpp"
#include "karat/hopper/cost.hpp"

namespace karat::cli {

/// One question with everything that was worked out about it.
struct CostAnswer {
  std::string title;  ///< what distinguishes it from its neighbours: GPU, window, tile
  hopper::Question question;
  hopper::AttentionCost cost;
  std::vector<hopper::SideKernel> around;
  std::optional<hopper::RunTime> run;
  double dense_memory_ratio = 1;
};

std::string cost_text(const CostAnswer& answer);
/// A row per answer under a heading.
std::string cost_table(const std::vector<CostAnswer>& answers);
std::string cost_csv(const std::vector<CostAnswer>& answers);
/// The fields of docs/time-model.md, "JSON".
files::Json cost_json(const CostAnswer& answer);

}  // namespace karat::cli
