// One hypothesis at work: the case's operands under its recipe and mistakes, and the sampled rows
// of every stage that come out.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hypothesis.hpp"
#include "karat/attention/attend.hpp"
#include "karat/golden/golden_file.hpp"
#include "kernel.hpp"

namespace karat::golden {

/// The head under the golden recipe; every trial starts from it.
struct Base {
  const GoldenFile& golden;
  std::size_t batch, head;
  const recipe::Recipe& recipe;
  std::shared_ptr<const cases::HeadValues> values;  ///< null where the case holds codes
  std::shared_ptr<const cases::CodedHead> codes;    ///< null where the case holds values
  std::shared_ptr<const layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::shared_ptr<std::mutex> file;  ///< HDF5 reads one thing at a time

  /// Inputs of another head of the batch item. @pre values is not null
  cases::HeadValues values_of(std::size_t other) const;
};
Base make_base(const GoldenFile& golden, std::size_t batch, std::size_t head);

/// Where a row of the output comes from; what the kernel computes is row `token` of `head`.
struct RowSource {
  std::size_t head;
  std::int32_t token;
};

struct Trial {
  Trial(const Base& from, recipe::Recipe chosen)
      : base(from), recipe(std::move(chosen)), values(from.values) {}

  const Base& base;
  recipe::Recipe recipe;
  std::shared_ptr<const cases::HeadValues> values;
  std::shared_ptr<layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::optional<double> score_factor;
  KernelFaults faults;
  KernelExp2 exp2;  ///< another legal exp2 (the checker's own tests)
  /// Output mistakes: the row that stands where row (head, token) should, and its channels.
  std::vector<RowSource (*)(const Trial&, RowSource)> rows;
  std::vector<std::int32_t> channel_from;  ///< empty: as they are

  /// Copies to change.
  cases::HeadValues& own_values();
  attention::QuantisedHead& own_operands();

 private:
  std::shared_ptr<cases::HeadValues> changed_values_;
  std::shared_ptr<attention::QuantisedHead> changed_operands_;
};

/// One stage's values for a list of tokens (original order), `width` each.
struct StageRows {
  std::vector<float> values;
  std::vector<float> low, high;  ///< legal range; empty until asked for
  std::vector<bool> covered;     ///< per token: was it computed?
};

/// Stages with a row per token, in the order of computation.
enum class TokenStage { q_codes, k_codes, v_codes, m, l, lse, o };
inline constexpr std::string_view kTokenStageNames[] = {"q_codes", "k_codes", "v_codes", "m",
                                                        "l",       "lse",     "o"};

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

/// @throws Error(usage) when the hypothesis has no meaning on this case; nothing when a mistake
/// cannot
///   be made on it
std::optional<Prediction> predict(const Base& base, const Hypothesis& hypothesis,
                                  const Question& question, Ranges ranges,
                                  const KernelExp2& exp2 = {});

/// The whole head's outputs and lse under a hypothesis (the checker's own tests).
std::optional<Prediction> predict_all(const Base& base, const Hypothesis& hypothesis,
                                      const KernelExp2& exp2 = {});

}  // namespace karat::golden
