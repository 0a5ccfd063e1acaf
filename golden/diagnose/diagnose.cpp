// The verdict first, then what the candidate is as a whole, then the search.
#include "karat/golden/diagnose.hpp"

#include <algorithm>
#include <cmath>

#include "backward_trial.hpp"
#include "search.hpp"

namespace karat::golden {
namespace {

/// What can be said without any hypothesis, from the last stage sampled.
struct Overview {
  enum class Kind {
    like,    ///< something like the golden values: nothing to say
    unlike,  ///< nothing in common with them: no pairs
    blank,   ///< one value everywhere: no pairs, and worth a word whatever explains it
    broken,  ///< NaN in some rows: worth a word too
  } kind = Kind::like;
  std::string remark = {};
};

bool holds_nan(const SampledStage& stage, std::size_t row) {
  const auto first = stage.candidate.begin() + static_cast<std::ptrdiff_t>(row * stage.width);
  return std::any_of(first, first + static_cast<std::ptrdiff_t>(stage.width),
                     [](float x) { return std::isnan(x); });
}

Overview look_at_whole(const Sample& sample) {
  using Kind = Overview::Kind;
  const SampledStage& stage = sample.stages.back();
  const std::string name(to_text(stage.stage));
  const auto all = [&](auto&& is) {
    return std::all_of(stage.candidate.begin(), stage.candidate.end(), is);
  };
  if (all([](float x) { return x == 0; }))
    return {Kind::blank, name + " is 0 everywhere it was looked at: was the output written?"};
  if (all([](float x) { return std::isnan(x); }))
    return {Kind::blank,
            name +
                " is NaN everywhere it was looked at: divided by a row sum of 0, or never "
                "written?"};
  std::vector<std::int32_t> broken;
  for (std::size_t row = 0; row < sample.tokens.size(); ++row)
    if (holds_nan(stage, row)) broken.push_back(sample.tokens[row]);
  double product = 0, golden = 0, candidate = 0;
  for (std::size_t e = 0; e < stage.candidate.size(); ++e) {
    const double g = stage.golden[e], c = stage.candidate[e];
    if (!std::isfinite(g) || !std::isfinite(c)) continue;
    product += g * c;
    golden += g * g;
    candidate += c * c;
  }
  const double cosine = product / std::sqrt(std::max(golden * candidate, 1e-300));
  if (std::abs(cosine) <= 0.1)
    return {Kind::unlike, name + " has nothing in common with the golden one (cosine " +
                              std::to_string(cosine).substr(0, 5) +
                              "): another case's, another head's, or rows in another order?"};
  if (broken.empty()) return {};
  return {Kind::broken,
          name + " holds NaN in " + std::to_string(broken.size()) + " of " +
              std::to_string(sample.tokens.size()) + " rows looked at, the first of token " +
              std::to_string(broken.front()) +
              ": rows whose keys are all masked, a group of zeros without a guard, or rows never "
              "written?"};
}

/// Where every difference is legal, or nothing can be told to be illegal, every differing bit
/// counts.
Samples samples_of(const GoldenFile& golden, const cases::TensorSource& candidate,
                   DiagnoseOptions options, Pass pass) {
  Samples samples = take_samples(golden, candidate, options, pass);
  if (samples.differing > 0 || options.alarm == Alarm::any_bit) return samples;
  options.alarm = Alarm::any_bit;
  return take_samples(golden, candidate, options, pass);
}

/// Gradients are looked at where the stages of the forward are right, or not there.
Pass pass_to_diagnose(const GoldenFile& golden, const cases::TensorSource& candidate,
                      const CheckReport& verdict, const DiagnoseOptions& options) {
  if (!golden.has_backward()) return Pass::forward;
  bool gradients = false;
  for (std::size_t i = 0; i < std::size(kTokenStageNames); ++i) {
    const std::string_view name = kTokenStageNames[i];
    if (!candidate.find(name) || !golden.has(name)) continue;
    if (pass_of(static_cast<TokenStage>(i)) == Pass::backward) {
      gradients = true;
      continue;
    }
    const auto stage = std::ranges::find(verdict.stages, name, &StageReport::stage);
    if (stage == verdict.stages.end()) continue;
    const bool any_bit = options.alarm == Alarm::any_bit && stage->differing > 0;
    if (any_bit || stage->verdict > Verdict::within) return Pass::forward;
  }
  return gradients ? Pass::backward : Pass::forward;
}

}  // namespace

Diagnosis diagnose(const GoldenFile& golden, const cases::TensorSource& candidate,
                   const DiagnoseOptions& options) {
  const CheckOptions check_options{.layout = options.layout,
                                   .order = options.order,
                                   .select = options.select,
                                   .threads = options.threads,
                                   .progress = [&](std::size_t, std::size_t) {
                                     if (options.progress) options.progress(0, 1);
                                   }};
  const CheckReport verdict = check(golden, candidate, check_options);
  Diagnosis diagnosis;
  const bool any_bit = options.alarm == Alarm::any_bit &&
                       std::any_of(verdict.stages.begin(), verdict.stages.end(),
                                   [](const StageReport& s) { return s.differing > 0; });
  diagnosis.matches = verdict.passed && !any_bit;
  if (diagnosis.matches) return diagnosis;
  const Pass pass = pass_to_diagnose(golden, candidate, verdict, options);
  const Samples samples = samples_of(golden, candidate, options, pass);
  diagnosis.batch = samples.batch;
  diagnosis.head = samples.head;
  diagnosis.query_blocks = samples.choosing.query_blocks;
  diagnosis.confirming_blocks = samples.confirming.query_blocks;
  if (samples.differing == 0) return diagnosis;  // only stages without rows per token differ
  using Kind = Overview::Kind;
  const Overview whole = look_at_whole(samples.choosing);
  Base base = make_base(golden, samples.batch, samples.head);
  if (pass == Pass::backward)
    base.backward = make_backward_base(golden, samples.batch, samples.head);
  const bool pairs = whole.kind == Kind::like || whole.kind == Kind::broken;
  search(base, samples, options, pairs ? Pairs::yes : Pairs::no, diagnosis);
  if (whole.kind == Kind::blank) {  // one value says too little to name what left it
    diagnosis.explained = false;
    for (Explanation& explanation : diagnosis.hypotheses) explanation.accounts = false;
  }
  if (!diagnosis.explained || whole.kind != Kind::unlike) diagnosis.remark = whole.remark;
  return diagnosis;
}

}  // namespace karat::golden
