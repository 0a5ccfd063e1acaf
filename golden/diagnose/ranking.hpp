// Hypotheses with their scores, and which of them stands before which.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypothesis.hpp"
#include "score.hpp"

namespace karat::golden {

struct Judged {
  Hypothesis hypothesis;
  Score score;
  std::uint64_t bits = 0;
  std::size_t number = 0;             ///< in the order of the tables; simpler first
  std::vector<Hypothesis> same_bits;  ///< of equal bits on the choosing rows
  std::vector<std::string> as_good;
  /// Rows that did not choose it speak for it. Nothing while they were not asked.
  std::optional<bool> confirmed;
};

/// By distance, those that account for the candidate first.
bool nearer(const Judged& a, const Judged& b);
/// By equal bits, then by distance.
bool more_equal(const Judged& a, const Judged& b);

/// Most hypotheses that promising() keeps.
inline constexpr std::size_t kMostScreened = 80;
/// The best classes of the screen, by distance and by equal bits in turns, with all their members.
std::vector<Hypothesis> promising(std::vector<Judged> judged);
/// Hypotheses of equal bits become one, the simplest.
std::vector<Judged> classes(std::vector<Judged> judged);
/// Among those at the front that bits do not tell apart the simplest stands first, and names the
/// others. @pre not empty, sorted by nearer()
void simplest_first(std::vector<Judged>& judged);

Explanation explanation(Judged judged);

}  // namespace karat::golden
