// Golden files: of cells of models, generated or captured, or of cases as `karat make` takes them.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "../shell.hpp"
#include "axes.hpp"
#include "inputs.hpp"
#include "karat/capture/cell_inputs.hpp"
#include "karat/capture/folder.hpp"
#include "karat/case/request.hpp"
#include "karat/files/object_fields.hpp"
#include "karat/golden/make.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/recipe/json.hpp"
#include "karat/study/request.hpp"
#include "karat/sweep/cost.hpp"
#include "works.hpp"

namespace karat::sweep {
namespace {

namespace request = files::request;

// What tapped query blocks add to a file, for the estimate: eight of them unless a list is given,
// bytes of a pair of query and key in all inner stages, and bytes a second.
constexpr double kTappedBlocks = 8, kTapBytes = 14, kTapRate = 100e6;

struct GoldenRequest {
  std::vector<std::string> recipes;
  std::string tap;
  bool backward = false;
};
constexpr files::RequestField<GoldenRequest> kGoldenFields[] = {
    request::texts<&GoldenRequest::recipes>("recipes", "presets or .json files"),
    request::text<&GoldenRequest::tap>("tap", "query blocks whose inner stages are kept"),
    request::flag<&GoldenRequest::backward>("backward", "the gradients too")};

/// What one shard makes, and how a person would ask for it.
struct Item {
  std::size_t recipe = 0;
  std::string name;     ///< without the recipe's
  std::string options;  ///< of karat make, without the recipe
  layout::Setting setting;
  double heads = 1;
};

/// Where items come from, recipe by recipe.
class Items {
 public:
  virtual ~Items() = default;
  virtual std::size_t size() const = 0;  ///< of one recipe
  virtual Item item(std::size_t number) const = 0;
  virtual std::string identity() const = 0;
  virtual cases::ChosenCase chosen(std::size_t number, const std::string& recipe,
                                   const GoldenRequest& asked, std::uint64_t& seed,
                                   int threads) const = 0;
};

/// Cells of one model or of one folder of captures.
struct CellEntry {
  std::unique_ptr<capture::Source> source;
  std::string prefix;   ///< of names: "wan2.1-1.3b." where there are several entries
  std::string options;  ///< of karat make, that name the model or folder
};

class CellItems final : public Items {
 public:
  CellItems(const files::Json& given, const Places& places) {
    const files::Json list = given.is_array() ? given : files::Json::array({given});
    for (std::size_t i = 0; i < list.size(); ++i)
      entries_.push_back(entry_of(list[i], places, "golden.cells[" + std::to_string(i) + "]"));
    if (entries_.empty())
      throw Error(ErrorKind::usage, "golden.cells", "is empty",
                  "name at least one model or folder");
    for (const CellEntry& entry : entries_) {
      begins_.push_back(size_);
      size_ += entry.source->facts().jobs.size() * entry.source->facts().branches.size();
    }
    if (entries_.size() == 1) entries_.front().prefix.clear();
  }
  std::size_t size() const override { return size_; }
  Item item(std::size_t number) const override {
    const auto [entry, cell] = find(number);
    const capture::SourceFacts& facts = entry.source->facts();
    const std::string name = capture::name_of(cell);
    return {.name = entry.prefix + name,
            .options = entry.options + " --cell " + name,
            .setting = {.grid = facts.grid, .channels = facts.channels}};
  }
  std::string identity() const override {
    files::Json list = files::Json::array();
    for (const CellEntry& entry : entries_) list.push_back(entry.source->identity());
    return list.dump();
  }
  cases::ChosenCase chosen(std::size_t number, const std::string& recipe, const GoldenRequest&,
                           std::uint64_t& seed, int threads) const override {
    seed = 0;
    const auto [entry, cell] = find(number);
    return {.of = cases::make_case(recipe::load_recipe(recipe),
                                   capture::cell_inputs(*entry.source, cell, seed, threads)),
            .schedule = {}};
  }

 private:
  struct Found {
    const CellEntry& entry;
    capture::Cell cell;
  };
  Found find(std::size_t number) const {
    const auto at = std::ranges::upper_bound(begins_, number) - begins_.begin() - 1;
    const CellEntry& entry = entries_[static_cast<std::size_t>(at)];
    const capture::SourceFacts& facts = entry.source->facts();
    const std::size_t inside = number - begins_[static_cast<std::size_t>(at)];
    return {entry, capture::cell_of(facts.jobs[inside / facts.branches.size()],
                                    facts.branches[inside % facts.branches.size()])};
  }

  static CellEntry entry_of(const files::Json& json, const Places& places,
                            const std::string& subject) {
    files::ObjectFields fields(json, subject);
    if (fields.has("capture")) {
      fields.refuse(study::cells_fields(), "is of generated cells, but capture is given");
      const files::Json& given = fields.at("capture");
      fields.finish();
      if (!given.is_string())
        throw Error(ErrorKind::usage, subject + ".capture", "is no text", "name a folder");
      const std::string folder = places.file(given);
      return {.source = capture::folder_source(folder),
              .prefix = as_name(std::filesystem::path(folder).filename().string()) + ".",
              .options = " --capture " + shell_word(folder)};
    }
    study::CellsRequest asked;
    fields.read(study::cells_fields(), asked);
    fields.finish();
    CellEntry entry{.source = study::choose_cells(asked),
                    .prefix = as_name(asked.model) + ".",
                    .options = " --model " + asked.model};
    const video::Extent3 grid = entry.source->facts().grid;
    entry.options += " --grid " + std::to_string(grid.t) + "," + std::to_string(grid.h) + "," +
                     std::to_string(grid.w) + " --channels " +
                     std::to_string(entry.source->facts().channels);
    if (asked.head_kind)
      for (const auto& row : video::head_kinds())
        if (row.kind == *asked.head_kind) entry.options += " --head-kind " + std::string(row.name);
    if (asked.network_seed != 0)
      entry.options += " --network-seed " + std::to_string(asked.network_seed);
    return entry;
  }

  std::vector<CellEntry> entries_;
  std::vector<std::size_t> begins_;
  std::size_t size_ = 0;
};

/// Cases as karat make takes them: fields with several values multiply.
class CaseItems final : public Items {
 public:
  CaseItems(const files::Json& given, const Places& places) : axes_(case_axes(given, places)) {
    if (places.inputs.empty()) {
      for (const std::string& name : axes_.files()) planned_[name] = fingerprint(name);
      return;
    }
    const std::string planned = files::parse_json(places.inputs, "inputs.json").value("items", "");
    if (!planned.empty()) planned_ = files::parse_json(planned, "inputs.json");
  }
  std::size_t size() const override { return axes_.size(); }
  Item item(std::size_t number) const override {
    const cases::CaseRequest asked = axes_.request(number);
    Item item{.name = as_name(axes_.name(number)), .options = axes_.options(number)};
    if (!asked.in) {
      const auto inputs = cases::generated_inputs(asked.workload, asked.head);
      item.setting = inputs->setting();
      item.heads = static_cast<double>(inputs->shape().batch * inputs->shape().heads);
    }
    return item;
  }
  std::string identity() const override {
    return planned_.empty() ? std::string() : planned_.dump();
  }
  cases::ChosenCase chosen(std::size_t number, const std::string& recipe,
                           const GoldenRequest& golden, std::uint64_t& seed,
                           int threads) const override {
    cases::CaseRequest asked = axes_.request(number);
    for (const auto& field : {asked.in, asked.mask, asked.schedule})
      for (const std::string& name : numerics::words(field.value_or("")))
        require_planned(name, planned_.value(name, ""));
    asked.recipe = recipe;
    asked.backward = golden.backward;
    asked.threads = threads;
    seed = asked.workload.seed;
    return cases::choose_case(asked);
  }

 private:
  CaseAxes axes_;
  files::Json planned_ = files::Json::object();  ///< fingerprints of the files that cases read
};

class GoldenShards final : public Work {
 public:
  GoldenShards(const Spec& spec, const Places& places) : places_(places) {
    files::ObjectFields fields(files::Json::parse(spec.text), "golden");
    fields.read(std::span<const files::RequestField<GoldenRequest>>(kGoldenFields), asked_);
    const bool cells = fields.has("cells"), of_cases = fields.has("cases");
    fields.finish();
    if (cells == of_cases)
      throw Error(ErrorKind::usage, "golden", cells ? "has cells and cases" : "names no cells",
                  "give cells or cases");
    for (const std::string& name : asked_.recipes)
      recipes_.push_back(recipe::load_recipe(places.recipe(name)));
    if (recipes_.empty())
      throw Error(ErrorKind::usage, "golden.recipes", "names none", "give at least one");
    if (cells)
      items_ = std::make_unique<CellItems>(fields.at("cells"), places);
    else
      items_ = std::make_unique<CaseItems>(fields.at("cases"), places);
  }

  std::string_view ending() const override { return ".h5"; }
  std::size_t size() const override { return recipes_.size() * items_->size(); }
  std::string name(std::size_t shard) const override {
    const std::string item = items_->item(shard % items_->size()).name;
    return as_name(recipes_[shard / items_->size()].name) + (item.empty() ? "" : "." + item);
  }
  Cost cost(std::size_t shard) const override {
    const Item item = items_->item(shard % items_->size());
    if (item.setting.grid.volume() == 0) return {.multiply_adds = 0, .seconds = 1, .bytes = 1e6};
    const recipe::Recipe& recipe = recipes_[shard / items_->size()];
    const HeadWork::Answer head = heads_.of(recipe, item.setting);
    Cost cost = golden_cost(head, item.setting, item.heads, asked_.backward);
    if (asked_.tap != "none") {
      const double bytes = item.heads * kTappedBlocks * recipe.block.q *
                           static_cast<double>(item.setting.tokens()) * head.sparse / head.dense *
                           kTapBytes;
      cost.bytes += bytes;
      cost.seconds += bytes / kTapRate;
    }
    return cost;
  }
  std::string command(std::size_t shard) const override {
    return "karat make --recipe " +
           shell_word(places_.recipe_in_command(asked_.recipes[shard / items_->size()])) +
           items_->item(shard % items_->size()).options + (asked_.backward ? " --backward" : "") +
           (asked_.tap.empty() ? "" : " --tap " + shell_word(asked_.tap)) + " -o " + name(shard) +
           ".h5";
  }
  std::string identity() const override {
    files::Json json{{"recipes", files::Json::array()}, {"items", items_->identity()}};
    for (const recipe::Recipe& recipe : recipes_)
      json["recipes"].push_back(recipe::to_json(recipe, recipe::JsonStyle::line));
    return json.dump();
  }
  Made make(std::size_t shard, const std::filesystem::path& destination,
            const ShardOptions& options) override {
    std::uint64_t seed = 0;
    const std::string recipe = places_.recipe(asked_.recipes[shard / items_->size()]);
    const auto [of, schedule] =
        items_->chosen(shard % items_->size(), recipe, asked_, seed, options.threads);
    const golden::MakeSummary summary = golden::make(
        of,
        {.seed = seed,
         .taps = asked_.tap,
         .threads = options.threads,
         .passes = asked_.backward ? golden::Passes::forward_and_backward : golden::Passes::forward,
         .schedule = schedule,
         .progress =
             [&](golden::Phase, std::size_t, std::size_t, std::size_t) {
               if (options.tick) options.tick();
             }},
        destination);
    return {.text = std::nullopt, .sha256 = summary.seal.sha256, .bytes = summary.seal.bytes};
  }

 private:
  Places places_;
  GoldenRequest asked_;
  std::vector<recipe::Recipe> recipes_;
  std::unique_ptr<Items> items_;
  mutable HeadWork heads_;
};

}  // namespace

std::unique_ptr<Work> golden_work(const Spec& spec, const Places& places) {
  return std::make_unique<GoldenShards>(spec, places);
}

}  // namespace karat::sweep
