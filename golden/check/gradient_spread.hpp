// How far legal kernels lie from the golden gradients: forward and backward of a group of heads
// once more under other legal exp2s and, where it is allowed, other orders of dQ's additions.
// docs/bounds.md, "Gradients".
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "karat/attention/backward.hpp"
#include "karat/golden/check.hpp"

namespace karat::golden {

/// What a legal kernel leaves of one group of heads.
struct LegalGradients {
  attention::BackwardResult made;
  std::vector<std::vector<float>> o_unquantised_p;  ///< per query head; empty unless delta sums it
  bool another_exp2 = true;  ///< false: only the order of dQ's additions is another
};

/// One stage of one head or block, rows of `width` values.
struct GradientRows {
  numerics::FormatId format;
  std::size_t width;
  std::span<const float> golden, candidate;
  std::function<std::span<const float>(const LegalGradients&)> legal;
  bool is_dq = false;  ///< an order of dQ's additions moves it
};

struct GradientVerdict {
  Verdict verdict = Verdict::within;
  Doubt::Scope scope = Doubt::Scope::head;
  std::size_t row = 0, column = 0;  ///< of what the scope names
  double found = 0, allowed = 0;    ///< relative to the golden size
};

class GradientSpread {
 public:
  /// @param step  called as kernels run; may throw what stops the work
  GradientSpread(const GoldenFile& golden, std::size_t batch, std::size_t kv_head,
                 const bounds::Freedom& freedom, int threads, std::function<void()> step);

  /// Whether anything that a stage depends on is free.
  static bool frees(const GoldenFile& golden, const bounds::Freedom& freedom, bool is_dq);
  /// Whether dQ may add its key blocks in another order.
  static bool frees_order(const GoldenFile& golden, const bounds::Freedom& freedom);

  /// Within: no farther than twice what the legal kernels show, over the rows, in every row and in
  /// every value. Undecided: up to eight times. Beyond, and what is not finite where the golden
  /// value is, differs. What equals the golden values is equal.
  GradientVerdict judge(const GradientRows& rows);

  /// The largest quotient of a legal kernel's error against FP64 and the golden one's; 1 at least.
  double error_reach(const std::function<double(const LegalGradients*)>& squared_error);

 private:
  const std::vector<LegalGradients>& kernels();

  const GoldenFile& golden_;
  std::size_t batch_, kv_head_;
  bounds::Freedom freedom_;
  int threads_;
  std::function<void()> step_;
  std::optional<std::vector<LegalGradients>> kernels_;
};

}  // namespace karat::golden
