// Forward and backward of a case: the query heads that share one head of k and v run together.
#pragma once

#include <vector>

#include "karat/attention/backward.hpp"
#include "karat/case/case.hpp"

namespace karat::cases {

/// @throws Error(usage) for a recipe without one, naming presets that have one
void require_backward(const recipe::Recipe& recipe);

/// Multiply-adds of a backward over its forward's: five products for two.
inline constexpr double kBackwardWork = 2.5;

/// Gathers what the forward of each query head leaves, and runs the backward behind the last one of
/// a group. One at a time holds a group's operands.
class BackwardRun {
 public:
  /// The case must outlive it. @throws Error(usage) for a recipe without a backward, inputs without
  /// dO, and heads that share k and v but have masks of their own
  BackwardRun(const Case& of, int threads);

  /// The next head of for_each_head() with HeadNeeds::both, whose operands are taken.
  /// @param o,lse  the forward's, as stored
  void add(HeadAtWork& work, std::vector<float> o, std::vector<float> lse);
  /// Whether the head last added completes its group.
  bool complete() const { return heads_.size() == group_; }
  /// Gradients of the group; o, dO and lse of its heads stay until the next head is added.
  /// @pre complete()
  attention::BackwardResult run(const layout::Layout& layout,
                                const attention::BackwardOptions& options);

  struct Head {
    attention::QuantisedHead operands;
    HeadValues values;
    std::vector<float> o, lse, d_o;
    std::vector<float> o_unquantised_p;  ///< empty unless delta sums it
  };
  /// Of the group so far.
  const std::vector<Head>& heads() const { return heads_; }

 private:
  const Case& case_;
  int threads_;
  std::size_t group_;
  std::vector<Head> heads_;
};

}  // namespace karat::cases
