// Jobs of one study: a shard is a line of its journal.
#include <mutex>
#include <nlohmann/json.hpp>

#include "../shell.hpp"
#include "karat/files/object_fields.hpp"
#include "karat/sweep/cost.hpp"
#include "karat/sweep/study_sweep.hpp"
#include "works.hpp"

namespace karat::sweep {
namespace {

study::StudyRequest asked_of(const Spec& spec, const Places& places) {
  study::StudyRequest asked;
  files::ObjectFields fields(files::Json::parse(spec.text), "study");
  if (fields.has("capture"))
    fields.refuse(study::cells_fields(), "is of generated cells, but capture is given");
  fields.read(study::cells_fields(), asked.cells);
  fields.read(study::study_fields(), asked);
  fields.finish();
  if (asked.recipes)
    for (std::string& name : *asked.recipes) name = places.recipe(name);
  if (asked.capture) asked.capture = places.file(*asked.capture);
  return asked;
}

class StudyShards final : public Work {
 public:
  StudyShards(const Spec& spec, const Places& places)
      : chosen_(study::choose_study(asked_of(spec, places))),
        identity_(study::identity_of(*chosen_.source, chosen_.recipes, chosen_.options)),
        plan_(places.plan.string()),
        cost_(estimate()) {}

  std::string_view ending() const override { return ".json"; }
  std::size_t size() const override { return jobs().size(); }
  std::string name(std::size_t shard) const override { return capture::name_of(jobs()[shard]); }
  Cost cost(std::size_t) const override { return cost_; }
  std::string command(std::size_t shard) const override {
    return "karat sweep run " + shell_word(plan_) + " --only " + name(shard);
  }
  std::string identity() const override { return identity_.text; }
  Made make(std::size_t shard, const std::filesystem::path&, const ShardOptions& options) override {
    if (!bench_) bench_.emplace(*chosen_.source, chosen_.recipes, chosen_.options);
    const auto step = [&] {
      if (options.tick) options.tick();
    };
    return made_of(study::job_line(bench_->measure(jobs()[shard], options.threads, step)) + "\n");
  }

 private:
  const std::vector<capture::Job>& jobs() const { return chosen_.source->facts().jobs; }

  /// Every kernel on the sampled query blocks, truth of the sampled rows, and all values of a head
  /// coded anew for every kernel.
  Cost estimate() const {
    const capture::SourceFacts& facts = chosen_.source->facts();
    const layout::Setting setting{.grid = facts.grid, .channels = facts.channels};
    const auto tokens = static_cast<double>(setting.tokens());
    const double values = 3 * tokens * static_cast<double>(facts.channels);
    HeadWork heads;
    Cost cost;
    double coded = 0;
    for (std::size_t r = 0; r < chosen_.recipes.size(); ++r) {
      const recipe::Recipe& recipe = chosen_.recipes[r];
      const HeadWork::Answer head = heads.of(recipe, setting);
      const double rows = std::min(tokens, static_cast<double>(chosen_.options.sample.draws) *
                                               static_cast<double>(recipe.block.q));
      const double truth = std::min(tokens, static_cast<double>(chosen_.options.sample.rows));
      const bool apart =
          std::ranges::find(chosen_.options.taken_apart, static_cast<std::int32_t>(r)) !=
          chosen_.options.taken_apart.end();
      const double kernels = apart ? 2.0 * static_cast<double>(study::parts().size()) +
                                         static_cast<double>(study::suspects().size())
                                   : 0.0;
      const auto branches = static_cast<double>(facts.branches.size());
      cost.multiply_adds += branches * (rows + truth) / tokens * (head.sparse + head.dense) +
                            kernels * rows / tokens * head.sparse;
      coded += values * (2 * branches + kernels);
    }
    cost.seconds = cost.multiply_adds / kRates.study + coded / (10 * kRates.values);
    cost.bytes = 20e3 * static_cast<double>(chosen_.recipes.size());
    return cost;
  }

  study::ChosenStudy chosen_;
  study::StudyIdentity identity_;
  std::string plan_;
  Cost cost_;
  std::optional<study::Workbench> bench_;
};

}  // namespace

std::unique_ptr<Work> study_work(const Spec& spec, const Places& places) {
  return std::make_unique<StudyShards>(spec, places);
}

study::ChosenStudy study_of(const Spec& spec, const Places& places) {
  return study::choose_study(asked_of(spec, places));
}

}  // namespace karat::sweep
