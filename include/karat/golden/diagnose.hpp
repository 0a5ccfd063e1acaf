// Which kernel would have produced these bits? The candidate is taken for the golden recipe with
// one field edited, with one coding mistake, or with two of these; sampled query blocks are
// computed again under every such hypothesis, and those that reproduce the candidate come first.
// Other blocks confirm or refute them; "no hypothesis" is an answer.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/golden/check.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::golden {

/// One field of the recipe, as the golden file has it and as the candidate would have it.
struct FieldEdit {
  std::string field;
  recipe::Value golden, candidate;
};

/// One stage's share in the evidence, over the sampled values.
struct StageEvidence {
  std::string stage;
  std::int64_t compared = 0;
  std::int64_t differing = 0;  ///< candidate against golden, beyond what is legal
  std::int64_t explained = 0;  ///< of these, inside the hypothesis' own legal range
  std::int64_t equal = 0;      ///< of all compared, bit for bit as the hypothesis computes them
};

struct Explanation {
  std::vector<FieldEdit> edits;
  std::vector<std::string> mistakes;  ///< their names (docs/diagnose.md)
  std::string look_for;               ///< empty where too little is explained to say so
  double explained = 0;  ///< share of the differing values inside the hypothesis' legal range
  double agreed = 0;     ///< share of all values inside it
  double equal = 0;      ///< share of all values that are bit-equal
  double distance = 0;   ///< relative L2 norm of candidate - hypothesis
  /// 1 - |candidate - hypothesis|^2 / |candidate - golden|^2 over the differing values. Noise is
  /// near no hypothesis, whatever its legal range holds; negative: farther than the golden values.
  double gain = 0;
  int blocks_explained = 0;  ///< differing query blocks with (all but) all values in the range
  int blocks_refuted = 0;    ///< query blocks with more values outside
  /// Explains the candidate: explained and agreed are (all but) 1, it is much nearer than the
  /// golden values, and no rows that did not choose it speak against it.
  bool accounts = false;
  bool confirmed = false;  ///< rows that did not choose it were compared and speak for it
  std::vector<StageEvidence> stages;
  std::vector<std::string> same_bits;  ///< hypotheses with the same bits on the sampled blocks
  /// The first entry only: others that account for the candidate and reproduce as many bits, but
  /// for a handful that chance could explain.
  std::vector<std::string> as_good;
};

/// "softmax.rescale_threshold 0 -> 4", or the mistakes' names.
std::string to_text(const Explanation& explanation);

struct Diagnosis {
  bool matches = false;  ///< nothing to diagnose: the candidate is what a correct kernel may write
  bool explained = false;              ///< the first hypothesis accounts for the candidate
  std::size_t batch = 0, head = 0;     ///< the head that was looked at
  std::vector<int> query_blocks;       ///< that choose, of the golden layout
  std::vector<int> confirming_blocks;  ///< that confirm; the same where only one block differs
  std::string remark;         ///< what the candidate is as a whole, if anything can be said
  std::size_t tried = 0;      ///< hypotheses that have a meaning on this case
  std::size_t invisible = 0;  ///< of these, with golden bits on the sampled blocks
  /// Best first; hypotheses of equal bits are one entry. Those that do not account for the
  /// candidate are listed only where they take a good part of its distance away. Empty: no
  /// hypothesis is nearer than the golden recipe, as with noise.
  std::vector<Explanation> hypotheses;
};

enum class Alarm {
  outside,  ///< values count as differing where no correct kernel could write them
  any_bit,  ///< every differing bit counts: the candidate's exp2 is known to be the golden one
};

struct DiagnoseOptions {
  cases::TensorLayout layout = cases::TensorLayout::bhsd;
  RowOrder order = RowOrder::original;
  Selection select;
  Alarm alarm = Alarm::outside;
  int threads = 0;
  int query_blocks = 4;       ///< sampled
  std::size_t reported = 10;  ///< hypotheses in the result
  std::function<void(std::size_t done, std::size_t total)> progress;
};

/// @throws Error(usage) when the candidate cannot be compared (as check())
Diagnosis diagnose(const GoldenFile& golden, const cases::TensorSource& candidate,
                   const DiagnoseOptions& options = {});

}  // namespace karat::golden
