// One stage of a candidate against the same of the golden file.
#pragma once

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "block_spread.hpp"
#include "free_branch.hpp"
#include "karat/bounds/bounds.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/bounds/teacher_forced.hpp"
#include "karat/golden/check.hpp"
#include "legal_gradients.hpp"
#include "spread.hpp"

namespace karat::golden {

class Tally;

constexpr Side side_of(std::string_view stage) {
  const bool key =
      stage.starts_with('k') || stage.starts_with('v') || stage == "dk" || stage == "dv";
  return key ? Side::key : Side::query;
}

enum class StageKind {
  matrix,  ///< tokens x channels
  vector,  ///< tokens
  groups,  ///< scale groups
};
constexpr cases::Extents extents_of(StageKind kind) {
  return kind == StageKind::matrix ? cases::Extents::matrix : cases::Extents::vector;
}
struct StageRow {
  std::string_view name;
  StageKind kind;
  std::string_view bound;  ///< prefix of the legal range in the golden file; empty: bit-equal,
                           ///< but for the branch, whose range is computed
};

/// Stages that hold a value per token, in the order of computation; taps come after the operands.
inline constexpr StageRow kOperandStages[] = {
    {"q", StageKind::matrix, ""},       {"k", StageKind::matrix, ""},
    {"v", StageKind::matrix, ""},       {"q_codes", StageKind::matrix, ""},
    {"q_scale", StageKind::groups, ""}, {"k_codes", StageKind::matrix, ""},
    {"k_scale", StageKind::groups, ""}, {"v_codes", StageKind::matrix, ""},
    {"v_scale", StageKind::groups, ""}};
inline constexpr StageRow kOutputStages[] = {{"branch", StageKind::matrix, ""},
                                             {"m", StageKind::vector, ""},
                                             {"l", StageKind::vector, "bound.l"},
                                             {"lse", StageKind::vector, "bound.lse"},
                                             {"o", StageKind::matrix, "bound.o"}};

/// do, o_unquantised_p, delta and the gradients, in the order of computation.
std::vector<std::string_view> gradient_stages();

class Comparison {
 public:
  Comparison(const GoldenFile& golden, const cases::TensorSource& candidate,
             const CheckOptions& options)
      : golden_(golden),
        candidate_(candidate),
        options_(options),
        freedom_(bounds::freedom_of(golden.recipe(), options.allowed)) {}

  /// What is to come: every head of the stages.
  void announce(std::size_t stages);
  StageReport stage(const StageRow& row);
  const OutputErrors& outputs() const { return outputs_; }
  /// a, s, p_codes and, after each key block, m, l, o of the query blocks both files hold.
  std::vector<StageReport> taps() const;
  /// One of gradient_stages() that judges_gradient() names.
  StageReport gradient(std::string_view name);
  /// Both files hold it, and what is selected has rows of it: those of dk and dv sum over all query
  /// blocks, so that one block selects none.
  bool judges_gradient(std::string_view name) const;
  /// Inner stages of the tapped blocks of a backward that both files hold.
  std::vector<StageReport> gradient_taps();
  std::vector<GradientError> gradient_errors() const;

  bool selected(std::size_t batch, std::size_t head) const;
  /// One head of the candidate's stage, original token order.
  std::vector<float> candidate_rows(const StageRow& row, std::size_t batch, std::size_t head) const;
  /// @throws Error(usage) when the candidate's stage has another shape
  void require_shape(const StageRow& row) const;

 private:
  cases::TensorLayout layout_of(const StageRow& row) const;
  /// Is more free than the golden file's own bounds say?
  bool widened() const;
  /// A head's ranges, and the golden outputs beside the candidate's own branch.
  struct Ranges {
    bounds::OutputBounds bounds;
    std::vector<float> o;
  };
  /// Ranges of one head with `summation`, computed when first asked for.
  const Ranges& ranges(std::size_t batch, std::size_t head, bounds::Summation summation);
  /// Tells where the work stands; may throw what stops it.
  void step() const;
  /// The rows whose FP64 truth the file holds, added to outputs().
  std::optional<Doubt> note_outputs(std::size_t b, std::size_t h, std::span<const float> golden,
                                    std::span<const float> candidate,
                                    const std::function<bool(std::size_t)>& skip);
  /// Against legal kernels, in stages that are free.
  std::optional<Doubt> beyond_spread(const StageRow& row, std::size_t b, std::size_t h,
                                     std::span<const float> golden,
                                     std::span<const float> candidate,
                                     const std::function<bool(std::size_t)>& skip);
  LegalSpread& spread(std::size_t b, std::size_t h);
  /// Has the recipe a branch, and is it free?
  bool branch_is_free() const;
  FreeBranch& free_branch(std::size_t b, std::size_t h);
  /// Whether a row of this stage stands on another branch than the golden one.
  bool on_another_branch(const StageRow& row, std::size_t b, std::size_t h);

  LegalGradients& legal_gradients(std::size_t b, std::size_t kv_head);
  /// The rows whose FP64 truth the file holds, added to gradient_errors(). The error gate, where
  /// the stage is `judged`.
  /// @param skip  leaves elements out; may be empty
  std::optional<Doubt> note_gradient(std::string_view name, std::size_t b, std::size_t h,
                                     const GradientRows& rows, bool judged,
                                     const std::function<bool(std::size_t)>& skip);
  /// @param block  of the backward's query blocks
  bool selected_rows(std::size_t b, std::size_t head, int block) const;
  /// One stage of a tapped block of a backward.
  struct TappedValues {
    std::string name;  ///< of the dataset
    numerics::FormatId format = numerics::FormatId::f32;
    std::size_t width = 0;  ///< channels of a row; 0: rows of columns
    bool last_turn_alone = false;
    Location at = {};
  };
  void judge_tap(Tally& tally, std::vector<Doubt>& doubts, const TappedValues& tap,
                 const std::function<const bounds::LegalValues&()>& legal);
  /// @throws Error(usage) where both hold the label and the candidate's is another
  void require_same_label(const std::string& name) const;

  std::vector<float> to_tokens(std::vector<float> rows, std::size_t channels,
                               const video::TokenOrder& order) const;
  const video::TokenOrder& order(const StageRow& row, std::size_t batch, std::size_t head) const;
  Location at_token(Location at, std::int64_t token) const;
  /// Whether element i of a stage with `channels` values a token stands outside the selected query
  /// block; empty where none is selected.
  std::function<bool(std::size_t)> outside_selection(std::size_t b, std::size_t h,
                                                     std::size_t channels) const;
  bounds::CandidateTap candidate_tap(std::size_t b, std::size_t h,
                                     const attention::BlockTap& tap) const;
  /// Where element i of a tapped stage stands; `per_column`: rows x columns, else visits x rows x
  /// channels.
  Location in_tap(Location at, const attention::BlockTap& tap, bool per_column,
                  std::size_t channels, std::size_t i) const;
  Location at_key(Location at, const attention::BlockTap& tap, std::size_t column) const;

  const GoldenFile& golden_;
  const cases::TensorSource& candidate_;
  const CheckOptions& options_;
  bounds::Freedom freedom_;
  std::map<std::pair<std::pair<std::size_t, std::size_t>, bounds::Summation>, Ranges> ranges_;
  using Head = std::pair<std::size_t, std::size_t>;
  std::map<Head, FreeBranch> branches_;
  std::map<Head, LegalSpread> spreads_;
  std::vector<Head> opened_;                        ///< of legal_gradients_, the latest used last
  std::map<Head, LegalGradients> legal_gradients_;  ///< by batch entry and head of k and v
  std::map<std::string, GradientError> gradient_errors_;
  Head operands_of_{};                                ///< whose operands are held
  std::optional<attention::QuantisedHead> operands_;  ///< with the branch that outputs stand on
  OutputErrors outputs_;
  std::size_t done_ = 0, total_ = 0;  ///< heads of stages
};

}  // namespace karat::golden
