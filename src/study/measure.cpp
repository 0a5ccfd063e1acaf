// One job: truth once, every kernel on the sampled query blocks, then what guidance makes of it.
#include "karat/study/measure.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <optional>
#include <set>

#include "figures.hpp"
#include "gradients/measure.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/case/case.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/study/theory.hpp"
#include "prepared.hpp"

namespace karat::study {
namespace {

constexpr std::size_t kDetailedRows = 2;  // of each draw: their weights are looked at key by key

/// Truth and errors of one branch that guidance needs again.
struct BranchErrors {
  Rows truth, full, mask, fp8;  ///< errors: R - D, M - D, F - D
};

/// Everything about one head of one branch.
struct Bench {
  const cases::GivenHead& head;
  std::size_t channels;
  int threads;
  const std::function<void()>& step;

  attention::QuantisedHead operands(const PreparedKernel& kernel) const {
    return cases::operands_of(kernel.recipe, kernel.layout, head, threads);
  }
  Rows run(const PreparedKernel& kernel, const Sample& sample) const {
    attention::AttendOptions options{.threads = threads, .query_blocks = sample.blocks};
    const auto result = attention::attend(kernel.recipe, kernel.layout, operands(kernel), options);
    Rows rows;
    rows.reserve(sample.tokens.size() * channels);
    for (const std::int32_t token : sample.tokens)
      rows.insert(rows.end(), &result.o[token * channels], &result.o[token * channels] + channels);
    if (const float multiplier = kernel.recipe.finish.multiplier; multiplier != 1)
      for (double& x : rows) x /= multiplier;
    step();
    return rows;
  }
  attention::OracleResult truth(const PreparedKernel& kernel, const Sample& sample,
                                attention::OracleMask mask) const {
    auto result = attention::oracle(kernel.layout, head.values, sample.tokens, mask, threads);
    step();
    return result;
  }
};

/// The first rows of every draw, as a sample of its own over indices into `tokens`.
Sample first_rows(const Sample& sample, std::size_t count) {
  Sample few{.blocks = sample.blocks, .tokens = {}, .draws = {}};
  for (const auto& draw : sample.draws.rows) {
    auto& rows = few.draws.rows.emplace_back();
    for (std::size_t i = 0; i < std::min(count, draw.size()); ++i) {
      rows.push_back(few.tokens.size());
      few.tokens.push_back(static_cast<std::int32_t>(draw[i]));
    }
  }
  return few;
}

/// A study takes heads one at a time: a scale that all share would become another for each.
void refuse_scales_of_all_heads(const recipe::Recipe& recipe) {
  for (const recipe::Operand* operand : {&recipe.q, &recipe.k, &recipe.v})
    if (operand->group == quant::Group::all_heads && quant::has_scale(operand->format))
      throw Error(ErrorKind::usage, recipe.name,
                  "has scales of all heads, a study takes one by one",
                  "give q, k and v group tensor, or attend and check whole files");
}

}  // namespace

struct Workbench::State {
  const capture::Source& source;
  std::vector<recipe::Recipe> recipes;
  MeasureOptions options;
  std::vector<Prepared> prepared;                ///< Pass::forward
  std::optional<GradientMeasurement> gradients;  ///< Pass::backward
};

Workbench::Workbench(const capture::Source& source, std::vector<recipe::Recipe> recipes,
                     const MeasureOptions& options)
    : state_(new State{source, std::move(recipes), options, {}, {}}) {
  State& s = *state_;
  if (s.recipes.empty())
    throw Error(ErrorKind::usage, "recipes", "the list is empty", "name at least one");
  std::set<std::string> names;
  for (std::size_t r = 0; r < s.recipes.size(); ++r) {
    if (s.recipes[r].name.find_first_of(",\"\n\r") != std::string::npos)
      throw Error(ErrorKind::usage, s.recipes[r].name,
                  "a comma or quote in a recipe's name breaks CSV", "rename the recipe");
    if (!names.insert(s.recipes[r].name).second)
      throw Error(ErrorKind::usage, "recipes", "\"" + s.recipes[r].name + "\" is named twice",
                  "give each recipe a name of its own");
    refuse_scales_of_all_heads(s.recipes[r]);
    if (options.pass == Pass::backward) continue;
    const bool apart = std::ranges::find(options.taken_apart, static_cast<std::int32_t>(r)) !=
                       options.taken_apart.end();
    s.prepared.push_back(
        prepare(s.recipes[r], source.facts().grid, source.facts().channels, apart));
  }
  if (options.pass == Pass::backward) s.gradients.emplace(source, s.recipes, options);
}

Workbench::~Workbench() = default;

const std::vector<recipe::Recipe>& Workbench::recipes() const { return state_->recipes; }

Pass Workbench::pass() const { return state_->options.pass; }

std::size_t Workbench::steps_per_job() const {
  if (state_->gradients) return state_->gradients->steps_per_job();
  std::size_t apart = 0;
  std::set<std::string> rows, masks;
  for (const Prepared& p : state_->prepared) {
    rows.insert(p.rows_key);
    masks.insert(p.mask_key);
    if (p.rungs.empty()) continue;
    apart += p.suspects.size() + p.rungs.size();
    for (const auto& rung : p.rungs) apart += rung.alone.has_value();
  }
  const std::size_t branch = 1 + 2 * state_->prepared.size() + rows.size() + masks.size();
  return state_->source.facts().branches.size() * branch + apart;
}

namespace {

/// Ladder and suspects of one recipe on one head.
void take_apart(const Prepared& recipe, const Bench& bench, const Sample& sample, const Rows& dense,
                const Rows& masked, const Rows& full, Figures& figures) {
  const std::size_t d = bench.channels;
  const auto dense_squares = squares(dense, d), masked_squares = squares(masked, d);
  Rows before = masked;
  for (std::size_t i = 0; i < recipe.rungs.size(); ++i) {
    const PreparedRung& rung = recipe.rungs[i];
    const Rows now = i + 1 == recipe.rungs.size() ? full : bench.run(rung.so_far, sample);
    figures.ratio({Measure::rung, rung.part}, squares(now, dense, d), dense_squares);
    figures.ratio({Measure::given, rung.part}, squares(now, masked, d), masked_squares);
    const Rows alone = rung.alone ? bench.run(*rung.alone, sample) : now;
    figures.ratio({Measure::alone, rung.part}, squares(alone, rung.alone ? masked : before, d),
                  masked_squares);
    before = now;
  }
  for (const SuspectKernel& edit : recipe.suspects)
    figures.ratio(edit.suspect, squares(bench.run(edit.kernel, sample), dense, d), dense_squares);
}

/// Rows looked at key by key: predictions, and where the error lives.
void look_closer(const Prepared& recipe, std::int32_t index, const Bench& bench,
                 const Sample& sample, const Rows& dense, const Rows& masked, const Rows& full,
                 const std::vector<double>& kept_mass, Figures& figures, const Sample& few,
                 std::vector<RowRecord>& records) {
  const std::size_t d = bench.channels;
  const PreparedKernel& kernel = recipe.full;
  const auto coded = bench.operands(kernel);
  const auto dense_squares = squares(dense, d), masked_squares = squares(masked, d);
  const auto mask_errors = squares(masked, dense, d), both = squares(full, dense, d),
             given = squares(full, masked, d);
  std::vector<double> q, k, p, v, truth;
  std::vector<std::vector<double>> lost(std::size(kUnderflows));
  for (const std::int32_t row : few.tokens) {
    const std::int32_t token = sample.tokens[row];
    const RowTheory t = predict_row(kernel.recipe, kernel.layout, bench.head.values, coded, token);
    q.push_back(t.q), k.push_back(t.k), p.push_back(t.p), v.push_back(t.v);
    truth.push_back(t.truth);
    for (std::size_t i = 0; i < lost.size(); ++i) lost[i].push_back(t.lost[i]);
    records.push_back({.recipe = index,
                       .token = token,
                       .truth = dense_squares[row],
                       .mask = mask_errors[row],
                       .both = both[row],
                       .given = given[row],
                       .kept_mass = kept_mass[row],
                       .entropy = t.entropy,
                       .max_logit = t.max_logit,
                       .edge = t.edge});
  }
  std::vector<double> qk(q.size());
  for (std::size_t i = 0; i < q.size(); ++i) qk[i] = q[i] + k[i];
  figures.ratio({Measure::theory, Part::qk}, qk, truth);
  figures.ratio({Measure::theory, Part::p}, p, truth);
  figures.ratio({Measure::theory, Part::v}, v, truth);
  for (std::size_t i = 0; i < lost.size(); ++i) figures.average(Quantity::lost(i), lost[i]);
  bench.step();
}

/// Errors of u + g*(c - u).
void guide(const BranchErrors& c, const BranchErrors& u, double g, std::size_t d,
           Figures& figures) {
  const auto guided = [&](const Rows& a, const Rows& b) { return combined(g, a, 1 - g, b); };
  const auto reference = squares(guided(c.truth, u.truth), d);
  figures.ratio(Measure::guided, squares(guided(c.full, u.full), d), reference);
  figures.ratio(Measure::guided_mask, squares(guided(c.mask, u.mask), d), reference);
  figures.ratio(Measure::guided_fp8, squares(guided(c.fp8, u.fp8), d), reference);
  figures.ratio(Measure::guided_common, squares(combined(0.5, c.full, 0.5, u.full), d), reference);
  figures.ratio(Measure::guided_independent, squares(combined(g - 0.5, c.full, 0.5 - g, u.full), d),
                reference);
}

}  // namespace

JobResult Workbench::measure(const capture::Job& job, int threads,
                             const std::function<void()>& step) const {
  const State& s = *state_;
  if (s.gradients) return s.gradients->measure(job, threads, step);
  const std::size_t d = s.source.facts().channels;
  JobResult result{.job = job, .figures = {}, .rows = {}};
  const auto available = s.source.query_tokens(job);
  const std::uint64_t stream = sample_stream(job);
  std::map<std::string, Sample> samples;
  for (const Prepared& p : s.prepared)
    if (!samples.contains(p.rows_key))
      samples[p.rows_key] = draw_sample(p.full.layout, available, s.options.sample, stream);

  std::vector<std::vector<BranchErrors>> kept(s.prepared.size());
  for (const video::Branch branch : s.source.facts().branches) {
    cases::GivenHead head{.room = s.source.values(cell_of(job, branch), threads)};
    head.values = head.room.view();
    step();
    const Bench bench{head, d, threads, step};
    std::map<std::string, attention::OracleResult> dense, masked;
    for (std::size_t r = 0; r < s.prepared.size(); ++r) {
      const Prepared& p = s.prepared[r];
      const Sample& sample = samples[p.rows_key];
      if (!dense.contains(p.rows_key))
        dense[p.rows_key] = bench.truth(p.full, sample, attention::OracleMask::dense);
      if (!masked.contains(p.mask_key))
        masked[p.mask_key] = bench.truth(p.full, sample, attention::OracleMask::sparse);
      const attention::OracleResult &all = dense[p.rows_key], &some = masked[p.mask_key];
      const Rows full = bench.run(p.full, sample), fp8 = bench.run(p.unmasked, sample);
      const auto index = static_cast<std::int32_t>(r);
      Figures figures(result.figures, branch, index, sample.draws);
      const auto all_squares = squares(all.o, d);
      figures.ratio(Measure::both, squares(full, all.o, d), all_squares);
      figures.ratio(Measure::mask, squares(some.o, all.o, d), all_squares);
      figures.ratio(Measure::fp8, squares(fp8, all.o, d), all_squares);
      figures.ratio(Measure::fp8_given_mask, squares(full, some.o, d), squares(some.o, d));
      std::vector<double> mass;
      for (std::size_t i = 0; i < all.lse.size(); ++i)
        mass.push_back(numerics::exp2_f64((some.lse[i] - all.lse[i]) * std::numbers::log2e));
      figures.average(Measure::kept_mass, mass);
      if (!p.rungs.empty() && branch == s.source.facts().branches.front()) {
        take_apart(p, bench, sample, all.o, some.o, full, figures);
        const Sample few = first_rows(sample, kDetailedRows);
        Figures few_figures(result.figures, branch, index, few.draws);
        look_closer(p, index, bench, sample, all.o, some.o, full, mass, few_figures, few,
                    result.rows);
      }
      kept[r].push_back({all.o, combined(1, full, -1, all.o), combined(1, some.o, -1, all.o),
                         combined(1, fp8, -1, all.o)});
    }
  }
  if (s.source.facts().branches.size() == 2)
    for (std::size_t r = 0; r < s.prepared.size(); ++r) {
      Figures figures(result.figures, video::Branch::conditional, static_cast<std::int32_t>(r),
                      samples[s.prepared[r].rows_key].draws);
      guide(kept[r][0], kept[r][1], s.source.facts().guidance, d, figures);
    }
  return result;
}

}  // namespace karat::study
