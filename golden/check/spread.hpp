// A head that lies inside its worst-case range against what legal kernels do: the same query blocks
// run on several legal exp2 functions. docs/bounds.md, "The legal spread".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "karat/bounds/legal_kernels.hpp"
#include "karat/golden/check.hpp"

namespace karat::golden {

enum class SpreadStage { l, lse, o };

/// One stage of one head, original token order.
struct HeadRows {
  SpreadStage stage;
  numerics::FormatId format;  ///< of the stage
  std::size_t channels;
  std::span<const float> golden, candidate;  ///< tokens x channels
  std::function<bool(std::size_t token)> considered;
};

/// What legal kernels wrote for the query blocks of one head that were run; blocks are run when
/// they are first needed. References its arguments.
class LegalSpread {
 public:
  /// The head's operands, asked for when blocks are run.
  using Operands = std::function<const attention::QuantisedHead&()>;

  /// @param step  called for every block and kernel, from any worker; may throw what stops the work
  LegalSpread(
      const recipe::Recipe& recipe, const layout::Layout& layout, Operands operands,
      bounds::Freedom freedom, int threads, std::function<void()> step = [] {});

  /// What each of bounds::kLegalKernels adds to its outputs, in the place of the head's own branch.
  using Branches = std::function<std::span<const float>(std::size_t kernel)>;
  void add_branches(Branches branches) { branches_ = std::move(branches); }

  /// Nothing when the candidate deviates as legal kernels do: over the head, in every query block,
  /// every row and every value. The doubt names scope, query block, token and channel.
  std::optional<Doubt> judge(const HeadRows& rows);

  /// The largest quotient of errors against FP64, legal kernel / golden kernel, over the rows of
  /// blocks that were run; 1 at least, and where fewer than 32 such rows have a truth.
  /// @param truth  channels values of a token's row; empty where there are none
  double error_reach(std::span<const float> golden_o,
                     const std::function<std::span<const double>(std::size_t token)>& truth) const;

 private:
  class Stage;
  using Kernels = std::vector<bounds::LegalRows>;  ///< one for each of kLegalKernels
  void run(const std::vector<int>& blocks);

  const recipe::Recipe& recipe_;
  const layout::Layout& layout_;
  Operands operands_;
  bounds::Freedom freedom_;
  int threads_;
  std::function<void()> step_;
  Branches branches_;
  std::map<int, Kernels> runs_;
};

}  // namespace karat::golden
