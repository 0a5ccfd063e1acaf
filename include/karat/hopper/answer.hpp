// One question about time with everything that was worked out about it, as text, JSON and CSV.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/hopper/around.hpp"
#include "karat/hopper/cost.hpp"

namespace karat::hopper {

struct Answer {
  std::string title;  ///< what distinguishes it from its neighbours: GPU, window, tile
  Question question;
  AttentionCost cost;
  std::vector<SideKernel> around;
  std::optional<RunTime> run;  ///< where a model's run was asked for
};
/// @throws Error(usage) for a recipe that predicts its mask from Q and K: there are no tensors here
Answer answer(const Question& question, const std::optional<RunRequest>& run, Detail detail,
              std::string title);

std::string to_text(const Answer& answer);
/// A row per answer under a heading.
std::string to_table(std::span<const Answer> answers);
std::string to_csv(std::span<const Answer> answers);
/// The fields of docs/time-model.md, "JSON".
files::Json to_json(const Answer& answer);

}  // namespace karat::hopper
