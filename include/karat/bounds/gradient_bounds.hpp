// What a correct backward may write: intervals through its own operations, and the values of
// several legal kernels, forward and backward. The forward's freedom reaches L and delta, exp2 is
// free once more in P. docs/bounds.md, "Gradients".
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "karat/attention/backward.hpp"
#include "karat/bounds/bounds.hpp"
#include "karat/bounds/legal_kernels.hpp"

namespace karat::bounds {

/// Values of one stage of a block: the golden ones, all legal ones, and those of kLegalKernels.
struct LegalValues {
  std::vector<float> golden, low, high;
  std::vector<std::vector<float>> kernels;
};

/// Sizes as in BackwardTap. Stages within the block are empty unless asked for.
struct QueryBlockBounds {
  int query_block = 0;
  video::Range queries;
  LegalValues delta;            ///< rows
  LegalValues o_unquantised_p;  ///< rows x channels; empty unless delta sums it
  LegalValues p, p_operand, ds, ds_operand;
  LegalValues dq_by_visit;
  LegalValues dq;  ///< rows x channels, as written
};
/// Sizes as in KeyBlockTap.
struct KeyBlockBounds {
  int key_block = 0;
  video::Range keys;
  LegalValues dk_by_visit, dv_by_visit;
  LegalValues dk, dv;  ///< keys x channels, as written
};

/// Bounds of the query heads that share one key-value head; the forward's rows that a block reads
/// are computed when it is first asked for. References its arguments. Where only the order of
/// additions to dQ is free, that alone.
class GradientBounds {
 public:
  /// @param layout  the forward's
  /// @param heads   as in attend_backward()
  /// @param step    called as blocks are done, from any worker; may throw what stops the work
  GradientBounds(
      const recipe::Recipe& recipe, const layout::Layout& layout,
      std::span<const attention::BackwardHead> heads, Freedom freedom, int threads = 0,
      std::function<void()> step = [] {});
  ~GradientBounds();

  /// Blocks of the backward. With any order allowed and backward.loop key_blocks, dq after the
  /// last visit, and dq itself, lie in the range of every order; earlier visits are the golden
  /// order's.
  /// @throws Error(internal) if a range does not hold its golden value
  std::vector<QueryBlockBounds> of_queries(std::size_t head, std::span<const int> blocks,
                                           Detail detail);
  std::vector<KeyBlockBounds> of_keys(std::span<const int> blocks, Detail detail);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::bounds
