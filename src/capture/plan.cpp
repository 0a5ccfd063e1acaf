// Strata, cells, tiles, bytes.
#include "karat/capture/plan.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/dice.hpp"
#include "karat/video/models.hpp"
#include "tensor_name.hpp"

namespace karat::capture {
namespace {

constexpr std::uint64_t kStream = 0x706C616E00000000;

/// The i-th of `parts` stretches of [0, total): first, one past the last.
std::pair<int, int> stretch(int total, int parts, int i) {
  const auto at = [&](int n) { return static_cast<int>(std::int64_t{total} * n / parts); };
  return {at(i), at(i + 1)};
}

void require_count(int count, int most, const std::string& what) {
  if (count < 1 || count > most)
    throw Error(ErrorKind::usage, what, std::to_string(count) + " of them",
                "give 1 to " + std::to_string(most));
}

}  // namespace

files::Json make_plan(const PlanSpec& spec) {
  const video::Model& model = video::find_model(spec.model);
  const video::Resolution resolution = spec.resolution.empty()
                                           ? model.resolutions.front()
                                           : video::find_resolution(model, spec.resolution);
  const video::Extent3 grid = video::token_grid(model, resolution);
  const video::Tiling tiling(grid, spec.tile);
  const int steps = model.sampler.steps;
  require_count(spec.prompts, 1'000'000, "prompts");
  require_count(spec.step_strata, steps, "step strata");
  require_count(spec.layer_strata, model.layers, "layer strata");
  require_count(spec.cells,
                (steps / spec.step_strata) * (model.layers / spec.layer_strata) * model.heads,
                "cells per stratum");
  require_count(spec.query_tiles, tiling.tile_count(), "query tiles");

  const bool flow = model.sampler.kind == video::SamplerKind::rectified_flow;
  std::vector<video::Branch> branches = spec.branches;
  if (branches.empty()) branches.push_back(video::Branch::conditional);
  if (spec.branches.empty() && model.sampler.forwards_per_step == 2)
    branches.push_back(video::Branch::unconditional);
  files::Json plan{
      {"schema", "karat.study_plan"},
      {"version", 1},
      {"model", spec.model},
      {"resolution", std::to_string(resolution.width) + "x" + std::to_string(resolution.height) +
                         "x" + std::to_string(resolution.frames)},
      {"grid", {grid.t, grid.h, grid.w}},
      {"channels", model.head_dim},
      {"steps", steps},
      {"sigma", files::Json::array()},
      {"guidance", model.sampler.guidance},
      {"branches", files::Json::array()},
      {"tile", {spec.tile.t, spec.tile.h, spec.tile.w}},
      {"prompts", spec.prompts},
      {"seed", spec.seed},
      {"strata", files::Json::array()},
      {"cells", files::Json::array()}};
  for (const video::Branch branch : branches) plan["branches"].push_back(word_of(branch));
  for (int step = 0; flow && step < steps; ++step)
    plan["sigma"].push_back(video::sigma(model, step, steps));
  numerics::Dice dice(spec.seed, kStream);
  std::int64_t rows = 0;
  for (int s = 0; s < spec.step_strata; ++s)
    for (int l = 0; l < spec.layer_strata; ++l) {
      const auto [first_step, end_step] = stretch(steps, spec.step_strata, s);
      const auto [first_layer, end_layer] = stretch(model.layers, spec.layer_strata, l);
      const std::int64_t size =
          std::int64_t{end_step - first_step} * (end_layer - first_layer) * model.heads;
      const auto number = plan["strata"].size();
      plan["strata"].push_back({{"steps", {first_step, end_step - 1}},
                                {"layers", {first_layer, end_layer - 1}},
                                {"cells", spec.cells}});
      std::set<std::array<std::int64_t, 3>> drawn;
      while (std::ssize(drawn) < spec.cells)
        drawn.insert({dice.between(first_step, end_step), dice.between(first_layer, end_layer),
                      dice.between(0, model.heads)});
      for (const auto& [step, layer, head] : drawn) {
        files::Json tiles = files::Json::array();
        for (int i = 0; i < spec.query_tiles; ++i) {
          const auto [first, end] = stretch(tiling.tile_count(), spec.query_tiles, i);
          const auto tile = static_cast<int>(dice.between(first, end));
          tiles.push_back(tile);
          rows += tiling.box(tile).size.volume();
        }
        plan["cells"].push_back({{"step", step},
                                 {"layer", layer},
                                 {"head", head},
                                 {"stratum", number},
                                 {"weight", static_cast<double>(size) / spec.cells},
                                 {"query_tiles", tiles}});
      }
    }
  const auto cells = static_cast<std::int64_t>(plan["cells"].size());
  const std::int64_t channels = model.head_dim;
  plan["bytes_per_prompt"] =
      std::ssize(branches) * (2 * channels * (2 * cells * grid.volume() + rows) + 4 * rows +
                              cells * tiling.tile_count() * channels * 4);
  return plan;
}

}  // namespace karat::capture
