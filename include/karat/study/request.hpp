// What people ask a study for, as structs with one table of fields each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "karat/capture/plan.hpp"
#include "karat/files/request.hpp"
#include "karat/study/measure.hpp"

namespace karat::study {

/// Cells to generate; what is empty is chosen: heads of five kinds, four steps, three prompts on
/// Wan's 480p grid, fewer with `quick`.
struct CellsRequest {
  std::string model = "wan2.1-1.3b";
  std::optional<std::string> resolution;
  std::optional<video::Extent3> grid;
  std::optional<int> head_dim, prompts;
  std::vector<int> steps, layers, heads;
  std::optional<video::HeadKind> head_kind;
  std::uint64_t network_seed = 0;
  bool conditional_only = false;
};
std::span<const files::RequestField<CellsRequest>> cells_fields();

/// The cells of a full study where nothing else is said.
/// @throws Error(usage) for names and numbers that the model does not have
std::unique_ptr<capture::Source> choose_cells(const CellsRequest& asked);

struct StudyRequest {
  std::optional<std::string> capture;  ///< a folder of the user's tensors, instead of `cells`
  CellsRequest cells;
  std::optional<std::vector<std::string>> recipes;  ///< empty: presets of the pass
  std::optional<std::vector<std::string>> ladder;   ///< empty: the first recipe
  std::vector<std::string> sweep;
  std::optional<int> rows, draws;
  std::uint64_t seed = 0;
  bool quick = false;
  bool backward = false;  ///< gradients instead of outputs
  int threads = 0;
};
/// All but those of the cells.
std::span<const files::RequestField<StudyRequest>> study_fields();

struct ChosenStudy {
  std::unique_ptr<capture::Source> source;
  std::vector<recipe::Recipe> recipes;
  MeasureOptions options;
};
/// @throws Error(usage) for fields that contradict each other
ChosenStudy choose_study(const StudyRequest& asked);

/// How much a plan saves: cells, query_tiles
std::span<const files::RequestField<capture::PlanSpec>> plan_fields();

}  // namespace karat::study
