// What the candidate shows: the head and the query blocks where it differs, and its values there.
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

struct Sample {
  std::size_t batch = 0, head = 0;
  std::vector<int> query_blocks;
  std::vector<std::int32_t> tokens;
  std::vector<SampledStage> stages;
  std::vector<std::int32_t> screen;  ///< of these the tokens of the block that differs most
  std::int64_t differing = 0;        ///< over all heads and tokens, not only the sampled ones
};

/// Looks at every selected head; the sample is of the one that differs most. differing is 0 when no
/// value differs. @throws Error(usage) when nothing can be compared
Sample take_sample(const GoldenFile& golden, const cases::TensorSource& candidate,
                   const DiagnoseOptions& options);

/// The sample's rows of these tokens alone (ascending, all among the sampled).
Sample restricted(const Sample& sample, const std::vector<std::int32_t>& tokens);

}  // namespace karat::golden
