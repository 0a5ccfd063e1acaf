// The user's tensors, by the one naming rule of docs/study.md.
#include "karat/capture/folder.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "karat/files/paths.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/files/sha256.hpp"
#include "karat/files/widen.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/video/models.hpp"
#include "tensor_name.hpp"

namespace karat::capture {
namespace {

using files::DType;
namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& subject, const std::string& problem,
                         const std::string& action = "see docs/study.md, Captures") {
  throw Error(ErrorKind::input_output, subject, problem, action);
}

struct SavedTensor {
  fs::path file;
  std::string name;  ///< as the file spells it
  files::TensorInfo info;
};

std::vector<fs::path> files_of(const fs::path& folder) {
  const files::Standing there = files::standing(folder);
  if (there == files::Standing::file) return {folder};
  if (there != files::Standing::folder)
    refuse(files::shown(folder), "is no folder and no file", "give the folder of your tensors");
  std::vector<fs::path> found = files::files_in(folder, ".safetensors");
  if (found.empty()) refuse(folder.string(), "holds no .safetensors file");
  return found;
}

class Capture final : public Source {
 public:
  explicit Capture(const fs::path& folder) : folder_(folder) {
    for (const fs::path& file : files_of(folder)) add(file);
    if (tensors_.empty()) refuse(folder.string(), "holds no tensor named p0.s0.l0.h0.cond.q");
    facts_.origin = "captured: " + folder_.filename().string();
    facts_.guidance = 5;
    read_metadata();
    require_complete();
  }

  files::Json identity() const override {
    files::Json list = files::Json::array();
    for (const auto& file : seen_)
      list.push_back({{"name", file.filename().string()}, {"sha256", files::sha256_file(file)}});
    return {{"kind", "capture"},
            {"grid", {facts_.grid.t, facts_.grid.h, facts_.grid.w}},
            {"files", list}};
  }
  std::string head_kind(const Job&) const override { return ""; }

  std::vector<std::int32_t> query_tokens(const Job& job) const override {
    const Cell cell = cell_of(job, facts_.branches.front());
    if (!has(cell, "q_tokens")) return {};
    const files::Tensor tensor = read(cell, "q_tokens");
    const auto tokens = tensor.as<std::int32_t>();
    return {tokens.begin(), tokens.end()};
  }

  cases::HeadValues values(const Cell& cell, int) const override {
    cases::HeadValues values{.q = floats(cell, "q"),
                             .k = floats(cell, "k"),
                             .v = floats(cell, "v"),
                             .format = format(cell)};
    if (has(cell, "q_tokens")) values.q = spread_queries(cell, values.q);
    return values;
  }

  std::optional<std::vector<float>> output_gradient(const Cell& cell) const override {
    if (!has(cell, "do")) return std::nullopt;
    return floats(cell, "do");
  }

 private:
  using Key = std::pair<Cell, std::string>;

  void add(const fs::path& file) {
    seen_.push_back(file);
    for (const files::TensorInfo& info : files::list_safetensors(file)) {
      const auto name = parse_name(info.name);
      const std::string subject = file.string() + ": " + info.name;
      if (!name) refuse(subject, "is not named pPROMPT.sSTEP.lLAYER.hHEAD.BRANCH.TENSOR");
      constexpr std::array<std::string_view, 6> kTensors{"q",        "k",           "v",
                                                         "q_tokens", "q_tile_amax", "do"};
      if (std::ranges::find(kTensors, name->tensor) == kTensors.end())
        refuse(subject, "is none of q, k, v, q_tokens, q_tile_amax, do");
      if (!tensors_.try_emplace({name->cell, name->tensor}, SavedTensor{file, info.name, info})
               .second)
        refuse(subject, "stands in two places", "keep one");
    }
    for (const auto& [key, text] : files::read_safetensors_metadata(file)) {
      const auto [at, is_new] = metadata_.try_emplace(key, text);
      constexpr std::array<std::string_view, 6> kOurs{"grid", "steps", "sigma",
                                                      "tile", "model", "guidance"};
      if (!is_new && at->second != text && std::ranges::find(kOurs, key) != kOurs.end())
        refuse(file.string() + ": " + key,
               "says " + text + " where another file says " + at->second);
    }
  }

  const std::string& meta(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end())
      refuse(folder_.string() + ": " + key, "is missing in __metadata__");
    return found->second;
  }

  std::vector<double> numbers(const std::string& key) const {
    std::string text = meta(key);
    if (!text.starts_with('[')) text = "[" + text + "]";
    std::vector<double> list;
    for (const auto& x : files::parse_json(text, folder_.string() + ": " + key)) {
      if (!x.is_number())
        refuse(folder_.string() + ": " + key, "\"" + text + "\" is no list of numbers");
      list.push_back(x.get<double>());
    }
    return list;
  }

  video::Extent3 extent(const std::string& key) const {
    const auto list = numbers(key);
    const bool good = list.size() == 3 && std::ranges::all_of(list, [](double x) {
                        return x >= 1 && x < 1e6 && x == std::floor(x);
                      });
    if (!good) refuse(folder_.string() + ": " + key, "\"" + meta(key) + "\" is not T,H,W");
    return {static_cast<int>(list[0]), static_cast<int>(list[1]), static_cast<int>(list[2])};
  }

  void read_metadata() {
    facts_.grid = extent("grid");
    const auto steps = numbers("steps");
    if (steps.size() != 1 || steps[0] < 1 || steps[0] > 1e6)
      refuse(folder_.string() + ": steps", "\"" + meta("steps") + "\" is no number of steps");
    facts_.steps = static_cast<int>(steps[0]);
    if (metadata_.contains("guidance")) facts_.guidance = numbers("guidance").at(0);
    if (metadata_.contains("sigma")) {
      facts_.sigma = numbers("sigma");
      if (facts_.sigma.size() != static_cast<std::size_t>(facts_.steps))
        refuse(folder_.string() + ": sigma", std::to_string(facts_.sigma.size()) +
                                                 " noise levels for " +
                                                 std::to_string(facts_.steps) + " steps");
      return;
    }
    facts_.sigma.assign(facts_.steps, std::numeric_limits<double>::quiet_NaN());
    if (!metadata_.contains("model")) return;
    const video::Model& model = video::find_model(meta("model"));
    if (model.sampler.kind != video::SamplerKind::rectified_flow) return;
    for (int step = 0; step < facts_.steps; ++step)
      facts_.sigma[step] = video::sigma(model, step, facts_.steps);
  }

  bool has(const Cell& cell, const std::string& tensor) const {
    return tensors_.contains({cell, tensor});
  }
  const SavedTensor& place(const Cell& cell, const std::string& tensor) const {
    const auto found = tensors_.find({cell, tensor});
    if (found == tensors_.end())
      refuse(folder_.string(), "lacks " + name_of(cell) + "." + tensor,
             "save it, or take the cell out everywhere");
    return found->second;
  }
  std::string subject(const SavedTensor& place) const {
    return place.file.string() + ": " + place.name;
  }
  files::Tensor read(const Cell& cell, const std::string& tensor) const {
    const SavedTensor& at = place(cell, tensor);
    return files::read_safetensors(at.file, at.name);
  }

  /// Every prompt has the same cells, every cell the same branches, every tensor its shape.
  void require_complete() {
    std::set<Job> jobs;
    std::set<std::int32_t> prompts;
    std::set<std::array<std::int32_t, 3>> cells;
    std::set<video::Branch> branches, with_gradient;
    for (const auto& [key, at] : tensors_) {
      const Cell& c = key.first;
      if (key.second == "do") with_gradient.insert(c.branch);
      prompts.insert(c.prompt);
      cells.insert({c.step, c.layer, c.head});
      branches.insert(c.branch);
      if (c.step >= facts_.steps)
        refuse(subject(at), "is of a step past the last of " + std::to_string(facts_.steps));
    }
    facts_.branches.assign(branches.begin(), branches.end());
    if (with_gradient.contains(facts_.branches.front()))
      facts_.output_gradient = cases::GradientOrigin::given;
    const auto tokens = static_cast<std::size_t>(facts_.grid.volume());
    facts_.channels = 0;
    for (const std::int32_t prompt : prompts)
      for (const auto& [step, layer, head] : cells) {
        facts_.jobs.push_back({prompt, step, layer, head});
        for (const video::Branch branch : facts_.branches) {
          const Cell cell = cell_of(facts_.jobs.back(), branch);
          const bool some = has(cell, "q_tokens");
          for (const char* tensor : {"q", "k", "v"}) {
            const SavedTensor& at = place(cell, tensor);
            if (!at.info.problem.empty()) refuse(subject(at), at.info.problem);
            if (at.info.shape.size() != 2)
              refuse(subject(at), "has shape " + files::to_string(at.info.shape) +
                                      " where [tokens, channels] is wanted");
            if (facts_.channels == 0) facts_.channels = at.info.shape[1];
            if (at.info.shape[1] != facts_.channels)
              refuse(subject(at), "has " + std::to_string(at.info.shape[1]) +
                                      " channels where others have " +
                                      std::to_string(facts_.channels));
            const std::size_t rows =
                tensor[0] == 'q' && some ? place(cell, "q_tokens").info.shape.at(0) : tokens;
            if (at.info.shape[0] != rows)
              refuse(subject(at), "has " + std::to_string(at.info.shape[0]) + " rows, not " +
                                      std::to_string(rows));
          }
          if (some) require_queries(cell, tokens);
          if (with_gradient.contains(branch) &&
              place(cell, "do").info.shape != place(cell, "q").info.shape)
            refuse(
                subject(place(cell, "do")),
                "has shape " + files::to_string(place(cell, "do").info.shape) + ", not that of q");
        }
        if (facts_.branches.size() == 2) {
          const Cell c = cell_of(facts_.jobs.back(), facts_.branches[0]),
                     u = cell_of(facts_.jobs.back(), facts_.branches[1]);
          if (has(c, "q_tokens") != has(u, "q_tokens") ||
              (has(c, "q_tokens") && read(c, "q_tokens") != read(u, "q_tokens")))
            refuse(subject(place(u, "q")), "holds other rows than the conditional branch",
                   "save the same query tiles in both");
        }
      }
  }

  void require_queries(const Cell& cell, std::size_t tokens) const {
    const SavedTensor& at = place(cell, "q_tokens");
    if (at.info.dtype != DType::i32 || at.info.shape.size() != 1)
      refuse(subject(at), "is no list of I32");
    const files::Tensor tensor = read(cell, "q_tokens");
    const auto list = tensor.as<std::int32_t>();
    if (list.empty()) refuse(subject(at), "names no token");
    for (std::size_t i = 0; i < list.size(); ++i)
      if (list[i] < 0 || static_cast<std::size_t>(list[i]) >= tokens ||
          (i > 0 && list[i] <= list[i - 1]))
        refuse(subject(at), "is not ascending inside the grid at index " + std::to_string(i));
    const SavedTensor& amax = place(cell, "q_tile_amax");
    const video::Tiling tiling(facts_.grid, extent("tile"));
    if (amax.info.shape !=
        files::Shape{static_cast<std::size_t>(tiling.tile_count()), facts_.channels})
      refuse(subject(amax), "has shape " + files::to_string(amax.info.shape) + ", not [" +
                                std::to_string(tiling.tile_count()) + ", " +
                                std::to_string(facts_.channels) + "]");
  }

  std::vector<float> floats(const Cell& cell, const std::string& tensor) const {
    const SavedTensor& at = place(cell, tensor);
    if (files::info(at.info.dtype).size == 1)
      refuse(subject(at), "holds " + std::string(files::info(at.info.dtype).name) + " codes",
             "save values: bf16, f16 or f32");
    std::vector<float> values = files::widen_to_f32(read(cell, tensor), subject(at));
    const auto bad = std::ranges::find_if(values, [](float x) { return !std::isfinite(x); });
    if (bad != values.end()) {
      const auto i = static_cast<std::size_t>(bad - values.begin());
      refuse(subject(at),
             std::string(std::isnan(*bad) ? "NaN" : "Inf") + " at row " +
                 std::to_string(i / facts_.channels) + ", channel " +
                 std::to_string(i % facts_.channels),
             "attention of it has no value; mend the capture");
    }
    return values;
  }

  numerics::FormatId format(const Cell& cell) const {
    switch (place(cell, "q").info.dtype) {
      case DType::bf16:
        return numerics::FormatId::bf16;
      case DType::f16:
        return numerics::FormatId::f16;
      default:
        return numerics::FormatId::f32;
    }
  }

  /// Captured rows in their places. Tiles that were not saved hold their largest magnitudes once,
  /// so that every group of whole tiles has its true amax; no row of theirs is ever looked at.
  std::vector<float> spread_queries(const Cell& cell, const std::vector<float>& rows) const {
    const files::Tensor tensor = read(cell, "q_tokens");
    const auto list = tensor.as<std::int32_t>();
    const std::vector<float> amax = floats(cell, "q_tile_amax");
    std::vector<float> all(static_cast<std::size_t>(facts_.grid.volume()) * facts_.channels, 0.0f);
    const video::Tiling tiling(facts_.grid, extent("tile"));
    std::set<int> saved;
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::copy_n(&rows[i * facts_.channels], facts_.channels, &all[list[i] * facts_.channels]);
      saved.insert(tiling.tile_of(std::int64_t{list[i]}));
    }
    for (int tile = 0; tile < tiling.tile_count(); ++tile) {
      if (saved.contains(tile)) continue;
      const auto token =
          static_cast<std::size_t>(video::token_index(facts_.grid, tiling.box(tile).origin));
      std::copy_n(&amax[tile * facts_.channels], facts_.channels, &all[token * facts_.channels]);
    }
    return all;
  }

  fs::path folder_;
  std::vector<fs::path> seen_;
  std::map<Key, SavedTensor> tensors_;
  files::Metadata metadata_;
};

}  // namespace

std::unique_ptr<Source> folder_source(const std::filesystem::path& folder) {
  return std::make_unique<Capture>(folder);
}

}  // namespace karat::capture
