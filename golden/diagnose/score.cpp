// Value by value: equal bits, legal range, distance.
#include "score.hpp"

#include <algorithm>
#include <cmath>

#include "karat/bounds/bounds.hpp"
#include "same_value.hpp"

namespace karat::golden {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// Squares of error and size; what is not finite on one side alone is an error of its row's size.
struct Squares {
  double error = 0, size = 0;
  void add(double candidate, double hypothesis, bool equal) {
    const bool finite = std::isfinite(candidate) && std::isfinite(hypothesis);
    if (std::isfinite(candidate)) size += candidate * candidate;
    if (equal) return;
    error += finite ? (candidate - hypothesis) * (candidate - hypothesis) : 1e30;
  }
  double relative() const {
    if (error == 0) return 0;
    return size > 0 ? std::min(kFarthest, std::sqrt(error / size)) : kFarthest;
  }
};

}  // namespace

Score score(const Sample& sample, const Prediction& prediction) {
  Score result;
  double with_differences = 0, rows_covered = 0, rows = 0;
  std::int64_t seen_differing = 0, explained = 0;
  for (std::size_t s = 0; s < sample.stages.size(); ++s) {
    const SampledStage& seen = sample.stages[s];
    const StageRows& made = prediction.stages[s];
    StageEvidence evidence{.stage = std::string(kTokenStageNames[static_cast<int>(seen.stage)])};
    std::int64_t agreed = 0;
    Squares squares;
    for (std::size_t e = 0; e < seen.candidate.size(); ++e) {
      if (!made.covered[e / seen.width]) continue;
      const float c = seen.candidate[e];
      const bool equal = same_value(c, made.values[e]);
      const bool legal =
          equal || (!made.low.empty() && bounds::inside(c, made.low[e], made.high[e]));
      ++evidence.compared;
      evidence.equal += equal;
      agreed += legal;
      evidence.differing += seen.differs[e];
      evidence.explained += seen.differs[e] && legal;
      squares.add(c, made.values[e], equal);
    }
    rows += static_cast<double>(made.covered.size());
    rows_covered += static_cast<double>(std::count(made.covered.begin(), made.covered.end(), true));
    const auto compared = static_cast<double>(evidence.compared);
    result.equal += ratio(static_cast<double>(evidence.equal), compared);
    result.agreed += ratio(static_cast<double>(agreed), compared);
    result.distance += squares.relative();
    seen_differing += std::count(seen.differs.begin(), seen.differs.end(), true);
    explained += evidence.explained;
    if (evidence.differing > 0) {
      with_differences += 1;
      result.explained +=
          ratio(static_cast<double>(evidence.explained), static_cast<double>(evidence.differing));
    }
    result.stages.push_back(std::move(evidence));
  }
  const auto stages = static_cast<double>(std::max<std::size_t>(1, sample.stages.size()));
  result.equal /= stages;
  result.agreed /= stages;
  result.distance /= stages;
  result.explained = ratio(result.explained, with_differences);
  result.covered = ratio(rows_covered, rows);
  result.accounts = result.explained >= 1 - kTolerated && result.agreed >= 1 - kTolerated &&
                    explained >= std::min(kLeastExplained, seen_differing);
  return result;
}

Prediction golden_prediction(const Sample& sample) {
  Prediction prediction;
  for (const SampledStage& stage : sample.stages)
    prediction.stages.push_back(
        {.values = stage.golden,
         .low = {},
         .high = {},
         .covered = std::vector<bool>(stage.golden.size() / stage.width, true)});
  return prediction;
}

}  // namespace karat::golden
