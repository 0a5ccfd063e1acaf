// A candidate against a golden file, stage by stage: what the recipe fixes must be bit-equal, what
// it leaves free must lie in the legal range and no farther from the golden values than legal
// kernels do lie. "The numbers differ" is a report, not an error.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "karat/bounds/bounds.hpp"
#include "karat/golden/golden_file.hpp"

namespace karat::golden {

enum class Verdict {
  equal,      ///< bit for bit
  within,     ///< differs, but only as legal kernels do
  undecided,  ///< inside the worst case, but no legal kernel was seen to do this:
              ///< StageReport::doubts
  differs,    ///< at least one value no correct kernel can write
};

/// Where a value stands, as far as its stage has such a thing. Tokens are in original order.
struct Location {
  std::size_t batch = 0;
  std::size_t head = 0;
  std::optional<std::int64_t> token, channel, group, query_tile, query_block, key_token, key_tile,
      key_block;
};
struct Difference {
  Location at;
  float golden = 0;
  float candidate = 0;
  float low = 0;  ///< legal range; both ends equal the golden value where the recipe fixes it
  float high = 0;
  std::int64_t ulp = 0;
};

struct Specials {
  std::int64_t nan = 0;
  std::int64_t infinite = 0;
  std::int64_t saturated = 0;  ///< codes at the largest finite value (8-bit formats)
  std::int64_t zero = 0;       ///< of either sign; where the candidate has more, it flushes
};

/// A stage against what the recipe makes of the candidate's own earlier stages.
struct Forced {
  std::int64_t compared = 0;
  std::int64_t outside = 0;
};

/// Why a stage inside its legal range is no match.
struct Doubt {
  enum class Reason {
    spread,  ///< farther from the golden values than legal kernels lie
    error,   ///< farther from the FP64 truth than the golden values, by more than --error-ratio
  } reason;
  enum class Scope { head, block, row, value } scope;  ///< what was looked at
  Location at;                                         ///< batch, head and what the scope names
  /// spread: rms deviation / rms of the golden values (lse: / max(1, |lse|)).
  /// error: error of the candidate / error of the golden values, relative to the truth's norm.
  double found = 0;
  double allowed = 0;
};

struct StageReport {
  std::string stage;
  numerics::FormatId format = numerics::FormatId::f32;
  Verdict verdict = Verdict::equal;
  bool fixed = true;  ///< must be bit-equal
  std::int64_t compared = 0;
  std::int64_t differing = 0;
  std::int64_t outside = 0;  ///< differing beyond what is legal
  /// Gradients that differ: values of those heads whose legal range was computed. Of large heads
  /// these are a few blocks, the one that differs most among them.
  std::optional<std::int64_t> bounded;
  std::int64_t max_ulp = 0;  ///< in the stage's format; NaN against a number counts as the largest
  double relative_l2 = 0;    ///< |candidate - golden| / |golden|
  /// [0]: equal values; [i]: ulp distance in [2^(i-1), 2^i).
  std::array<std::int64_t, 34> ulp_histogram{};
  Specials golden, candidate;
  /// Inner stages that differ, where the candidate holds what they are computed from. Nothing
  /// outside: the stage is right, an earlier one is not.
  std::optional<Forced> forced;
  /// With any order allowed, l, lse and o: legal values outside the range that roundings of mean
  /// zero leave with probability 1e-6 at most. Worth a look, never a failure.
  std::optional<std::int64_t> unlikely;
  std::vector<Doubt> doubts;        ///< one a head or tap for each reason; empty unless undecided
  std::optional<Difference> first;  ///< first outside; if none, first differing
  std::optional<Difference> worst;  ///< largest ulp among the same

  /// With any reason for doubt what is within its range is undecided.
  void doubt(std::vector<Doubt> reasons);
};

/// Differences of o by query tile.
struct TileError {
  std::size_t batch = 0, head = 0;
  std::int64_t tile = 0;
  std::int64_t compared = 0, differing = 0, outside = 0;
};
struct OutputErrors {
  std::vector<TileError> tiles;  ///< of every head compared, tiles ascending
  /// Squared norms over the rows whose FP64 truth the golden file holds (under the mask): of the
  /// truth, and of the distance of golden and candidate from it.
  std::int64_t truth_rows = 0;
  double truth_squared = 0, golden_squared = 0, candidate_squared = 0;
};

/// A gradient against FP64 over the rows whose truth the golden file holds, under the mask.
struct GradientError {
  std::string stage;  ///< dq, dk or dv
  std::int64_t rows = 0;
  double truth = 0;  ///< squared norm
  /// Squared norms, squared distances from the truth, and products with it.
  struct Side {
    double squared = 0, error = 0, product = 0;
    double cosine(double of_truth) const;
  } golden, candidate;
  void add(std::span<const double> exact, std::span<const float> of_golden,
           std::span<const float> of_candidate);
};

struct CheckReport {
  std::vector<StageReport> stages;       ///< in the order of computation, those the candidate holds
  OutputErrors outputs;                  ///< where the candidate holds o
  std::vector<GradientError> gradients;  ///< those the candidate holds
  bounds::Freedom freedom;               ///< what the legal ranges leave open
  /// The worst stage: equal or within is a match, everything else is none.
  Verdict verdict = Verdict::equal;
  bool passed = true;  ///< a match: undecided is none
  /// The first stage that differs, or null.
  const StageReport* first_difference() const;
  /// The first stage that is undecided, or null.
  const StageReport* first_doubt() const;
};

enum class RowOrder {
  original,
  tiled,  ///< rows stand in the kernel's order of positions
};

struct Selection {
  std::optional<std::size_t> batch, head;
  std::optional<int> block;  ///< query block
};

inline constexpr double kErrorRatio = 1.25;

enum class Demand {
  legal,   ///< a candidate may use what the kernel leaves free
  golden,  ///< bit for bit: for kernels whose recipe takes exp2 from the special-function unit
};

struct CheckOptions {
  cases::TensorLayout layout = cases::TensorLayout::bhsd;
  RowOrder order = RowOrder::original;
  Selection select;
  std::optional<cases::TensorLayout> v_layout;  ///< of v and v_codes, where it is not `layout`
  /// More than exp2: legal ranges are computed again, at several times the attention's cost, where
  /// something differs.
  bounds::Freedom allowed;
  /// A head, a query block or a row may be this many times as far from the FP64 truth as the golden
  /// one; more only where legal kernels reach it (docs/bounds.md, "The error gate").
  double error_ratio = kErrorRatio;
  Demand demand = Demand::legal;
  int threads = 0;
  /// Heads of the stages without taps, from any worker; while legal ranges are computed again it is
  /// called for every query block, with the same head. An exception stops the work.
  std::function<void(std::size_t done, std::size_t total)> progress;
};

/// @throws Error(usage) when the candidate cannot be compared: no stage in common, other shapes or
///   types; when golden bits are demanded of a recipe whose exp2 no GPU computes
CheckReport check(const GoldenFile& golden, const cases::TensorSource& candidate,
                  const CheckOptions& options = {});

}  // namespace karat::golden
