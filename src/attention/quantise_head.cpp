// Values in the caller's order -> smoothed, reordered, quantised operands.
#include <cmath>
#include <string>

#include "arithmetic.hpp"
#include "karat/attention/head.hpp"
#include "karat/numerics/error.hpp"
#include "karat/numerics/parallel.hpp"

namespace karat::attention {
namespace {

using quant::Quantised;

std::vector<float> to_positions(std::span<const float> tokens, const Layout& layout) {
  std::vector<float> rows(layout.order.token_at.size() * layout.channels, 0.0f);
  for (std::size_t i = 0; i < layout.order.token_at.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[i]; token >= 0)
      std::copy_n(&tokens[token * layout.channels], layout.channels, &rows[i * layout.channels]);
  return rows;
}

/// SageAttention multiplies Q by d^-1/2 * log2 e before it is quantised.
void fold_score_scale(std::vector<float>& q, const recipe::Recipe& recipe, std::size_t channels) {
  if (recipe.qk.scale_order != recipe::ScaleOrder::folded_into_q) return;
  const auto c =
      static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(channels)));
  const Fp32 fp{recipe.subnormals};
  for (float& x : q) x = fp.multiply(x, c);
}

}  // namespace

QuantisedHead quantise_head(const recipe::Recipe& recipe, const Layout& layout,
                            const HeadInput& input, numerics::Path path, int threads) {
  const std::size_t expected = layout.order.position_of.size() * layout.channels;
  for (const auto& [name, values] : {std::pair{"q", input.q}, {"k", input.k}, {"v", input.v}})
    if (values.size() != expected)
      throw Error(ErrorKind::usage, name,
                  std::to_string(values.size()) + " values where the grid has " +
                      std::to_string(expected),
                  "give tokens x channels values");
  const auto run = [&](std::span<const float> values, const recipe::Operand& rule,
                       const quant::Grouping& groups, bool is_q) {
    std::vector<float> rows = to_positions(values, layout);
    if (is_q) fold_score_scale(rows, recipe, layout.channels);
    return quant::quantise(
        numerics::row_major<const float>(rows.data(), layout.order.token_at.size(),
                                         layout.channels),
        rule, groups, path, threads);
  };
  return {.q = run(input.q, recipe.q, layout.q_groups, true),
          .k = run(input.k, recipe.k, layout.k_groups, false),
          .v = run(input.v, recipe.v, layout.v_groups, false)};
}

}  // namespace karat::attention
