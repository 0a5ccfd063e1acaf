// All hypotheses on the block that differs most, the promising on the whole sample, the best with
// their legal ranges.
#include "search.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "ranking.hpp"

namespace karat::golden {
namespace {

/// Hypotheses that are looked at with their legal ranges.
constexpr std::size_t kRanged = 12;
/// Single hypotheses that pairs are built on.
constexpr std::size_t kPromising = 3;
/// A hypothesis must compute at least this share of the sampled rows.
constexpr double kLeastCovered = 0.1;

/// A part of the sample with what to ask a hypothesis about it.
struct SampleQuestion {
  Sample sample;
  Question question;
  std::uint64_t golden_bits = 0;

  SampleQuestion(const Base& base, Sample chosen, std::size_t blocks) : sample(std::move(chosen)) {
    for (const SampledStage& stage : sample.stages) question.stages.push_back(stage.stage);
    question.tokens = sample.tokens;
    question.most_blocks = 2 * blocks + 2;
    const Hypothesis golden{.edits = {}, .mistakes = {}, .recipe = base.recipe};
    golden_bits = predict(base, golden, question, Ranges::no)->bits;
  }
};

class Search {
 public:
  Search(const Base& base, const Sample& sample, const DiagnoseOptions& options)
      : base_(base),
        options_(options),
        whole_(base, sample, sample.query_blocks.size()),
        screen_(base, restricted(sample, sample.screen), 1),
        golden_score_(score(sample, golden_prediction(sample))) {}

  void run(Diagnosis& diagnosis, Pairs tried) {
    std::vector<Hypothesis> singles = recipe_edits(base_.recipe);
    for (const Mistake& mistake : mistakes())
      singles.push_back({.edits = {}, .mistakes = {&mistake}, .recipe = base_.recipe});
    std::vector<Judged> judged = sifted(singles, diagnosis);
    if (tried == Pairs::yes && (judged.empty() || !judged.front().score.accounts)) {
      std::vector<Judged> pairs = sifted(pairs_of(judged, singles), diagnosis);
      judged.insert(judged.end(), std::make_move_iterator(pairs.begin()),
                    std::make_move_iterator(pairs.end()));
      std::sort(judged.begin(), judged.end(), nearer);
    }
    diagnosis.explained = !judged.empty() && judged.front().score.accounts;
    if (diagnosis.explained) simplest_first(judged);
    for (Judged& j : judged) {
      if (diagnosis.hypotheses.size() == options_.reported) break;
      diagnosis.hypotheses.push_back(explanation(std::move(j)));
    }
  }

 private:
  /// Screen, whole sample, legal ranges; the best first.
  std::vector<Judged> sifted(const std::vector<Hypothesis>& hypotheses, Diagnosis& diagnosis) {
    total_ = done_ + hypotheses.size() + kMostScreened + kRanged;
    std::vector<Judged> judged = judge(hypotheses, screen_);
    diagnosis.tried += judged.size();
    for (const Judged& j : judged)
      if (j.bits != screen_.golden_bits) visible_.insert(to_text(j.hypothesis));
    diagnosis.invisible +=
        std::erase_if(judged, [&](const Judged& j) { return j.bits == screen_.golden_bits; });
    judged = classes(judge(promising(std::move(judged)), whole_));
    return with_ranges(std::move(judged));
  }

  void report(std::size_t done) const {
    if (options_.progress) options_.progress(std::min(done, total_), total_);
  }

  std::optional<Prediction> predicted(const Hypothesis& hypothesis, const SampleQuestion& part,
                                      Ranges ranges) const {
    try {
      return predict(base_, hypothesis, part.question, ranges);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::internal) throw;
      return std::nullopt;  // no meaning on this case
    }
  }

  std::vector<Judged> judge(const std::vector<Hypothesis>& hypotheses, const SampleQuestion& part) {
    std::vector<std::optional<Judged>> slots(hypotheses.size());
    numerics::parallel_for(hypotheses.size(), options_.threads, [&](std::size_t i, int) {
      if (const auto prediction = predicted(hypotheses[i], part, Ranges::no)) {
        Judged judged{.hypothesis = hypotheses[i],
                      .score = score(part.sample, *prediction),
                      .bits = prediction->bits,
                      .number = i + first_number_,
                      .same_bits = {},
                      .as_good = {}};
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
      if (const auto prediction = predicted(judged[i].hypothesis, whole_, Ranges::yes))
        judged[i].score = score(whole_.sample, *prediction);
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
      for (const Hypothesis& other : singles) {
        if (!visible_.contains(to_text(other))) continue;
        if (auto pair = both(base_.recipe, j.hypothesis, other))
          if (seen.insert(to_text(*pair)).second) pairs.push_back(std::move(*pair));
      }
    }
    return pairs;
  }

  const Base& base_;
  const DiagnoseOptions& options_;
  SampleQuestion whole_, screen_;
  Score golden_score_;             ///< of the golden recipe itself
  std::set<std::string> visible_;  ///< hypotheses that change something on the screen
  std::size_t total_ = 0;
  std::size_t first_number_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

}  // namespace

void search(const Base& base, const Sample& sample, const DiagnoseOptions& options, Pairs tried,
            Diagnosis& diagnosis) {
  Search(base, sample, options).run(diagnosis, tried);
}

}  // namespace karat::golden
