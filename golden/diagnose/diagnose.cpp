// All single hypotheses, then pairs if none accounts for the candidate; the best with legal ranges.
#include "karat/golden/diagnose.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <set>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "score.hpp"

namespace karat::golden {
namespace {

/// Classes of hypotheses that come from the screen to the whole sample, and most hypotheses.
constexpr std::size_t kScreened = 24;
constexpr std::size_t kMostScreened = 80;
/// Hypotheses that are looked at with their legal ranges.
constexpr std::size_t kRanged = 12;
/// Of two hypotheses that account for a candidate, one must reproduce more than so many values
/// beyond the other's to be told from it: what is free decides single values like coins.
constexpr std::int64_t kChance = 8;
/// Single hypotheses that pairs are built on.
constexpr std::size_t kPromising = 3;
/// A hypothesis must compute at least this share of the sampled rows.
constexpr double kLeastCovered = 0.1;

struct Judged {
  Hypothesis hypothesis;
  Score score;
  std::uint64_t bits = 0;
  std::size_t number = 0;  ///< in the order of the tables; simpler first
  std::vector<std::string> same_bits, as_good;
};

std::int64_t equal_values(const Judged& j) {
  std::int64_t sum = 0;
  for (const StageEvidence& stage : j.score.stages) sum += stage.equal;
  return sum;
}

/// A hypothesis that moves tokens far is computed for some of the sampled rows; one that speaks of
/// (nearly) all comes first.
bool speaks_of_all(const Judged& j) { return j.score.covered > 0.9; }

bool nearer(const Judged& a, const Judged& b) {
  if (a.score.accounts != b.score.accounts) return a.score.accounts;
  if (a.score.accounts && speaks_of_all(a) != speaks_of_all(b)) return speaks_of_all(a);
  if (a.score.distance != b.score.distance) return a.score.distance < b.score.distance;
  if (a.score.equal != b.score.equal) return a.score.equal > b.score.equal;
  return a.number < b.number;
}
bool more_equal(const Judged& a, const Judged& b) {
  if (a.score.equal != b.score.equal) return a.score.equal > b.score.equal;
  return nearer(a, b);
}

enum class Pairs { no, yes };

/// A part of the sample with what to ask a hypothesis about it.
struct Part {
  Sample sample;
  Question question;
  std::uint64_t golden_bits = 0;

  Part(const Base& base, Sample chosen, std::size_t blocks) : sample(std::move(chosen)) {
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

  /// The best classes of the screen, by distance and by equal bits in turns, with all their
  /// members.
  static std::vector<Hypothesis> promising(std::vector<Judged> judged) {
    std::vector<Judged> by_bits = judged;
    std::sort(judged.begin(), judged.end(), nearer);
    std::sort(by_bits.begin(), by_bits.end(), more_equal);
    std::set<std::uint64_t> chosen;
    for (std::size_t i = 0; i < judged.size() && chosen.size() < kScreened; ++i) {
      chosen.insert(judged[i].bits);
      chosen.insert(by_bits[i].bits);
    }
    std::vector<Judged> kept;
    for (Judged& j : judged)
      if (chosen.contains(j.bits) && kept.size() < kMostScreened) kept.push_back(std::move(j));
    std::sort(kept.begin(), kept.end(),
              [](const Judged& a, const Judged& b) { return a.number < b.number; });
    std::vector<Hypothesis> hypotheses;
    for (Judged& j : kept) hypotheses.push_back(std::move(j.hypothesis));
    return hypotheses;
  }

  void report(std::size_t done) const {
    if (options_.progress) options_.progress(std::min(done, total_), total_);
  }

  std::optional<Prediction> predicted(const Hypothesis& hypothesis, const Part& part,
                                      Ranges ranges) const {
    try {
      return predict(base_, hypothesis, part.question, ranges);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::internal) throw;
      return std::nullopt;  // no meaning on this case
    }
  }

  std::vector<Judged> judge(const std::vector<Hypothesis>& hypotheses, const Part& part) {
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
      if (const auto prediction = predicted(judged[i].hypothesis, whole_, Ranges::yes))
        judged[i].score = score(whole_.sample, *prediction);
      report(++done_);
    });
    std::sort(judged.begin(), judged.end(), nearer);
    return judged;
  }

  /// Among those at the front that bits do not tell apart the simplest stands first, and names the
  /// others.
  static void simplest_first(std::vector<Judged>& judged) {
    const std::int64_t best = equal_values(judged.front());
    const bool whole = speaks_of_all(judged.front());
    std::size_t count = 1;
    while (count < judged.size() && judged[count].score.accounts &&
           speaks_of_all(judged[count]) == whole &&
           std::abs(equal_values(judged[count]) - best) <= kChance)
      ++count;
    const auto end = judged.begin() + static_cast<std::ptrdiff_t>(count);
    const auto simplest = std::min_element(
        judged.begin(), end, [](const Judged& a, const Judged& b) { return a.number < b.number; });
    std::rotate(judged.begin(), simplest, simplest + 1);
    for (auto other = judged.begin() + 1; other != end; ++other) {
      judged.front().as_good.push_back(to_text(other->hypothesis));
      for (const std::string& text : other->same_bits) judged.front().as_good.push_back(text);
    }
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
                     .same_bits = std::move(judged.same_bits),
                     .as_good = std::move(judged.as_good)};
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
  const DiagnoseOptions& options_;
  Part whole_, screen_;
  Score golden_score_;             ///< of the golden recipe itself
  std::set<std::string> visible_;  ///< hypotheses that change something on the screen
  std::size_t total_ = 0;
  std::size_t first_number_ = 0;
  std::atomic<std::size_t> done_ = 0;
};

/// What can be said without any hypothesis, from the last stage sampled.
struct Whole {
  std::string remark;
  bool hopeless = false;  ///< no hypothesis is worth a try
  bool unlike = false;    ///< nothing in common with the golden values: no pairs
};
Whole look_at_whole(const Sample& sample) {
  const SampledStage& stage = sample.stages.back();
  const std::string name(kTokenStageNames[static_cast<int>(stage.stage)]);
  const auto all = [&](auto&& is) {
    return std::all_of(stage.candidate.begin(), stage.candidate.end(), is);
  };
  if (all([](float x) { return x == 0; }))
    return {name + " is 0 everywhere it was looked at: was the output written?", true, true};
  if (all([](float x) { return std::isnan(x); }))
    return {
        name + " is NaN everywhere it was looked at: divided by a row sum of 0, or never written?",
        true, true};
  double product = 0, golden = 0, candidate = 0;
  for (std::size_t e = 0; e < stage.candidate.size(); ++e) {
    const double g = stage.golden[e], c = stage.candidate[e];
    if (!std::isfinite(g) || !std::isfinite(c)) continue;
    product += g * c;
    golden += g * g;
    candidate += c * c;
  }
  const double cosine = product / std::sqrt(std::max(golden * candidate, 1e-300));
  if (std::abs(cosine) > 0.1) return {};
  return {name + " has nothing in common with the golden one (cosine " +
              std::to_string(cosine).substr(0, 5) +
              "): another case's, another head's, or rows in another order?",
          false, true};
}

}  // namespace

std::string to_text(const Explanation& explanation) {
  std::string text = to_text(explanation.edits);
  for (const std::string& mistake : explanation.mistakes)
    text += (text.empty() ? "" : ", ") + mistake;
  return text;
}

Diagnosis diagnose(const GoldenFile& golden, const cases::TensorSource& candidate,
                   const DiagnoseOptions& options) {
  const CheckOptions check_options{.layout = options.layout,
                                   .order = options.order,
                                   .select = options.select,
                                   .threads = options.threads,
                                   .progress = [&](std::size_t, std::size_t) {
                                     if (options.progress) options.progress(0, 1);
                                   }};
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
  const Whole whole = look_at_whole(sample);
  diagnosis.remark = whole.remark;
  if (whole.hopeless) return diagnosis;
  const Base base = make_base(golden, sample.batch, sample.head);
  Search(base, sample, options).run(diagnosis, whole.unlike ? Pairs::no : Pairs::yes);
  return diagnosis;
}

}  // namespace karat::golden
