// Rows of a stage that lie inside their worst-case range against what legal kernels do in the same
// blocks. A few blocks spread over the rows give the legal spread; blocks that exceed it are run
// themselves before they are doubted. docs/bounds.md, "The legal spread".
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "karat/golden/check.hpp"
#include "karat/video/token_order.hpp"

namespace karat::golden {

/// Whether k and v, which clusters may order by themselves, or the queries give the rows.
enum class Side { query, key };

/// What legal kernels wrote, block by block; runs are kept.
class LegalRuns {
 public:
  virtual ~LegalRuns() = default;
  virtual bool has(int block) const = 0;
  virtual void run(const std::vector<int>& blocks) = 0;
  /// Rows of a block that was run, by one of bounds::kLegalKernels.
  virtual std::span<const float> rows(int block, std::size_t kernel) const = 0;
};

/// One stage of one head, original token order.
struct SpreadRows {
  numerics::FormatId format;  ///< of the stage
  std::size_t channels;
  std::span<const float> golden, candidate;  ///< tokens x channels
  std::span<const double> sizes;             ///< per token, what squared deviations are relative to
  std::span<const video::Range> blocks;      ///< positions
  const video::TokenOrder& order;
  std::function<bool(std::size_t token)> considered;
  Side side = Side::query;
};

/// Nothing when the candidate deviates as legal kernels do: over the head, in every block, every
/// row and every value. The doubt names scope, block, token and channel.
std::optional<Doubt> beyond_legal_spread(const SpreadRows& rows, LegalRuns& runs);

}  // namespace karat::golden
