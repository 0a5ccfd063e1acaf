// How well a hypothesis' rows fit the candidate's.
#pragma once

#include "sample.hpp"

namespace karat::golden {

/// Shares over the sampled values the hypothesis computed; a stage counts as much as another.
struct Score {
  double explained = 0;  ///< of the differing values, inside the legal range
  double agreed = 0;     ///< of all values, inside it
  double equal = 0;      ///< of all values, bit for bit
  double distance = 0;   ///< relative L2; at most kFarthest per stage
  double covered = 0;    ///< share of the sampled rows that were computed
  bool accounts = false;
  std::vector<StageEvidence> stages;
};
inline constexpr double kFarthest = 10;
/// A hypothesis accounts for a candidate when all but this share of the values is reproduced.
inline constexpr double kTolerated = 0.005;
/// ... and when at least so many differing values are (or all there are).
inline constexpr std::int64_t kLeastExplained = 16;

Score score(const Sample& sample, const Prediction& prediction);

/// The golden recipe itself, as a yardstick.
Prediction golden_prediction(const Sample& sample);

}  // namespace karat::golden
