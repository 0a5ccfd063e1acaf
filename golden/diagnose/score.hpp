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
  double covered = 0;    ///< share of the rows that were computed, in the stage with the fewest
  /// 1 - |candidate - hypothesis|^2 / |candidate - golden|^2: how much of the candidate's distance
  /// the hypothesis takes away. 0: as near as the golden values; negative: farther. Noise is near
  /// to no hypothesis, however wide the range.
  double gain = 0;           ///< over differing values
  double gain_overall = 0;   ///< over all values of the stages that differ
  int blocks_explained = 0;  ///< query blocks that differ, with (all but) all values inside
  int blocks_refuted = 0;    ///< query blocks with more values outside
  bool accounts = false;
  std::vector<StageEvidence> stages;
};
inline constexpr double kFarthest = 10;
/// A hypothesis accounts for a candidate when all but this share of the values is reproduced,
inline constexpr double kTolerated = 0.005;
/// ... at least so many differing values are (or all there are),
inline constexpr std::int64_t kLeastExplained = 16;
/// ... it is at most half as far from the candidate as the golden values are, where those differ,
inline constexpr double kLeastGain = 0.75;
/// ... and more blocks are explained than refuted. It tells something when it takes so much away:
inline constexpr double kTellingGain = 0.25;

Score score(const Sample& sample, const Prediction& prediction);

/// Whether rows that did not choose a hypothesis speak for it: what differs there is explained, and
/// what agrees stays. Nothing compared confirms nothing.
bool confirms(const Score& score);
/// Whether a hypothesis that does not account for the candidate explains a part of it.
bool tells(const Score& score);

/// The golden recipe itself, as a yardstick.
Prediction golden_prediction(const Sample& sample);

}  // namespace karat::golden
