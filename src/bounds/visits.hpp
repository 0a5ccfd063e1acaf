// Which visits of a query block the kernel leaves out.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "free_launch.hpp"
#include "karat/attention/operations/score.hpp"
#include "row_lanes.hpp"

namespace karat::bounds {

/// Whether a visit is left out. `either`: right kernels do not agree, since 2^x of the test lies
/// within exp2's freedom of what it is compared with.
enum class Visited { computed, skipped, either };
struct VisitDecision {
  Visited visited;
  bool golden_skips;  ///< what the recipe's own exp2 decides
  float x;            ///< SkipTest::largest()
};

/// A row's maximum in a block, as the engine has it: NaN aside.
inline float largest_of(std::span<const float> scores) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t n = lanes::largest_number(scores.data(), scores.size(), largest);
       n < scores.size(); ++n)
    largest = std::max(largest, scores[n]);
  return largest;
}

/// Scores and maxima decide; exp2 has a say where skip.rule is exponential.
inline VisitDecision decision(const FreeLaunch& free, const attention::BlockTap& tap,
                              std::size_t visit) {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  attention::SkipTest test(free.launch, visit);
  for (std::size_t i = 0; test.active() && i < rows; ++i) {
    const float* s = &tap.s[i * tap.key_position.size()];
    const float maximum =
        largest_of({s + tap.column_begin[visit], s + tap.column_begin[visit + 1]});
    test.row(i, tap.m[(visit - 1) * rows + i], maximum, free.f);
  }
  const recipe::Recipe& recipe = free.launch.recipe;
  const bool skips = test.skips();
  const Visited golden = skips ? Visited::skipped : Visited::computed;
  if (recipe.skip.rule != recipe::SkipRule::exponential || !test.decides() ||
      recipe.softmax.exp2 == recipe::Exp2::exact)
    return {golden, skips, test.largest()};
  const Interval legal = free.power(test.largest());
  const float lambda = free.launch.skip_lambda;
  const bool agreed = (legal.low < lambda) == (legal.high < lambda);
  return {agreed ? golden : Visited::either, skips, test.largest()};
}

}  // namespace karat::bounds
