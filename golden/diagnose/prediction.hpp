// What a hypothesis says the candidate holds: sampled rows of every stage.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "trial.hpp"

namespace karat::golden {

/// One stage's values for a list of tokens (original order), as many each as the stage is wide.
struct StageRows {
  std::vector<float> values;
  std::vector<float> low, high;  ///< legal range; empty until asked for
  std::vector<bool> covered;     ///< per token: was it computed?
};

/// Stages with a row per token, in the order of computation; from delta on those of a backward.
enum class TokenStage { q_codes, k_codes, v_codes, m, l, lse, o, delta, dv, dk, dq };
inline constexpr std::string_view kTokenStageNames[] = {
    "q_codes", "k_codes", "v_codes", "m", "l", "lse", "o", "delta", "dv", "dk", "dq"};
constexpr Pass pass_of(TokenStage stage) {
  return stage >= TokenStage::delta ? Pass::backward : Pass::forward;
}
inline std::string_view to_text(TokenStage stage) {
  return kTokenStageNames[static_cast<int>(stage)];
}

struct Prediction {
  std::vector<StageRows> stages;  ///< as asked for
  std::uint64_t bits = 0;         ///< hash of all values
};

/// What to compute: rows of these tokens in these stages.
struct Question {
  std::vector<TokenStage> stages;
  std::vector<std::int32_t> tokens;
  std::size_t most_blocks;  ///< of the trial's query blocks
};

enum class Ranges { no, yes };

/// Equal where all values that are covered are.
std::uint64_t hash_of(const std::vector<StageRows>& stages);

/// Nothing when a mistake cannot be made on this case.
/// @throws Error(usage) when the hypothesis has no meaning on it
std::optional<Prediction> predict(const Base& base, const Hypothesis& hypothesis,
                                  const Question& question, Ranges ranges,
                                  const KernelExp2& exp2 = {});

/// The whole head's outputs and lse under a hypothesis (the checker's own tests).
std::optional<Prediction> predict_all(const Base& base, const Hypothesis& hypothesis,
                                      const KernelExp2& exp2 = {});

}  // namespace karat::golden
