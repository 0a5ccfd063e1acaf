// All single hypotheses, then pairs if none accounts for the candidate; the best with legal ranges.
#include "karat/golden/diagnose.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "karat/numerics/error.hpp"
#include "karat/numerics/parallel.hpp"
#include "score.hpp"

namespace karat::golden {
namespace {

/// Hypotheses that are looked at with their legal ranges.
constexpr std::size_t kRanged = 16;
/// Single hypotheses that pairs are built on.
constexpr std::size_t kPromising = 4;
/// A hypothesis must compute at least this share of the sampled rows.
constexpr double kLeastCovered = 0.1;

struct Judged {
  Hypothesis hypothesis;
  Score score;
  std::uint64_t bits = 0;
  std::size_t number = 0;  ///< in the order of the tables; simpler first
  std::vector<std::string> same_bits;
};

bool nearer(const Judged& a, const Judged& b) {
  if (a.score.accounts != b.score.accounts) return a.score.accounts;
  if (a.score.distance != b.score.distance) return a.score.distance < b.score.distance;
  if (a.score.equal != b.score.equal) return a.score.equal > b.score.equal;
  return a.number < b.number;
}
bool more_equal(const Judged& a, const Judged& b) {
  if (a.score.equal != b.score.equal) return a.score.equal > b.score.equal;
  return nearer(a, b);
}

class Search {
 public:
  Search(const Base& base, const Sample& sample, const DiagnoseOptions& options)
      : base_(base), sample_(sample), options_(options) {
    for (const SampledStage& stage : sample.stages) question_.stages.push_back(stage.stage);
    question_.tokens = sample.tokens;
    question_.most_blocks = 2 * sample.query_blocks.size() + 2;
    const Hypothesis golden{.edits = {}, .mistakes = {}, .recipe = base.recipe};
    golden_bits_ = predict(base_, golden, question_, Ranges::no)->bits;
    golden_score_ = score(sample_, golden_prediction(sample_));
  }

  void run(Diagnosis& diagnosis) {
    std::vector<Hypothesis> singles = recipe_edits(base_.recipe);
    for (const Mistake& mistake : mistakes())
      singles.push_back({.edits = {}, .mistakes = {&mistake}, .recipe = base_.recipe});
    total_ = singles.size() + kRanged;
    std::vector<Judged> judged = judge(singles);
    diagnosis.tried = judged.size();
    diagnosis.invisible = static_cast<std::size_t>(
        std::erase_if(judged, [&](const Judged& j) { return j.bits == golden_bits_; }));
    judged = classes(std::move(judged));
    judged = with_ranges(std::move(judged));
    if (judged.empty() || !judged.front().score.accounts) {
      std::vector<Judged> pairs = judge(pairs_of(judged, singles));
      diagnosis.tried += pairs.size();
      std::erase_if(pairs, [&](const Judged& j) { return j.bits == golden_bits_; });
      judged.insert(judged.end(), std::make_move_iterator(pairs.begin()),
                    std::make_move_iterator(pairs.end()));
      judged = with_ranges(classes(std::move(judged)));
    }
    diagnosis.explained = !judged.empty() && judged.front().score.accounts;
    for (Judged& j : judged) {
      if (diagnosis.hypotheses.size() == options_.reported) break;
      diagnosis.hypotheses.push_back(explanation(std::move(j)));
    }
    report(total_);
  }

 private:
  void report(std::size_t done) const {
    if (options_.progress) options_.progress(std::min(done, total_), total_);
  }

  std::optional<Prediction> predicted(const Hypothesis& hypothesis, Ranges ranges) const {
    try {
      return predict(base_, hypothesis, question_, ranges);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::internal) throw;
      return std::nullopt;  // no meaning on this case
    }
  }

  std::vector<Judged> judge(const std::vector<Hypothesis>& hypotheses) {
    std::vector<std::optional<Judged>> slots(hypotheses.size());
    total_ = done_ + hypotheses.size() + kRanged;
    numerics::parallel_for(hypotheses.size(), options_.threads, [&](std::size_t i, int) {
      if (const auto prediction = predicted(hypotheses[i], Ranges::no)) {
        Judged judged{.hypothesis = hypotheses[i],
                      .score = score(sample_, *prediction),
                      .bits = prediction->bits,
                      .number = i + first_number_,
                      .same_bits = {}};
        if (judged.score.covered >= kLeastCovered) slots[i] = std::move(judged);
      }
      report(++done_);
    });
    first_number_ += hypotheses.size();
    std::vector<Judged> judged;
    for (auto& slot : slots)
      if (slot) judged.push_back(std::move(*slot));
    return judged;
  }

  /// Hypotheses of equal bits become one, the simplest.
  static std::vector<Judged> classes(std::vector<Judged> judged) {
    std::stable_sort(judged.begin(), judged.end(),
                     [](const Judged& a, const Judged& b) { return a.number < b.number; });
    std::map<std::uint64_t, std::size_t> first;
    std::vector<Judged> kept;
    for (Judged& j : judged) {
      const auto [at, fresh] = first.emplace(j.bits, kept.size());
      if (fresh)
        kept.push_back(std::move(j));
      else
        kept[at->second].same_bits.push_back(to_text(j.hypothesis));
    }
    return kept;
  }

  /// The nearest few once more, with their legal ranges; all sorted, best first.
  std::vector<Judged> with_ranges(std::vector<Judged> judged) {
    std::sort(judged.begin(), judged.end(), more_equal);
    std::set<std::size_t> chosen;
    for (std::size_t i = 0; i < std::min(kRanged / 2, judged.size()); ++i)
      chosen.insert(judged[i].number);
    std::sort(judged.begin(), judged.end(), nearer);
    for (std::size_t i = 0; i < judged.size() && chosen.size() < kRanged; ++i)
      chosen.insert(judged[i].number);
    numerics::parallel_for(judged.size(), options_.threads, [&](std::size_t i, int) {
      if (!chosen.contains(judged[i].number)) return;
      if (const auto prediction = predicted(judged[i].hypothesis, Ranges::yes))
        judged[i].score = score(sample_, *prediction);
      report(++done_);
    });
    std::sort(judged.begin(), judged.end(), nearer);
    return judged;
  }

  /// The promising singles with every other one.
  std::vector<Hypothesis> pairs_of(const std::vector<Judged>& judged,
                                   const std::vector<Hypothesis>& singles) const {
    std::vector<Hypothesis> pairs;
    std::set<std::string> seen;
    std::size_t promising = 0;
    for (const Judged& j : judged) {
      if (j.hypothesis.edits.size() + j.hypothesis.mistakes.size() > 2) continue;
      if (j.score.distance >= golden_score_.distance && j.score.equal <= golden_score_.equal)
        continue;
      if (++promising > kPromising) break;
      for (const Hypothesis& other : singles)
        if (auto pair = both(base_.recipe, j.hypothesis, other))
          if (seen.insert(to_text(*pair)).second) pairs.push_back(std::move(*pair));
    }
    return pairs;
  }

  static Explanation explanation(Judged judged) {
    Explanation made{.edits = judged.hypothesis.edits,
                     .mistakes = {},
                     .look_for = {},
                     .explained = judged.score.explained,
                     .agreed = judged.score.agreed,
                     .equal = judged.score.equal,
                     .distance = judged.score.distance,
                     .accounts = judged.score.accounts,
                     .stages = std::move(judged.score.stages),
                     .same_bits = std::move(judged.same_bits)};
    const auto look = [&](std::string text) {
      if (made.look_for.find(text) == std::string::npos)
        made.look_for += (made.look_for.empty() ? "" : "; ") + text;
    };
    for (const FieldEdit& edit : made.edits) look(advice(edit.field));
    for (const Mistake* mistake : judged.hypothesis.mistakes) {
      made.mistakes.emplace_back(mistake->name);
      look(std::string(mistake->look_for));
    }
    return made;
  }

  const Base& base_;
  const Sample& sample_;
  const DiagnoseOptions& options_;
  Question question_;
  std::uint64_t golden_bits_ = 0;
  Score golden_score_;
  std::size_t total_ = 0;
  std::size_t first_number_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

}  // namespace

std::string to_text(const Explanation& explanation) {
  std::string text = to_text(explanation.edits);
  for (const std::string& mistake : explanation.mistakes)
    text += (text.empty() ? "" : ", ") + mistake;
  return text;
}

Diagnosis diagnose(const GoldenFile& golden, const TensorSource& candidate,
                   const DiagnoseOptions& options) {
  const CheckOptions check_options{.layout = options.layout, .order = options.order,
                                   .select = options.select, .threads = options.threads,
                                   .progress = {}};
  const CheckReport verdict = check(golden, candidate, check_options);
  Diagnosis diagnosis;
  const bool any_bit = options.alarm == Alarm::any_bit &&
                       std::any_of(verdict.stages.begin(), verdict.stages.end(),
                                   [](const StageReport& s) { return s.differing > 0; });
  diagnosis.matches = verdict.passed && !any_bit;
  if (diagnosis.matches) return diagnosis;
  const Sample sample = take_sample(golden, candidate, options);
  diagnosis.batch = sample.batch;
  diagnosis.head = sample.head;
  diagnosis.query_blocks = sample.query_blocks;
  if (sample.differing == 0) return diagnosis;  // only stages without rows per token differ
  const Base base = make_base(golden, sample.batch, sample.head);
  Search(base, sample, options).run(diagnosis);
  return diagnosis;
}

}  // namespace karat::golden
