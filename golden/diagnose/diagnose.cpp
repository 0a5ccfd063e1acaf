// The verdict first, then what the candidate is as a whole, then the search.
#include "karat/golden/diagnose.hpp"

#include <algorithm>
#include <cmath>

#include "search.hpp"

namespace karat::golden {
namespace {

/// What can be said without any hypothesis, from the last stage sampled.
struct Overview {
  std::string remark;
  bool hopeless = false;  ///< no hypothesis is worth a try
  bool unlike = false;    ///< nothing in common with the golden values: no pairs
};
Overview look_at_whole(const Sample& sample) {
  const SampledStage& stage = sample.stages.back();
  const std::string name(to_text(stage.stage));
  const auto all = [&](auto&& is) {
    return std::all_of(stage.candidate.begin(), stage.candidate.end(), is);
  };
  if (all([](float x) { return x == 0; }))
    return {name + " is 0 everywhere it was looked at: was the output written?", true, true};
  if (all([](float x) { return std::isnan(x); }))
    return {
        name + " is NaN everywhere it was looked at: divided by a row sum of 0, or never written?",
        true, true};
  double product = 0, golden = 0, candidate = 0;
  for (std::size_t e = 0; e < stage.candidate.size(); ++e) {
    const double g = stage.golden[e], c = stage.candidate[e];
    if (!std::isfinite(g) || !std::isfinite(c)) continue;
    product += g * c;
    golden += g * g;
    candidate += c * c;
  }
  const double cosine = product / std::sqrt(std::max(golden * candidate, 1e-300));
  if (std::abs(cosine) > 0.1) return {};
  return {name + " has nothing in common with the golden one (cosine " +
              std::to_string(cosine).substr(0, 5) +
              "): another case's, another head's, or rows in another order?",
          false, true};
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
  const Sample sample = take_sample(golden, candidate, options);
  diagnosis.batch = sample.batch;
  diagnosis.head = sample.head;
  diagnosis.query_blocks = sample.query_blocks;
  if (sample.differing == 0) return diagnosis;  // only stages without rows per token differ
  const Overview whole = look_at_whole(sample);
  diagnosis.remark = whole.remark;
  if (whole.hopeless) return diagnosis;
  const Base base = make_base(golden, sample.batch, sample.head);
  search(base, sample, options, whole.unlike ? Pairs::no : Pairs::yes, diagnosis);
  return diagnosis;
}

}  // namespace karat::golden
