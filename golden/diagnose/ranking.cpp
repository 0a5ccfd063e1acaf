// Comparisons of scores; what bits cannot tell apart stands together.
#include "ranking.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace karat::golden {
namespace {

/// Classes of hypotheses that come from the screen to the whole sample.
constexpr std::size_t kScreened = 24;
/// Of two hypotheses that account for a candidate, one must reproduce more than so many values
/// beyond the other's to be told from it: what is free decides single values like coins.
constexpr std::int64_t kChance = 8;
std::int64_t equal_values(const Judged& j) {
  std::int64_t sum = 0;
  for (const StageEvidence& stage : j.score.stages) sum += stage.equal;
  return sum;
}

/// A hypothesis that explains less says nothing about where to look.
constexpr double kLeastLookedAt = 0.5;

/// A hypothesis that moves tokens far is computed for some of the sampled rows; one that speaks of
/// (nearly) all comes first.
bool speaks_of_all(const Judged& j) { return j.score.covered > 0.9; }

}  // namespace

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

std::vector<Hypothesis> promising(std::vector<Judged> judged) {
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

std::vector<Judged> classes(std::vector<Judged> judged) {
  std::stable_sort(judged.begin(), judged.end(),
                   [](const Judged& a, const Judged& b) { return a.number < b.number; });
  std::map<std::uint64_t, std::size_t> first;
  std::vector<Judged> kept;
  for (Judged& j : judged) {
    const auto [at, fresh] = first.emplace(j.bits, kept.size());
    if (fresh)
      kept.push_back(std::move(j));
    else
      kept[at->second].same_bits.push_back(std::move(j.hypothesis));
  }
  return kept;
}

void simplest_first(std::vector<Judged>& judged) {
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
    for (const Hypothesis& same : other->same_bits) judged.front().as_good.push_back(to_text(same));
  }
}

Explanation explanation(Judged judged) {
  Explanation made{.edits = judged.hypothesis.edits,
                   .mistakes = {},
                   .look_for = {},
                   .explained = judged.score.explained,
                   .agreed = judged.score.agreed,
                   .equal = judged.score.equal,
                   .distance = judged.score.distance,
                   .gain = judged.score.gain,
                   .blocks_explained = judged.score.blocks_explained,
                   .blocks_refuted = judged.score.blocks_refuted,
                   .accounts = judged.score.accounts,
                   .confirmed = judged.confirmed.value_or(false),
                   .stages = std::move(judged.score.stages),
                   .same_bits = {},
                   .as_good = std::move(judged.as_good)};
  for (const Hypothesis& same : judged.same_bits) made.same_bits.push_back(to_text(same));
  const bool worth_a_look = made.accounts || (made.explained >= kLeastLookedAt &&
                                              made.blocks_explained >= made.blocks_refuted);
  const auto look = [&](std::string text) {
    if (worth_a_look && made.look_for.find(text) == std::string::npos)
      made.look_for += (made.look_for.empty() ? "" : "; ") + text;
  };
  for (const FieldEdit& edit : made.edits) look(advice(edit.field));
  for (const Mistake* mistake : judged.hypothesis.mistakes) {
    made.mistakes.emplace_back(mistake->name);
    look(std::string(mistake->look_for));
  }
  return made;
}

std::string to_text(const Explanation& explanation) {
  std::string text = to_text(explanation.edits);
  for (const std::string& mistake : explanation.mistakes)
    text += (text.empty() ? "" : ", ") + mistake;
  return text;
}

}  // namespace karat::golden
