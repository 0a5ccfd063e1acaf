// The rows of study/request.hpp, and what they make of a study.
#include "karat/study/request.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "karat/capture/folder.hpp"
#include "karat/capture/generated.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/sweep.hpp"
#include "karat/video/models.hpp"

namespace karat::study {
namespace {

namespace request = files::request;
using files::RequestField;

/// "0", "5", "10-12": ascending, each once.
std::vector<int> indices_of(const std::vector<std::string>& words, const std::string& subject) {
  std::set<int> numbers;
  for (const std::string& word : words) {
    if (word.empty()) continue;
    const char *at = word.data(), *end = at + word.size();
    int first = 0;
    auto read = std::from_chars(at, end, first);
    int last = first;
    if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '-')
      read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc{} || read.ptr != end || first < 0 || last < first || last > 1'000'000)
      throw Error(ErrorKind::usage, subject, "\"" + word + "\" is no number and no range of them",
                  "give numbers up to 1000000, as 0,12 or 0-9");
    for (int i = first; i <= last; ++i) numbers.insert(i);
  }
  if (numbers.empty()) throw Error(ErrorKind::usage, subject, "names none", "give at least one");
  return {numbers.begin(), numbers.end()};
}

template <auto kMember>
constexpr RequestField<CellsRequest> indices(std::string_view name, std::string_view meaning) {
  return {
      .name = name,
      .meaning = meaning,
      .kind = files::FieldKind::texts,
      .write = [](CellsRequest& asked, const files::FieldValue& value, const std::string& subject) {
        asked.*kMember = indices_of(std::get<std::vector<std::string>>(value), subject);
      }};
}

constexpr RequestField<CellsRequest> kCellsFields[] = {
    request::text<&CellsRequest::model>("model", "whose steps, layers and heads: wan2.1-1.3b"),
    request::text<&CellsRequest::resolution>("resolution", "of the model, instead of --grid"),
    request::extent<&CellsRequest::grid>("grid", "T,H,W tokens: 21,30,52 (480p)"),
    request::called("channels",
                    request::whole<&CellsRequest::head_dim>("head_dim", "head dimension", 6)),
    request::whole<&CellsRequest::prompts>("prompts", "how many seeds of scene and noise", 1),
    indices<&CellsRequest::steps>("steps", "which of the sampler's steps: 0,12,25 or 0-9"),
    indices<&CellsRequest::layers>("layers", "which layers"),
    indices<&CellsRequest::heads>("heads", "which heads"),
    request::parsed<&CellsRequest::head_kind, video::find_head_kind>(
        "head_kind", "all heads local, spatial, temporal, global or sink"),
    request::whole<&CellsRequest::network_seed>("network_seed", "of the heads' projections", 0),
    request::flag<&CellsRequest::conditional_only>("conditional_only",
                                                   "leave the branch without the prompt out")};

constexpr RequestField<StudyRequest> kStudyFields[] = {
    request::text<&StudyRequest::capture>(
        "capture", "a folder of your own tensors (docs/study.md says how to name them)"),
    request::texts<&StudyRequest::recipes>("recipes", "presets or .json files, joined by commas"),
    request::texts<&StudyRequest::ladder>(
        "ladder", "recipes to take apart: the first by default, none, or a list"),
    request::texts<&StudyRequest::sweep>(
        "sweep",
        "edits of the first recipe too: tile,window,p,promotion,scale; of gradients "
        "p_in_dv,do,ds,delta"),
    request::whole<&StudyRequest::rows>("rows", "rows of truth per cell: 256", 1),
    request::whole<&StudyRequest::draws>("draws", "query blocks they lie in: 8", 2),
    request::whole<&StudyRequest::seed>("seed", "of the sampled rows (0)", 0),
    request::flag<&StudyRequest::quick>("quick", "a study of about a minute"),
    request::flag<&StudyRequest::backward>(
        "backward", "gradients dq, dk and dv instead of outputs (docs/study.md, Gradients)"),
    request::whole<&StudyRequest::threads>("threads", "0: all the machine has", 0)};

constexpr RequestField<capture::PlanSpec> kPlanFields[] = {
    request::whole<&capture::PlanSpec::cells>(
        "cells", "with --plan: cells drawn per stratum of steps and layers: 2", 1),
    request::whole<&capture::PlanSpec::query_tiles>("query_tiles",
                                                    "with --plan: query tiles of a cell: 8", 1)};

/// How much a study measures where nothing else is said.
struct Size {
  std::vector<std::string> recipes;
  video::Extent3 grid;
  int prompts, steps, heads, rows, draws;
};
Size size_of(const StudyRequest& asked) {
  if (asked.backward) {
    const std::vector<std::string> recipes{"fps_qat_fp8", "fps_ste_bf16", "attn_qat_fp8",
                                           "cudnn_fp8_hopper"};
    if (asked.quick) return {recipes, {6, 24, 32}, 2, 1, 3, 64, 4};
    return {recipes, {6, 24, 32}, 3, 3, 3, 128, 8};
  }
  if (asked.quick)
    return {
        {"fpsattention", "fpsattention_coarse", "naive_fp8_sparse"}, {12, 24, 32}, 3, 3, 2, 64, 4};
  return {{"fpsattention", "fpsattention_coarse", "fpsattention_intermediate", "naive_fp8_sparse"},
          {21, 30, 52},
          3,
          4,
          5,
          256,
          8};
}

/// The first heads of a layer that are of different kinds, `count` at most.
std::vector<int> heads_of_each_kind(const video::DenoisingSpec& spec, int layer, int count) {
  std::set<video::HeadKind> kinds;
  std::vector<int> heads;
  for (int head = 0; head < spec.heads && std::ssize(heads) < count; ++head)
    if (spec.head_kind || kinds.insert(video::head_kind_of(spec, layer, head)).second)
      heads.push_back(head);
  return heads;
}

std::unique_ptr<capture::Source> generated(const CellsRequest& asked, const Size& size) {
  const video::Model& model = video::find_model(asked.model);
  capture::GeneratedSource source{.model = asked.model,
                                  .prompts = asked.prompts.value_or(size.prompts),
                                  .steps = asked.steps,
                                  .layers = asked.layers,
                                  .heads = asked.heads};
  const video::Extent3 grid =
      asked.resolution ? video::token_grid(model, video::find_resolution(model, *asked.resolution))
                       : asked.grid.value_or(size.grid);
  source.spec = {.grid = grid,
                 .head_dim = asked.head_dim.value_or(model.head_dim),
                 .layers = model.layers,
                 .heads = model.heads,
                 .seed = asked.network_seed,
                 .head_kind = asked.head_kind};
  if (source.steps.empty()) source.steps = capture::spread(size.steps, model.sampler.steps);
  if (source.layers.empty()) source.layers = capture::spread(1, model.layers);
  if (source.heads.empty())
    source.heads = heads_of_each_kind(source.spec, source.layers.front(), size.heads);
  if (asked.conditional_only) source.branches = {video::Branch::conditional};
  return capture::generated_source(source);
}

std::vector<std::int32_t> taken_apart(const StudyRequest& asked,
                                      const std::vector<recipe::Recipe>& recipes) {
  if (!asked.ladder) return {0};
  if (*asked.ladder == std::vector<std::string>{"none"}) return {};
  std::vector<std::int32_t> chosen;
  for (const std::string& name : *asked.ladder) {
    if (name.empty()) continue;
    const auto found = std::ranges::find(recipes, name, &recipe::Recipe::name);
    if (found == recipes.end())
      throw Error(ErrorKind::usage, "--ladder", "\"" + name + "\" is none of the recipes",
                  "name some of --recipes, or none");
    chosen.push_back(static_cast<std::int32_t>(found - recipes.begin()));
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

void add_sweep(const StudyRequest& asked, SweepAxis axis, std::vector<recipe::Recipe>& recipes) {
  const std::string name = "\"" + std::string(to_string(axis)) + "\"";
  if (edits_backward(axis) && !asked.backward)
    throw Error(ErrorKind::usage, "--sweep", name + " edits a backward, which outputs do not see",
                "add --backward");
  auto edits = sweep(recipes.front(), axis);
  if (edits.empty())
    throw Error(ErrorKind::usage, "--sweep",
                name + " has no edit with a meaning for " + recipes.front().name,
                "put another recipe first");
  std::ranges::move(edits, std::back_inserter(recipes));
}

}  // namespace

std::span<const RequestField<CellsRequest>> cells_fields() { return kCellsFields; }
std::span<const RequestField<StudyRequest>> study_fields() { return kStudyFields; }
std::span<const RequestField<capture::PlanSpec>> plan_fields() { return kPlanFields; }

std::unique_ptr<capture::Source> choose_cells(const CellsRequest& asked) {
  return generated(asked, size_of({}));
}

ChosenStudy choose_study(const StudyRequest& asked) {
  const Size size = size_of(asked);
  ChosenStudy chosen{.source = asked.capture ? capture::folder_source(*asked.capture)
                                             : generated(asked.cells, size)};
  for (const std::string& name : asked.recipes.value_or(size.recipes))
    if (!name.empty()) chosen.recipes.push_back(recipe::load_recipe(name));
  if (chosen.recipes.empty())
    throw Error(ErrorKind::usage, "--recipes", "the list is empty", "name at least one");
  for (const std::string& axis : asked.sweep)
    if (!axis.empty()) add_sweep(asked, parse_sweep_axis(axis), chosen.recipes);
  chosen.options = {.sample = {.rows = asked.rows.value_or(size.rows),
                               .draws = asked.draws.value_or(size.draws),
                               .seed = asked.seed},
                    .taken_apart = taken_apart(asked, chosen.recipes),
                    .pass = asked.backward ? Pass::backward : Pass::forward};
  return chosen;
}

}  // namespace karat::study
