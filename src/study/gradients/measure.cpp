// One job: truths once, every variant on the sampled blocks.
#include "gradients/measure.hpp"

#include <algorithm>

#include "gradients/bench.hpp"
#include "karat/case/inputs.hpp"

namespace karat::study {
namespace {

constexpr std::uint64_t kGradient = 0x646f000000000000;  // "do": the seed of a generated dO

/// Figures of one recipe: error and cosine of dq, dk and dv.
class GradientFigures {
 public:
  GradientFigures(std::vector<Figure>& out, video::Branch branch, std::int32_t recipe,
                  const GradientSample& sample, std::size_t channels)
      : of_queries_(out, branch, recipe, sample.queries.draws),
        of_keys_(out, branch, recipe, sample.keys.draws),
        channels_(channels) {}

  /// |a - b| / |reference|, and the cosine between a and b.
  void add(Measure measure, const Gradients& a, const Gradients& b, const Gradients& reference,
           GradientPart part = {}) {
    for (const Output output : kGradients) {
      Figures& figures = output == Output::dq ? of_queries_ : of_keys_;
      const Rows &x = a.of(output), &y = b.of(output);
      figures.ratio(Quantity::of_gradient(output, Metric::relative_l2, measure, part),
                    squares(x, y, channels_), squares(reference.of(output), channels_));
      figures.cosine(Quantity::of_gradient(output, Metric::cosine, measure, part), x, y, channels_);
    }
  }
  void add(Measure measure, const Gradients& a, const Gradients& b, GradientPart part = {}) {
    add(measure, a, b, b, part);
  }

 private:
  Figures of_queries_, of_keys_;
  std::size_t channels_;
};

}  // namespace

GradientMeasurement::GradientMeasurement(const capture::Source& source,
                                         const std::vector<recipe::Recipe>& recipes,
                                         const MeasureOptions& options)
    : source_(source), options_(options) {
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    const bool apart = std::ranges::find(options.taken_apart, static_cast<std::int32_t>(r)) !=
                       options.taken_apart.end();
    prepared_.push_back(
        prepare_gradients(recipes[r], source.facts().grid, source.facts().channels, apart));
    of_mask_[prepared_.back().mask_key].push_back(r);
  }
}

std::size_t GradientMeasurement::steps_per_job() const {
  std::size_t steps = 2 + of_mask_.size();  // values, the dense truth, the masks' truths
  for (const PreparedGradients& p : prepared_) {
    steps += 2;
    for (const auto& rung : p.rungs)
      steps += 1 + rung.alone.has_value() + rung.alone_dense.has_value();
  }
  return steps;
}

JobResult GradientMeasurement::measure(const capture::Job& job, int threads,
                                       const std::function<void()>& step) const {
  const std::size_t d = source_.facts().channels;
  if (!source_.query_tokens(job).empty())
    throw Error(ErrorKind::input_output, "q_tokens",
                "the capture holds some queries, and dk and dv sum over all of them",
                "save q whole for a study of gradients");
  const video::Branch branch = source_.facts().branches.front();
  const capture::Cell cell = cell_of(job, branch);
  const std::uint64_t stream = sample_stream(job);
  std::map<std::string, GradientSample> samples;
  std::vector<const GradientSample*> sample_of;
  for (const PreparedGradients& p : prepared_) {
    const auto [at, is_new] = samples.try_emplace(p.rows_key);
    if (is_new)
      at->second = {draw_sample(p.full.kernel.layout, {}, options_.sample, stream),
                    draw_key_sample(p.full.kernel.layout, options_.sample, stream)};
    sample_of.push_back(&at->second);
  }

  cases::GivenHead head{.room = source_.values(cell, threads)};
  head.values = head.room.view();
  auto d_o = source_.output_gradient(cell);
  if (!d_o)
    d_o = cases::generated_output_gradient(options_.sample.seed ^ stream ^ kGradient, 0, 0,
                                           head.room.q.size() / d, d);
  step();
  GradientBench bench(head, std::move(*d_o), d, threads, step);
  const std::vector<Gradients> dense =
      bench.truths(prepared_.front().full.kernel.layout, attention::OracleMask::dense, sample_of);
  std::vector<Gradients> masked(prepared_.size());
  for (const auto& [key, recipes] : of_mask_) {
    std::vector<const GradientSample*> of_these;
    for (const std::size_t r : recipes) of_these.push_back(sample_of[r]);
    auto truths = bench.truths(prepared_[recipes.front()].full.kernel.layout,
                               attention::OracleMask::sparse, of_these);
    for (std::size_t i = 0; i < recipes.size(); ++i) masked[recipes[i]] = std::move(truths[i]);
  }

  JobResult result{.job = job, .figures = {}, .rows = {}};
  for (std::size_t r = 0; r < prepared_.size(); ++r) {
    const PreparedGradients& p = prepared_[r];
    const GradientSample& sample = *sample_of[r];
    const auto run = [&](const PreparedBackward& kernel) { return bench.run(p, kernel, sample); };
    GradientFigures figures(result.figures, branch, static_cast<std::int32_t>(r), sample, d);
    const Gradients &all = dense[r], &some = masked[r];
    const Gradients full = run(p.full);
    figures.add(Measure::both, full, all);
    figures.add(Measure::mask, some, all);
    figures.add(Measure::fp8, run(p.unmasked), all);
    figures.add(Measure::fp8_given_mask, full, some);
    Gradients before = some;
    for (const PreparedGradientRung& rung : p.rungs) {
      const Gradients now = run(rung.so_far);
      figures.add(Measure::rung, now, all, rung.part);
      figures.add(Measure::given, now, some, rung.part);
      if (rung.alone) {
        figures.add(Measure::alone, run(*rung.alone), some, rung.part);
        figures.add(Measure::alone_dense, run(*rung.alone_dense), all, rung.part);
      } else {
        figures.add(Measure::alone, now, before, some, rung.part);
      }
      before = now;
    }
  }
  return result;
}

}  // namespace karat::study
