// The branch that a candidate's outputs stand on: its own where the file holds it, else any legal
// one. docs/bounds.md, "Branch".
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "block_spread.hpp"
#include "karat/bounds/branch_range.hpp"
#include "karat/golden/golden_file.hpp"
#include "legal_draws.hpp"

namespace karat::golden {

/// One head's. Tokens of one range of means share their row, which counts once. References the
/// golden file; the work is done when it is first asked for.
class FreeBranch final : public LegalRuns {
 public:
  /// @param own  the candidate's branch, original token order; empty: it holds none
  /// @param step  called between kernels; may throw what stops the work
  FreeBranch(const GoldenFile& golden, std::size_t batch, std::size_t head,
             std::optional<std::vector<float>> own, int threads, std::function<void()> step);

  /// Whether outputs may differ for the branch's sake: the candidate's is another, or unknown.
  bool moves_outputs() const { return !own_ || differs_; }
  /// What the outputs are judged with: the candidate's branch, or null.
  const std::vector<float>* own() const { return own_ ? &*own_ : nullptr; }
  const bounds::BranchRange& range();
  /// One of bounds::kLegalKernels' branches, tokens x channels.
  std::span<const float> kernel(std::size_t number);

  /// The branch itself against legal ones.
  std::optional<Doubt> judge(std::span<const float> golden, std::span<const float> candidate,
                             const std::function<bool(std::size_t token)>& considered);

  bool has(int block) const override { return blocks_.contains(block); }
  void run(const std::vector<int>& blocks) override;
  std::span<const float> rows(int block, std::size_t number) const override {
    return blocks_.at(block)[number];
  }

 private:
  struct Values {
    std::vector<float> q, k, v;
    attention::HeadInput view() const { return {q, k, v}; }
  };
  const Values& values();
  /// Whether a token's row says what an earlier one of its range of means has said.
  std::vector<bool> repeated(std::span<const float> candidate) const;

  const GoldenFile& golden_;
  std::size_t batch_, head_;
  std::optional<std::vector<float>> own_;
  int threads_;
  std::function<void()> step_;
  bool differs_ = false;
  std::optional<Values> values_;
  std::optional<bounds::BranchRange> range_;
  std::array<std::vector<float>, LegalDraws::kKernels> kernels_;
  std::map<int, std::array<std::vector<float>, LegalDraws::kKernels>> blocks_;
};

}  // namespace karat::golden
