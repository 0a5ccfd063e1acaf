// One hypothesis about a backward at work: the heads that share k and v as its kernels see them.
// The forward is the golden one.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "karat/attention/backward.hpp"
#include "prediction.hpp"

namespace karat::golden {

/// What the golden file holds of the query heads that share k and v with the one looked at.
struct BackwardBase {
  std::vector<cases::HeadValues> values;
  std::vector<attention::QuantisedHead> operands;
  std::vector<std::vector<float>> o, lse, d_o, m;
  std::size_t looked_at = 0;  ///< of these heads
  /// Where a hypothesis sums the output of an uncoded P: the golden file's, or that of the golden
  /// forward, computed once.
  /// @param golden  the golden recipe: no hypothesis about a backward changes the forward
  const std::vector<std::vector<float>>& uncoded(const recipe::Recipe& golden,
                                                 const layout::Layout& layout) const;
  std::vector<std::vector<float>> o_unquantised_p;  ///< of the golden file; may be empty

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::vector<float>> computed_;
};
std::shared_ptr<const BackwardBase> make_backward_base(const GoldenFile& golden, std::size_t batch,
                                                       std::size_t head);

/// What a mistake may change; empty members: as in the base.
struct BackwardTrial {
  explicit BackwardTrial(const BackwardBase& from)
      : base(from), o(from.o), lse(from.lse), d_o(from.d_o) {}

  const BackwardBase& base;
  std::vector<std::vector<float>> o, lse, d_o;
  bool delta_is_zero = false;
  std::vector<attention::QuantisedHead> operands;
  std::shared_ptr<layout::Layout> layout;
  attention::BackwardErrors errors;
  bool exchange_dk_and_dv = false;
  /// Gradients that the right kernel leaves, whatever else is changed.
  std::vector<TokenStage> right = {};
};

/// Gradients of the tokens asked for. @pre the question's stages are those of a backward
std::optional<Prediction> predict_gradients(const Base& base, const Hypothesis& hypothesis,
                                            const Question& question);

}  // namespace karat::golden
