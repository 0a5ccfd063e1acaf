// Value by value: equal bits, legal range, distance; block by block: explained or refuted.
#include "score.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "karat/bounds/bounds.hpp"
#include "same_value.hpp"

namespace karat::golden {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// Square of a distance; what is not finite on one side alone is far away.
double squared(double a, double b, bool same) {
  if (same) return 0;
  return std::isfinite(a) && std::isfinite(b) ? (a - b) * (a - b) : 1e30;
}

/// Squared distances of the candidate from hypothesis and golden values, and its own square.
struct Squares {
  double error = 0, from_golden = 0, size = 0;
  void add(double candidate, double distance, double distance_from_golden) {
    if (std::isfinite(candidate)) size += candidate * candidate;
    error += distance;
    from_golden += distance_from_golden;
  }
  double relative() const {
    if (error == 0) return 0;
    return size > 0 ? std::min(kFarthest, std::sqrt(error / size)) : kFarthest;
  }
  double gain() const {
    if (from_golden == 0) return error == 0 ? 1 : -1;  // zeros of another sign
    return std::max(-1.0, 1 - error / from_golden);
  }
};

/// Values of one query block.
struct BlockEvidence {
  std::int64_t compared = 0, agreed = 0, differing = 0;
};

}  // namespace

Score score(const Sample& sample, const Prediction& prediction) {
  Score result{.covered = 1};
  double with_differences = 0;
  std::int64_t seen_differing = 0, explained = 0;
  std::map<int, BlockEvidence> blocks;
  for (std::size_t s = 0; s < sample.stages.size(); ++s) {
    const SampledStage& seen = sample.stages[s];
    const StageRows& made = prediction.stages[s];
    StageEvidence evidence{.stage = std::string(kTokenStageNames[static_cast<int>(seen.stage)])};
    std::int64_t agreed = 0;
    Squares all, differing;
    for (std::size_t e = 0; e < seen.candidate.size(); ++e) {
      const std::size_t row = e / seen.width;
      if (!made.covered[row]) continue;
      const float c = seen.candidate[e], g = seen.golden[e];
      const bool equal = same_value(c, made.values[e]);
      const bool legal =
          equal || (!made.low.empty() && bounds::inside(c, made.low[e], made.high[e]));
      ++evidence.compared;
      evidence.equal += equal;
      agreed += legal;
      evidence.differing += seen.differs[e];
      evidence.explained += seen.differs[e] && legal;
      const double distance = squared(c, made.values[e], equal);
      const double from_golden = squared(c, g, same_value(c, g));
      all.add(c, distance, from_golden);
      if (seen.differs[e]) differing.add(c, distance, from_golden);
      BlockEvidence& block = blocks[sample.block_of[row]];
      ++block.compared;
      block.agreed += legal;
      block.differing += seen.differs[e];
    }
    const auto compared = static_cast<double>(evidence.compared);
    const auto covered =
        static_cast<double>(std::count(made.covered.begin(), made.covered.end(), true));
    result.covered =
        std::min(result.covered, ratio(covered, static_cast<double>(made.covered.size())));
    result.equal += ratio(static_cast<double>(evidence.equal), compared);
    result.agreed += ratio(static_cast<double>(agreed), compared);
    result.distance += evidence.compared > 0 ? all.relative() : kFarthest;
    seen_differing += std::count(seen.differs.begin(), seen.differs.end(), true);
    explained += evidence.explained;
    if (evidence.differing > 0) {
      with_differences += 1;
      result.explained +=
          ratio(static_cast<double>(evidence.explained), static_cast<double>(evidence.differing));
      result.gain += differing.gain();
      result.gain_overall += all.gain();
    }
    result.stages.push_back(std::move(evidence));
  }
  const auto stages = static_cast<double>(std::max<std::size_t>(1, sample.stages.size()));
  result.equal /= stages;
  result.agreed /= stages;
  result.distance /= stages;
  for (double* mean : {&result.explained, &result.gain, &result.gain_overall})
    *mean = ratio(*mean, with_differences);
  for (const auto& [block, evidence] : blocks) {
    const bool agrees = static_cast<double>(evidence.agreed) >=
                        (1 - kTolerated) * static_cast<double>(evidence.compared);
    result.blocks_explained += agrees && evidence.differing > 0;
    result.blocks_refuted += !agrees;
  }
  result.accounts = result.explained >= 1 - kTolerated && result.agreed >= 1 - kTolerated &&
                    explained > 0 && explained >= std::min(kLeastExplained, seen_differing) &&
                    result.gain >= kLeastGain && result.gain_overall > 0 &&
                    result.blocks_explained > result.blocks_refuted;
  return result;
}

bool confirms(const Score& score) {
  // Fewer values than chose it, so a little more is tolerated.
  constexpr double kAllBut = 0.95, kGain = 0.5;
  std::int64_t differing = 0;
  for (const StageEvidence& stage : score.stages) differing += stage.differing;
  if (score.covered == 0 || score.agreed < kAllBut) return false;
  return differing == 0 ||
         (score.explained >= kAllBut && score.gain >= kGain && score.gain_overall > 0);
}

bool tells(const Score& score) {
  return score.gain >= kTellingGain && score.gain_overall >= kTellingGain;
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
