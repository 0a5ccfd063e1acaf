// NABLA, SubBlock, VSA, SLA: key blocks by the scores of means, each family by its own settings.
#include <algorithm>
#include <limits>
#include <numbers>

#include "karat/layout/arrangement.hpp"
#include "karat/mask/compose.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "pooled.hpp"
#include "predictors.hpp"
#include "smooth.hpp"

namespace karat::attention {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

/// Ranges cut into pieces with means of their own.
struct Pieces {
  std::vector<video::Range> pieces;
  std::vector<std::size_t> first;  ///< per range, and one past the last
};

Pieces cut_into_pieces(std::span<const video::Range> ranges, int size) {
  Pieces cut;
  for (const video::Range range : ranges) {
    cut.first.push_back(cut.pieces.size());
    for (const video::Range piece : video::cut_range(range, size)) cut.pieces.push_back(piece);
  }
  cut.first.push_back(cut.pieces.size());
  return cut;
}

/// Positions of a piece: those of a whole block over the parts, rounded up.
int piece_size(std::int64_t whole, int parts) {
  return static_cast<int>((whole + parts - 1) / parts);
}

/// log of the sum of exp over the pieces of a pair, the largest taken out; e^x = exp2(x*log2 e).
double log_sum_exp(std::span<const double> scores, std::size_t columns, video::Range rows,
                   video::Range cut) {
  double largest = -kNoLimit;
  const auto each = [&](auto&& visit) {
    for (std::int64_t i = rows.begin; i < rows.end; ++i)
      for (std::int64_t j = cut.begin; j < cut.end; ++j) visit(scores[i * columns + j]);
  };
  each([&](double s) { largest = std::max(largest, s); });
  if (largest == -kNoLimit || largest == kNoLimit) return largest;
  double sum = 0;
  each([&](double s) { sum += numerics::exp2_f64((s - largest) * std::numbers::log2e); });
  return largest + numerics::log2_f64(sum) * std::numbers::ln2;
}

/// Weights from scores, up to a common factor: exp(score - the largest).
void exponentiate(std::span<double> scores) {
  const double largest = *std::ranges::max_element(scores);
  for (double& s : scores)
    s = s == largest ? 1.0 : numerics::exp2_f64((s - largest) * std::numbers::log2e);
}

bool holds_text(video::Range range, const layout::Setting& setting) {
  return setting.text > 0 && range.end > setting.grid.volume();
}

std::vector<float> keys_of(const PredictorInput& input, const video::TokenOrder& order) {
  const std::size_t channels = input.setting.channels;
  std::vector<float> keys =
      ordered_rows(input.head.k, channels, order.token_at, channels, input.threads);
  if (input.recipe.predict.centre == recipe::CentreKeys::on)
    subtract_mean(keys, {0, order.positions()}, order, channels, input.recipe.k, input.head.format,
                  input.threads);
  return keys;
}

/// One score per pair of ranges.
std::vector<double> pair_scores(const PredictorInput& input, const video::TokenOrder& order,
                                const layout::MeanRanges& ranges) {
  const recipe::Recipe& recipe = input.recipe;
  const recipe::Predict& rule = recipe.predict;
  const std::size_t channels = input.setting.channels;
  const bool tiles = rule.unit == recipe::PredictUnit::tiles;
  const auto cut = [&](const std::vector<video::Range>& of, int block) {
    return cut_into_pieces(of, piece_size(tiles ? recipe.mask.tile.volume() : block, rule.parts));
  };
  const Pieces q = cut(ranges.queries, recipe.block.q), k = cut(ranges.keys, recipe.block.k);
  const auto means = [&](std::span<const float> rows, const Pieces& of) {
    return range_means(rows, channels, of.pieces, rule.means, input.threads);
  };
  const std::vector<float> queries =
      ordered_rows(input.head.q, channels, order.token_at, channels, input.threads);
  const std::vector<double> scores = mean_scores(means(queries, q), means(keys_of(input, order), k),
                                                 channels, rule.scores, input.threads);
  if (q.pieces.size() == ranges.queries.size() && k.pieces.size() == ranges.keys.size())
    return scores;
  const std::size_t columns = ranges.keys.size();
  std::vector<double> pairs(ranges.queries.size() * columns);
  const auto pieces = [](const Pieces& of, std::size_t range) {
    return video::Range{static_cast<std::int64_t>(of.first[range]),
                        static_cast<std::int64_t>(of.first[range + 1])};
  };
  numerics::parallel_for(ranges.queries.size(), input.threads, [&](std::size_t i, int) {
    for (std::size_t j = 0; j < columns; ++j)
      pairs[i * columns + j] = log_sum_exp(scores, k.pieces.size(), pieces(q, i), pieces(k, j));
  });
  return pairs;
}

/// What the window of the mask section keeps, and what text sees and is seen by.
void keep_in_any_case(const PredictorInput& input, const video::TokenOrder& order,
                      const layout::MeanRanges& ranges, std::vector<std::uint8_t>& keep) {
  const recipe::TextBlocks text = input.recipe.predict.text;
  const bool joins = input.recipe.mask.kind == recipe::MaskKind::window;
  const auto window = joins ? layout::make_mask(input.recipe.mask, input.setting, order) : nullptr;
  const std::size_t columns = ranges.keys.size();
  numerics::parallel_for(ranges.queries.size(), input.threads, [&](std::size_t i, int) {
    for (std::size_t j = 0; j < columns; ++j) {
      std::uint8_t& kept = keep[i * columns + j];
      if (window && window->cover(ranges.queries[i], ranges.keys[j]) != mask::Cover::none) kept = 1;
      const bool of_query = text != recipe::TextBlocks::ranked;
      const bool of_key = text == recipe::TextBlocks::dense;
      if ((of_query && holds_text(ranges.queries[i], input.setting)) ||
          (of_key && holds_text(ranges.keys[j], input.setting)))
        kept = 1;
    }
  });
}

}  // namespace

layout::Arrangement predict_by_means(const PredictorInput& input) {
  const recipe::Recipe& recipe = input.recipe;
  layout::Arrangement made{layout::make_order(recipe.mask, input.setting), {}, nullptr};
  made.key_order = made.order;
  const layout::MeanRanges ranges = layout::mean_ranges(recipe, made.order);
  std::vector<double> scores = pair_scores(input, made.order, ranges);
  const std::size_t columns = ranges.keys.size();
  std::vector<std::uint8_t> keep(scores.size(), 0);
  numerics::parallel_for(ranges.queries.size(), input.threads, [&](std::size_t i, int) {
    const std::span row(&scores[i * columns], columns);
    if (recipe.predict.select != recipe::Select::share) exponentiate(row);
    for (const std::int32_t block : select_blocks(row, recipe.predict))
      keep[i * columns + block] = 1;
  });
  keep_in_any_case(input, made.order, ranges, keep);
  made.mask = mask::block_table(ranges.queries, ranges.keys, std::move(keep));
  if (recipe.mask.causal == recipe::Causal::on) made.mask = mask::causal(std::move(made.mask));
  return made;
}

}  // namespace karat::attention
