// Defaults of a study: heads of five kinds, four steps, three prompts on Wan's 480p grid.
#include "study/options.hpp"

#include <algorithm>
#include <set>

#include "karat/capture/folder.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/sweep.hpp"
#include "karat/video/models.hpp"
#include "request_options.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

using cxxopts::value;

/// How much a study measures when nothing else is said.
struct Size {
  const char* recipes;
  const char* grid;
  int prompts, steps, heads, rows, draws;
};
constexpr Size kDefault{
    "fpsattention,fpsattention_coarse,fpsattention_intermediate,naive_fp8_sparse",
    "21,30,52",
    3,
    4,
    5,
    256,
    8};
constexpr Size kQuick{
    "fpsattention,fpsattention_coarse,naive_fp8_sparse", "12,24,32", 3, 3, 2, 64, 4};

/// The first heads of a layer that are of different kinds, `count` at most.
std::vector<int> heads_of_each_kind(const video::DenoisingSpec& spec, int layer, int count) {
  std::set<video::HeadKind> kinds;
  std::vector<int> heads;
  for (int head = 0; head < spec.heads && std::ssize(heads) < count; ++head)
    if (spec.head_kind || kinds.insert(video::head_kind_of(spec, layer, head)).second)
      heads.push_back(head);
  return heads;
}

/// Of --conditional-only; empty without it.
std::vector<video::Branch> branches_option(const cxxopts::ParseResult& given) {
  if (given.count("conditional-only") == 0) return {};
  return {video::Branch::conditional};
}

std::unique_ptr<capture::Source> generated(const cxxopts::ParseResult& given, const Size& size) {
  capture::GeneratedSource source;
  source.model = text_of(given, "model").value_or("wan2.1-1.3b");
  const video::Model& model = video::find_model(source.model);
  source.spec.layers = model.layers;
  source.spec.heads = model.heads;
  source.spec.head_dim = model.head_dim;
  if (const auto resolution = text_of(given, "resolution"))
    source.spec.grid = video::token_grid(model, video::find_resolution(model, *resolution));
  else
    source.spec.grid = parse_grid(text_of(given, "grid").value_or(size.grid), "--grid");
  if (const auto channels = text_of(given, "channels"))
    source.spec.head_dim = static_cast<int>(parse_integer(*channels, "--channels", 6));
  if (const auto kind = text_of(given, "head-kind"))
    source.spec.head_kind = video::find_head_kind(*kind);
  source.spec.seed = static_cast<std::uint64_t>(whole(given, "network-seed", 0, 0));
  source.prompts = whole(given, "prompts", size.prompts, 1);
  const auto list = [&](const std::string& option, int count, int total) {
    const auto text = text_of(given, option);
    return text ? parse_list(*text, "--" + option) : capture::spread(count, total);
  };
  source.steps = list("steps", size.steps, model.sampler.steps);
  source.layers = list("layers", 1, source.spec.layers);
  const auto heads = text_of(given, "heads");
  source.heads = heads ? parse_list(*heads, "--heads")
                       : heads_of_each_kind(source.spec, source.layers.front(), size.heads);
  if (const auto branches = branches_option(given); !branches.empty()) source.branches = branches;
  return capture::generated_source(source);
}

void require_nothing_generated(const cxxopts::ParseResult& given) {
  for (const char* option : {"model", "resolution", "grid", "channels", "head-kind", "prompts",
                             "steps", "layers", "heads", "network-seed", "conditional-only"})
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, std::string("--") + option,
                  "describes a generated workload, but --capture gives the tensors",
                  "leave one out");
}

std::vector<std::int32_t> taken_apart(const cxxopts::ParseResult& given,
                                      const std::vector<recipe::Recipe>& recipes) {
  const auto text = text_of(given, "ladder");
  if (!text) return {0};
  if (*text == "none") return {};
  std::vector<std::int32_t> chosen;
  for (const std::string& name : numerics::words(*text)) {
    const auto found = std::ranges::find(recipes, name, &recipe::Recipe::name);
    if (found == recipes.end())
      throw Error(ErrorKind::usage, "--ladder", "\"" + name + "\" is none of the recipes",
                  "name some of --recipes, or none");
    chosen.push_back(static_cast<std::int32_t>(found - recipes.begin()));
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace

void add_study_options(CommandLine& line) {
  line.add("Cells")("capture", "a folder of your own tensors (docs/study.md says how to name them)",
                    value<std::string>())("model", "whose steps, layers and heads: wan2.1-1.3b",
                                          value<std::string>())(
      "resolution", "of the model, instead of --grid", value<std::string>())(
      "grid", "T,H,W tokens: 21,30,52 (480p)", value<std::string>())("channels", "head dimension",
                                                                     value<std::string>())(
      "prompts", "how many seeds of scene and noise", value<std::string>())(
      "steps", "which of the sampler's steps: 0,12,25 or 0-9", value<std::string>())(
      "layers", "which layers", value<std::string>())("heads", "which heads", value<std::string>())(
      "head-kind", "all heads local, spatial, temporal, global or sink", value<std::string>())(
      "network-seed", "of the heads' projections", value<std::string>())(
      "conditional-only", "leave the branch without the prompt out");
  line.add("Measuring")("recipes", "presets or .json files, joined by commas",
                        value<std::string>())(
      "ladder", "recipes to take apart: the first by default, none, or a list",
      value<std::string>())("sweep", "edits of the first recipe too: tile,window,p,promotion,scale",
                            value<std::string>())("rows", "rows of truth per cell: 256",
                                                  value<std::string>())(
      "draws", "query blocks they lie in: 8", value<std::string>())(
      "seed", "of the sampled rows", value<std::string>()->default_value("0"))(
      "quick", "a study of about a minute")("threads", "0: all the machine has",
                                            value<std::string>()->default_value("0"));
  line.add("Plan")("plan", "write which cells and query tiles of a model to save, and stop",
                   value<std::string>())(
      "cells", "with --plan: cells drawn per stratum of steps and layers: 2", value<std::string>())(
      "query-tiles", "with --plan: query tiles of a cell: 8", value<std::string>());
  line.add("Output")("o,out", "the result, HDF5", value<std::string>())(
      "csv", "the sensitivity table, which karat tune reads", value<std::string>())(
      "table", "the same as JSON", value<std::string>())(
      "figures", "every figure as CSV", value<std::string>())("html", "the report, one HTML file",
                                                              value<std::string>());
}

std::vector<int> parse_list(std::string_view text, const std::string& option) {
  std::set<int> numbers;
  for (const std::string& word : numerics::words(text)) {
    const auto dash = word.find('-');
    const auto first = parse_integer(word.substr(0, dash), option, 0, 1'000'000);
    const auto last = dash == std::string::npos
                          ? first
                          : parse_integer(word.substr(dash + 1), option, first, 1'000'000);
    for (auto i = first; i <= last; ++i) numbers.insert(static_cast<int>(i));
  }
  if (numbers.empty()) throw Error(ErrorKind::usage, option, "names none", "give at least one");
  return {numbers.begin(), numbers.end()};
}

capture::PlanSpec choose_plan(const cxxopts::ParseResult& given) {
  for (const char* option : {"capture", "grid", "channels", "steps", "layers", "heads", "head-kind",
                             "network-seed", "recipes", "ladder", "sweep", "rows", "draws", "quick",
                             "out", "csv", "table", "figures", "html"})
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, std::string("--") + option, "has no meaning with --plan",
                  "leave it out");
  capture::PlanSpec spec;
  spec.model = text_of(given, "model").value_or(spec.model);
  spec.resolution = text_of(given, "resolution").value_or("");
  spec.prompts = whole(given, "prompts", spec.prompts, 1);
  spec.cells = whole(given, "cells", spec.cells, 1);
  spec.query_tiles = whole(given, "query-tiles", spec.query_tiles, 1);
  spec.branches = branches_option(given);
  spec.seed = static_cast<std::uint64_t>(whole(given, "seed", 0, 0));
  return spec;
}

StudyChoice choose_study(const cxxopts::ParseResult& given) {
  for (const char* option : {"cells", "query-tiles"})
    if (given.count(option) > 0)
      throw Error(ErrorKind::usage, std::string("--") + option, "says nothing without --plan",
                  "leave it out");
  const Size& size = given.count("quick") > 0 ? kQuick : kDefault;
  StudyChoice choice;
  if (const auto capture = text_of(given, "capture")) {
    require_nothing_generated(given);
    choice.source = capture::folder_source(*capture);
  } else {
    choice.source = generated(given, size);
  }
  for (const std::string& name : numerics::words(text_of(given, "recipes").value_or(size.recipes)))
    choice.recipes.push_back(recipe::load_recipe(name));
  if (choice.recipes.empty())
    throw Error(ErrorKind::usage, "--recipes", "the list is empty", "name at least one");
  if (const auto axes = text_of(given, "sweep"))
    for (const std::string& axis : numerics::words(*axes))
      for (const recipe::Recipe& edit :
           study::sweep(choice.recipes.at(0), study::parse_sweep_axis(axis)))
        choice.recipes.push_back(edit);
  choice.options.taken_apart = taken_apart(given, choice.recipes);
  choice.options.sample = {.rows = whole(given, "rows", size.rows, 1),
                           .draws = whole(given, "draws", size.draws, 2),
                           .seed = static_cast<std::uint64_t>(whole(given, "seed", 0, 0))};
  choice.threads = whole(given, "threads", 0, 0);
  return choice;
}

}  // namespace karat::cli
