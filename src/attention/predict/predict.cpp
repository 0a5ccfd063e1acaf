// Choosing a predictor, and what several of them need.
#include "karat/attention/predict.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "karat/attention/operations/kernel.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/random/philox.hpp"
#include "predictors.hpp"
#include "smooth.hpp"

namespace karat::attention {

bool depends_on_head(const recipe::Recipe& recipe) {
  return recipe.predict.rule != recipe::PredictRule::never;
}

layout::Layout layout_of_head(const recipe::Recipe& recipe, const layout::Setting& setting,
                              const HeadInput& head, int threads) {
  if (!depends_on_head(recipe)) return layout::make_layout(recipe, setting);
  require_values(head, setting.tokens(), setting.channels);
  const PredictorInput input{recipe, setting, head, threads};
  const auto predicted = [&] {
    switch (recipe.predict.rule) {
      case recipe::PredictRule::clusters:
        return predict_by_clusters(input);
      case recipe::PredictRule::profile:
        return predict_by_profile(input);
      case recipe::PredictRule::means:
        return predict_by_means(input);
      case recipe::PredictRule::similarity:
      case recipe::PredictRule::never:
        break;
    }
    return predict_by_similarity(input);
  };
  return layout::make_layout(recipe, setting, predicted());
}

namespace {

std::vector<std::int32_t> heaviest_first(std::span<const double> weights, recipe::Ties ties) {
  std::vector<std::int32_t> sorted(weights.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  if (ties == recipe::Ties::higher_first) std::ranges::reverse(sorted);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](std::int32_t a, std::int32_t b) { return weights[a] > weights[b]; });
  return sorted;
}

/// Blocks at the end of `sorted` whose sums, from the last on, stay below tail of the total.
std::size_t count_tail(std::span<const double> weights, const std::vector<std::int32_t>& sorted,
                       float tail) {
  double total = 0;
  for (std::size_t i = sorted.size(); i-- > 0;) total += weights[sorted[i]];
  double sum = 0;
  std::size_t dropped = 0;
  for (std::size_t i = sorted.size(); i-- > 0; ++dropped) {
    sum += weights[sorted[i]];
    if (!(sum < tail * total)) break;
  }
  return dropped;
}

}  // namespace

std::vector<std::int32_t> select_blocks(std::span<const double> weights,
                                        const recipe::Predict& rule) {
  const auto count = static_cast<float>(weights.size());
  std::vector<std::int32_t> sorted = heaviest_first(weights, rule.ties);
  std::size_t kept = 0;
  if (rule.select == recipe::Select::share) {
    const float wanted = rule.share * count;
    kept = static_cast<std::size_t>(
        rule.share_rounding == recipe::ShareRounding::up ? std::ceil(wanted) : std::floor(wanted));
  } else if (rule.select == recipe::Select::tail) {
    kept = sorted.size() - count_tail(weights, sorted, rule.tail);
  } else {
    double total = 0;
    for (const std::int32_t block : sorted) total += weights[block];
    double before = 0;
    for (const std::int32_t block : sorted) {
      const double after = before + weights[block];
      const bool keep = rule.crossing == recipe::Crossing::kept ? before < rule.mass * total
                                                                : after <= rule.mass * total;
      if (!keep) break;
      before = after;
      ++kept;
    }
    kept = std::max(kept, static_cast<std::size_t>(std::ceil(rule.least * count)));
  }
  sorted.resize(std::min(std::max<std::size_t>(kept, 1), sorted.size()));
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::vector<double> pooled_weights(std::span<const double> query, const PooledKeys& keys) {
  const std::size_t channels = query.size();
  std::vector<double> scores;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t g = 0; g < keys.sizes.size(); ++g) {
    double dot = 0;
    for (std::size_t j = 0; j < channels; ++j) dot += query[j] * keys.means[g * channels + j];
    scores.push_back(dot * score_scale(channels));
    if (keys.sizes[g] > 0) largest = std::max(largest, scores.back());
  }
  for (std::size_t g = 0; g < scores.size(); ++g)
    scores[g] = keys.sizes[g] > 0 ? keys.sizes[g] * numerics::exp2_f64(scores[g] - largest) : 0.0;
  return scores;
}

std::vector<std::int32_t> draw_tokens(std::int64_t tokens, int count, std::uint64_t seed,
                                      std::uint64_t stream) {
  const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(tokens, count));
  std::vector<char> taken(tokens, 0);
  std::vector<std::int32_t> drawn;
  for (std::uint64_t i = 0; drawn.size() < wanted; ++i) {
    const auto token = static_cast<std::int32_t>(numerics::random_bits(seed, stream, i) % tokens);
    if (!std::exchange(taken[token], 1)) drawn.push_back(token);
  }
  return drawn;
}

}  // namespace karat::attention
