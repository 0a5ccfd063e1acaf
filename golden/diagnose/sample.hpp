// What the candidate shows: the head and the query blocks where it differs, and its values there;
// some of them choose a hypothesis, others confirm it.
#pragma once

#include <vector>

#include "karat/golden/diagnose.hpp"
#include "prediction.hpp"

namespace karat::golden {

/// One stage of the candidate over the sampled tokens.
struct SampledStage {
  TokenStage stage;
  std::size_t width = 1;
  std::vector<float> golden, candidate;  ///< tokens x width
  std::vector<bool> differs;             ///< beyond what is legal (or at all: Alarm::any_bit)
};

/// Rows of some query blocks of one head.
struct Sample {
  std::vector<int> query_blocks;
  std::vector<std::int32_t> tokens;  ///< ascending
  std::vector<int> block_of;         ///< per token its query block
  std::vector<SampledStage> stages;
};

/// Rows that choose a hypothesis and rows that confirm it. They lie in different query blocks;
/// where only one block differs, its rows are dealt out in turns.
struct Samples {
  std::size_t batch = 0, head = 0;
  Sample choosing, confirming;
  std::vector<std::int32_t> screen;  ///< choosing tokens of the block that differs most
  std::int64_t differing = 0;        ///< over all heads and tokens, not only the sampled ones
};

/// Looks at every selected head; the samples are of the one that differs most. differing is 0 when
/// no value differs. @throws Error(usage) when nothing can be compared
Samples take_samples(const GoldenFile& golden, const cases::TensorSource& candidate,
                     const DiagnoseOptions& options, Pass pass = Pass::forward);

/// The sample's rows of these tokens alone (ascending, all among the sampled).
Sample restricted(const Sample& sample, const std::vector<std::int32_t>& tokens);

}  // namespace karat::golden
