// All hypotheses on the block that differs most, the promising on all rows that choose, the best
// with their legal ranges, the winners on rows that did not choose them.
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
/// Pairs are built on what is so much nearer than the golden values, or has so many more equal
/// bits: chance gives every hypothesis a little of both.
constexpr double kPromisingGain = 0.05, kPromisingBits = 0.02;

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
  Search(const Base& base, const Samples& samples, const DiagnoseOptions& options)
      : base_(base),
        options_(options),
        choosing_(base, samples.choosing, samples.choosing.query_blocks.size()),
        screen_(base, restricted(samples.choosing, samples.screen), 1),
        confirming_(base, samples.confirming, samples.confirming.query_blocks.size()),
        golden_score_(score(samples.choosing, golden_prediction(samples.choosing))) {}

  void run(Diagnosis& diagnosis, Pairs tried) {
    const Pass pass = base_.backward ? Pass::backward : Pass::forward;
    std::vector<Hypothesis> singles = recipe_edits(base_.recipe, pass);
    for (const Mistake& mistake : pass == Pass::backward ? backward_mistakes() : mistakes())
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
      if (j.score.accounts || speaks(j)) diagnosis.hypotheses.push_back(explanation(std::move(j)));
    }
  }

 private:
  /// Screen, all rows that choose, legal ranges, rows that confirm; the best first.
  std::vector<Judged> sifted(const std::vector<Hypothesis>& hypotheses, Diagnosis& diagnosis) {
    total_ = done_ + hypotheses.size() + kMostScreened + kRanged;
    std::vector<Judged> judged = judge(hypotheses, screen_);
    diagnosis.tried += judged.size();
    for (const Judged& j : judged)
      if (j.bits != screen_.golden_bits) visible_.insert(to_text(j.hypothesis));
    diagnosis.invisible +=
        std::erase_if(judged, [&](const Judged& j) { return j.bits == screen_.golden_bits; });
    judged = classes(judge(promising(std::move(judged)), choosing_));
    return confirmed(with_ranges(std::move(judged)));
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
      if (const auto prediction = predicted(judged[i].hypothesis, choosing_, Ranges::yes))
        judged[i].score = score(choosing_.sample, *prediction);
      report(++done_);
    });
    std::sort(judged.begin(), judged.end(), nearer);
    return judged;
  }

  /// Those that account for the candidate on rows that did not choose them. Of hypotheses with
  /// equal bits on the choosing rows some may stay equal there, others not. What is refuted
  /// accounts for nothing.
  std::vector<Judged> confirmed(std::vector<Judged> judged) {
    std::vector<std::vector<Judged>> parts(judged.size());
    numerics::parallel_for(judged.size(), options_.threads, [&](std::size_t i, int) {
      Judged& j = judged[i];
      if (j.score.accounts && !confirming_.sample.tokens.empty())
        parts[i] = confirmed_parts(std::move(j));
      else
        parts[i].push_back(std::move(j));
    });
    std::vector<Judged> all;
    for (std::vector<Judged>& part : parts) std::ranges::move(part, std::back_inserter(all));
    std::sort(all.begin(), all.end(), nearer);
    return all;
  }

  std::vector<Judged> confirmed_parts(Judged judged) const {
    std::vector<Hypothesis> members = std::move(judged.same_bits);
    members.insert(members.begin(), judged.hypothesis);
    std::map<std::uint64_t, std::size_t> first;
    std::vector<Judged> parts;
    for (Hypothesis& member : members) {
      const auto made = predicted(member, confirming_, Ranges::no);
      if (!made) continue;
      const auto [at, fresh] = first.emplace(made->bits, parts.size());
      if (!fresh) {
        parts[at->second].same_bits.push_back(std::move(member));
        continue;
      }
      Judged part = judged;
      part.hypothesis = std::move(member);
      part.number += parts.size();
      const auto ranged = predicted(part.hypothesis, confirming_, Ranges::yes);
      const Score there = score(confirming_.sample, *ranged);
      part.confirmed = confirms(there);
      part.score.accounts = *part.confirmed;
      part.score.blocks_explained += there.blocks_explained;
      part.score.blocks_refuted += there.blocks_refuted;
      parts.push_back(std::move(part));
    }
    return parts;
  }

  /// Whether a hypothesis that does not account for the candidate is worth telling: it takes a good
  /// part of the distance away, on rows that did not choose it too.
  bool speaks(const Judged& j) const {
    if (!tells(j.score)) return false;
    const auto there = predicted(j.hypothesis, confirming_, Ranges::no);
    if (!there) return false;
    const Score score_there = score(confirming_.sample, *there);
    return score_there.covered > 0 && tells(score_there);
  }

  /// The promising singles with every other one.
  std::vector<Hypothesis> pairs_of(const std::vector<Judged>& judged,
                                   const std::vector<Hypothesis>& singles) const {
    std::vector<Hypothesis> pairs;
    std::set<std::string> seen;
    std::size_t promising = 0;
    for (const Judged& j : judged) {
      if (j.hypothesis.edits.size() + j.hypothesis.mistakes.size() > 2) continue;
      if (j.score.gain_overall < kPromisingGain &&
          j.score.equal < golden_score_.equal + kPromisingBits)
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
  SampleQuestion choosing_, screen_, confirming_;
  Score golden_score_;             ///< of the golden recipe itself
  std::set<std::string> visible_;  ///< hypotheses that change something on the screen
  std::size_t total_ = 0;
  std::size_t first_number_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

}  // namespace

void search(const Base& base, const Samples& samples, const DiagnoseOptions& options, Pairs tried,
            Diagnosis& diagnosis) {
  Search(base, samples, options).run(diagnosis, tried);
}

}  // namespace karat::golden
