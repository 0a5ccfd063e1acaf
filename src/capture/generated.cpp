// Cells of the denoising model.
#include "karat/capture/generated.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "karat/video/models.hpp"

namespace karat::capture {
namespace {

void require_indices(const std::vector<int>& list, int end, const std::string& name) {
  if (list.empty()) throw Error(ErrorKind::usage, name, "names none", "give at least one");
  if (!std::is_sorted(list.begin(), list.end(), std::less_equal<>()))
    throw Error(ErrorKind::usage, name, "are not ascending", "give each once, in order");
  if (list.front() < 0 || list.back() >= end)
    throw Error(ErrorKind::usage, name, "reach outside 0.." + std::to_string(end - 1),
                "count from 0");
}

constexpr double kMostJobs = 1e7;  // a list of more is no campaign, and fills memory first

class Generated final : public Source {
 public:
  explicit Generated(const GeneratedSource& source) : source_(source) {
    video::validate(source_.spec);
    const video::Model& model = video::find_model(source_.model);
    facts_.origin = "generated: denoising model on " + video::to_string(source_.spec.grid) +
                    " tokens, schedule of " + source_.model;
    facts_.grid = source_.spec.grid;
    facts_.channels = static_cast<std::size_t>(source_.spec.head_dim);
    facts_.branches = source_.branches;
    facts_.steps = model.sampler.steps;
    facts_.guidance = model.sampler.guidance;
    if (source_.prompts < 1)
      throw Error(ErrorKind::usage, "prompts", "there are none", "give at least 1");
    if (source_.branches.empty())
      throw Error(ErrorKind::usage, "branches", "there are none", "give conditional");
    require_indices(source_.steps, facts_.steps, "steps");
    require_indices(source_.layers, source_.spec.layers, "layers");
    require_indices(source_.heads, source_.spec.heads, "heads");
    const double jobs =
        static_cast<double>(source_.prompts) * static_cast<double>(source_.steps.size()) *
        static_cast<double>(source_.layers.size()) * static_cast<double>(source_.heads.size());
    if (jobs > kMostJobs)
      throw Error(ErrorKind::usage, "cells",
                  "prompts, steps, layers and heads ask for more than 10000000", "name fewer");
    for (int step = 0; step < facts_.steps; ++step)
      facts_.sigma.push_back(video::sigma(model, step, facts_.steps));
    for (int prompt = 0; prompt < source_.prompts; ++prompt)
      for (const int step : source_.steps)
        for (const int layer : source_.layers)
          for (const int head : source_.heads) facts_.jobs.push_back({prompt, step, layer, head});
  }

  files::Json identity() const override {
    const video::DenoisingSpec& s = source_.spec;
    files::Json branches = files::Json::array();
    for (const video::Branch branch : source_.branches) branches.push_back(to_string(branch));
    return {{"kind", "generated"},
            {"model", source_.model},
            {"grid", {s.grid.t, s.grid.h, s.grid.w}},
            {"channels", s.head_dim},
            {"network", {{"layers", s.layers}, {"heads", s.heads}, {"seed", s.seed}}},
            {"head_kind", s.head_kind ? files::Json(name_of(*s.head_kind)) : files::Json(nullptr)},
            {"objects", s.objects},
            {"motion", s.motion},
            {"outlier_channels", s.outlier_channels},
            {"outlier_gain", s.outlier_gain},
            {"texture", s.texture},
            {"depth_share", s.depth_share},
            {"prompt_gain", s.prompt_gain},
            {"prompts", source_.prompts},
            {"steps", source_.steps},
            {"layers", source_.layers},
            {"heads", source_.heads},
            {"branches", branches}};
  }
  std::string head_kind(const Job& job) const override {
    return std::string(name_of(video::head_kind_of(source_.spec, job.layer, job.head)));
  }
  std::vector<std::int32_t> query_tokens(const Job&) const override { return {}; }
  cases::HeadValues values(const Cell& cell, int threads) const override {
    video::Head head = video::generate_head(source_.spec,
                                            {.prompt = cell.prompt,
                                             .sigma = facts_.sigma[cell.step],
                                             .layer = cell.layer,
                                             .head = cell.head,
                                             .branch = cell.branch},
                                            threads);
    return {.q = std::move(head.q),
            .k = std::move(head.k),
            .v = std::move(head.v),
            .format = numerics::FormatId::bf16};
  }

 private:
  static std::string_view name_of(video::HeadKind kind) {
    for (const auto& row : video::head_kinds())
      if (row.kind == kind) return row.name;
    return "";
  }
  GeneratedSource source_;
};

}  // namespace

std::unique_ptr<Source> generated_source(const GeneratedSource& source) {
  return std::make_unique<Generated>(source);
}

std::vector<int> spread(int count, int total) {
  std::vector<int> chosen;
  if (count >= total) count = total;
  for (int i = 0; i < count; ++i)
    chosen.push_back(count == 1 ? total / 2
                                : static_cast<int>(std::int64_t{i} * (total - 1) / (count - 1)));
  return chosen;
}

}  // namespace karat::capture
