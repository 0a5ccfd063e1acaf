// Gradients of one group of heads as correct kernels may write them: ranges, and what legal kernels
// do, of the blocks that are looked at. docs/bounds.md, "Gradients".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "block_spread.hpp"
#include "karat/bounds/gradient_bounds.hpp"
#include "karat/case/backward.hpp"
#include "karat/golden/check.hpp"

namespace karat::golden {

enum class GradientStageId { d_o, o_unquantised_p, delta, dv, dk, dq };
constexpr Side side_of(GradientStageId stage) {
  return stage == GradientStageId::dv || stage == GradientStageId::dk ? Side::key : Side::query;
}

/// One stage of one head, original token order.
struct GradientRows {
  GradientStageId stage;
  std::size_t head_of_group;  ///< of queries
  numerics::FormatId format;
  std::size_t width;
  std::span<const float> golden, candidate;
};

struct GradientFinding {
  /// tokens x width; -Inf to Inf where no range was computed.
  std::vector<float> low, high;
  std::int64_t bounded = 0;    ///< values with a range
  std::optional<Doubt> doubt;  ///< farther from the golden values than legal kernels lie
};

class LegalGradients {
 public:
  /// @param step  called as blocks are done; may throw what stops the work
  LegalGradients(const GoldenFile& golden, std::size_t batch, std::size_t kv_head,
                 const bounds::Freedom& freedom, int threads, std::function<void()> step);
  ~LegalGradients();

  /// All blocks of small heads; else a few spread over the head, the one that differs most, and
  /// those that exceed the legal spread.
  GradientFinding judge(const GradientRows& rows);
  /// The largest quotient of a legal kernel's error against FP64 and the golden one's over the rows
  /// of blocks that were run; 1 at least, and where fewer than 32 such rows have a truth.
  /// @param truth  a token's row; empty where there is none
  double error_reach(const GradientRows& rows,
                     const std::function<std::span<const double>(std::size_t token)>& truth);

  /// A block with the stages within it, of the first query head; kept until another is asked for.
  const bounds::QueryBlockBounds& tapped_queries(int block);
  const bounds::KeyBlockBounds& tapped_keys(int block);

  const mask::BlockMap& blocks() const { return blocks_; }
  /// Operands go, finished blocks stay.
  void close();

 private:
  class Runs;
  struct State;
  bounds::GradientBounds& bounds();
  std::span<const video::Range> blocks_of(Side side) const;
  const video::TokenOrder& order_of(Side side) const;

  const GoldenFile& golden_;
  std::size_t batch_, kv_head_;
  bounds::Freedom freedom_;
  int threads_;
  std::function<void()> step_;
  const layout::Layout& layout_;
  mask::BlockMap blocks_;
  std::unique_ptr<State> state_;  ///< opened when something differs
  std::map<std::pair<std::size_t, int>, bounds::QueryBlockBounds> queries_;  ///< by head, block
  std::map<int, bounds::KeyBlockBounds> keys_;
  std::optional<bounds::QueryBlockBounds> tapped_queries_;
  std::optional<bounds::KeyBlockBounds> tapped_keys_;
};

/// Rows of a tapped block, all of whose values have a range and draws of legal kernels.
/// @param skipped  values at the front that are not judged
/// Nothing when they deviate as legal kernels do; the doubt's `at` is empty, `element` its place.
struct TapFinding {
  Doubt doubt;
  std::size_t element;
};
std::optional<TapFinding> beyond_legal_tap(const bounds::LegalValues& legal,
                                           numerics::FormatId format, std::size_t width,
                                           std::size_t skipped, std::span<const float> candidate);

}  // namespace karat::golden
