// Options of a cell into a case.
#include "case/cell_case.hpp"

#include "karat/capture/cell_inputs.hpp"
#include "karat/capture/folder.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/request.hpp"

namespace karat::cli {
namespace {

constexpr const char* kCellAlone[] = {"capture", "network-seed"};

/// The cells of which this is one; what they do not need is left at its default.
study::CellsRequest cells_of(const cxxopts::ParseResult& given, const cases::CaseRequest& asked,
                             const capture::Cell& cell) {
  study::CellsRequest cells{.resolution = asked.workload.resolution,
                            .grid = asked.workload.grid,
                            .head_dim = asked.workload.head_dim,
                            .prompts = cell.prompt + 1,
                            .steps = {cell.step},
                            .layers = {cell.layer},
                            .heads = {cell.head},
                            .head_kind = asked.workload.head_kind};
  if (asked.workload.model) cells.model = *asked.workload.model;
  cells.network_seed = static_cast<std::uint64_t>(whole(given, "network-seed", 0, 0));
  return cells;
}

}  // namespace

void add_cell_options(CommandLine& line) {
  line.add({{"cell", "one head of a run: pPROMPT.sSTEP.lLAYER.hHEAD.cond or .uncond"},
            {"capture", "with --cell: the folder of your own tensors it is in"},
            {"network-seed", "with --cell, generated: of the heads' projections (0)"}},
           "Cell");
}

cases::ChosenCase choose_case(const cxxopts::ParseResult& given, const cases::CaseRequest& asked) {
  const auto name = text_of(given, "cell");
  if (!name) {
    for (const char* option : kCellAlone)
      if (given.count(option) > 0)
        throw Error(ErrorKind::usage, std::string("--") + option, "says nothing without --cell",
                    "leave it out");
    return cases::choose_case(asked);
  }
  refuse_beside(given, "cell",
                {"in", "layout", "heads", "head", "kv-heads", "batch", "workload", "text", "sigma",
                 "mask", "mask-order", "step", "steps", "layer", "schedule", "do"});
  if (!asked.recipe)
    throw Error(ErrorKind::usage, "--recipe", "missing", "give a preset or a .json file");
  const capture::Cell cell = capture::parse_cell(*name, "--cell");
  const auto folder = text_of(given, "capture");
  if (folder)
    refuse_beside(given, "capture",
                  {"model", "resolution", "grid", "channels", "head-kind", "network-seed"});
  const auto source =
      folder ? capture::folder_source(*folder) : study::choose_cells(cells_of(given, asked, cell));
  recipe::Recipe recipe = recipe::load_recipe(*asked.recipe);
  auto inputs = capture::cell_inputs(*source, cell, asked.workload.seed, asked.threads);
  return {.of = cases::make_case(std::move(recipe), std::move(inputs)), .schedule = {}};
}

}  // namespace karat::cli
