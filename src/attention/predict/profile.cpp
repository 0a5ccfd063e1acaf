// SparseVideoGen 1: of the spatial and the temporal band the one that errs less on sampled rows.
#include <algorithm>

#include "karat/attention/oracle.hpp"
#include "karat/layout/arrangement.hpp"
#include "predictors.hpp"

namespace karat::attention {
namespace {

constexpr std::uint64_t kRowStream = 0x70726f66696c6500;

double squared_error(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

}  // namespace

layout::Arrangement predict_by_profile(const PredictorInput& input) {
  recipe::Recipe spatial = input.recipe, temporal = input.recipe;
  spatial.mask.order = recipe::TokenSequence::tiles;
  temporal.mask.order = recipe::TokenSequence::token_major;
  temporal.mask.band_first = 0;
  auto rows = draw_tokens(input.setting.tokens(), input.recipe.predict.rows,
                          static_cast<std::uint64_t>(input.recipe.predict.seed), kRowStream);
  std::sort(rows.begin(), rows.end());
  const layout::Layout first = layout::make_layout(input.recipe, input.setting,
                                                   layout::arrange(spatial.mask, input.setting));
  const auto truth = oracle(first, input.head, rows, OracleMask::dense, input.threads);
  const auto error = [&](const layout::Layout& layout) {
    return squared_error(oracle(layout, input.head, rows, OracleMask::sparse, input.threads).o,
                         truth.o);
  };
  const double spatial_error = error(first);
  const double temporal_error = error(layout::make_layout(
      input.recipe, input.setting, layout::arrange(temporal.mask, input.setting)));
  return layout::arrange(spatial_error <= temporal_error ? spatial.mask : temporal.mask,
                         input.setting);
}

}  // namespace karat::attention
