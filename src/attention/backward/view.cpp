// The engines' launch, seen from outside.
#include "backward/launch.hpp"
#include "karat/attention/backward_view.hpp"

namespace karat::attention {

using numerics::MatrixView;
using numerics::Path;

struct BackwardView::State {
  State(const recipe::Recipe& recipe, const layout::Layout& layout, const mask::BlockMap& blocks,
        const BackwardHead& given, int threads)
      : head(given),
        options{.threads = threads},
        launch(recipe, layout, blocks, head, options),
        order(backward_order(recipe.backward, blocks, {})) {}
  BackwardHead head;
  BackwardOptions options;
  BackwardLaunch launch;
  BackwardOrder order;
};

BackwardView::BackwardView(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const mask::BlockMap& blocks, const BackwardHead& head, int threads)
    : state_(std::make_unique<State>(recipe, layout, blocks, head, threads)) {}
BackwardView::~BackwardView() = default;

const BackwardKernel& BackwardView::kernel() const { return state_->launch; }
const layout::Layout& BackwardView::layout() const { return state_->launch.layout; }
const mask::BlockMap& BackwardView::blocks() const { return state_->launch.blocks; }

std::vector<int> BackwardView::keys_of(int query_block) const {
  std::vector<int> blocks;
  for (const auto& entry : state_->order.keys_of[query_block]) blocks.push_back(entry.key_block);
  return blocks;
}

std::vector<int> BackwardView::queries_of(int key_block) const {
  std::vector<int> blocks;
  for (const auto& visit : state_->order.queries_of[key_block]) blocks.push_back(visit.query_block);
  return blocks;
}

bool BackwardView::has_keys(std::int64_t position) const {
  return state_->launch.has_keys(position);
}

bool BackwardView::keeps(std::int64_t query, std::int64_t key) const {
  return has_keys(query) && layout().mask->keeps(query, key);
}

float BackwardView::l_of(std::int64_t position, float lse) const {
  const float l = log2_of(kernel(), lse);
  const std::vector<double>& smoothed = state_->head.head->smoothed.q_dot_k_mean;
  return smoothed.empty() ? l : of_smoothed(kernel(), l, smoothed[position]);
}

BackwardView::DeltaOperand BackwardView::delta_operand(std::int64_t position) const {
  const quant::Quantised& d_o = *state_->launch.d_o_in_dp;
  const std::size_t d = kernel().channels;
  return {std::span<const float>(d_o.values).subspan(position * d, d),
          d_o.scales.empty() ? std::nullopt : std::optional(d_o.scale(position, 0))};
}

template <typename V>
V BackwardView::delta_of(std::int64_t position, std::span<const V> o) const {
  const DeltaOperand d_o = delta_operand(position);
  return attention::delta_of(kernel(), sum_of_products(kernel(), o, d_o.values), d_o.scale);
}
template float BackwardView::delta_of(std::int64_t, std::span<const float>) const;
template numerics::Interval BackwardView::delta_of(std::int64_t,
                                                   std::span<const numerics::Interval>) const;

BackwardView::Pairs BackwardView::pairs(int query_block, int key_block) const {
  const BackwardLaunch& launch = state_->launch;
  const video::Range queries = launch.blocks.query_blocks[query_block];
  const video::Range keys = launch.blocks.key_blocks[key_block];
  Pairs pairs{.rows = static_cast<std::size_t>(queries.size()),
              .columns = static_cast<std::size_t>(keys.size()),
              .a = {},
              .dp = {}};
  const auto product = [&](const numerics::Instruction& instruction, const quant::Quantised& x,
                           const quant::Quantised& y, std::vector<float>& sums) {
    numerics::RowOperand rows;
    numerics::ColumnOperand columns;
    rows.pack(instruction, x.view().rows_from(queries.begin, pairs.rows));
    columns.pack(instruction, y.view().rows_from(keys.begin, pairs.columns));
    sums.resize(pairs.rows * pairs.columns);
    numerics::chain(instruction, rows, columns, numerics::Start::absent,
                    numerics::row_major(sums.data(), pairs.rows, pairs.columns), Path::fast);
  };
  product(launch.s, launch.s_q(), launch.s_k(), pairs.a);
  product(launch.dp, *launch.d_o_in_dp, *launch.v, pairs.dp);
  for (std::size_t e = 0; e < pairs.dp.size(); ++e) {
    const auto query = queries.begin + static_cast<std::int64_t>(e / pairs.columns);
    const auto key = keys.begin + static_cast<std::int64_t>(e % pairs.columns);
    if (const auto factor = launch.dp_factor(query, key))
      pairs.dp[e] = launch.fp32.multiply(pairs.dp[e], *factor);
  }
  return pairs;
}

float BackwardView::exponent(std::int64_t query, std::int64_t key, float a, float l) const {
  const BackwardLaunch& launch = state_->launch;
  return backward_exponent(launch, a, launch.s_q().scale(query, 0), launch.s_k().scale(key, 0), l);
}

const numerics::Instruction& BackwardView::instruction(GradientProduct product) const {
  const BackwardLaunch& launch = state_->launch;
  return product == GradientProduct::dv   ? launch.dv
         : product == GradientProduct::dk ? launch.dk
                                          : launch.dq;
}

recipe::Promote BackwardView::promote(GradientProduct product) const {
  const BackwardLaunch& launch = state_->launch;
  return product == GradientProduct::dq ? launch.promote_dq() : launch.backward.promote;
}

const quant::Rule& BackwardView::rule(GradientProduct product) const {
  const recipe::Backward& backward = kernel().backward;
  return product == GradientProduct::dv ? backward.p : backward.ds;
}

const quant::Quantised& BackwardView::other(GradientProduct product) const {
  const BackwardLaunch& launch = state_->launch;
  return product == GradientProduct::dv   ? *launch.d_o
         : product == GradientProduct::dk ? *launch.q
                                          : *launch.k;
}

const video::TokenOrder& BackwardView::order(GradientProduct product) const {
  return product == GradientProduct::dq ? layout().key_order : layout().order;
}

video::Range BackwardView::range(GradientProduct product, int block) const {
  return product == GradientProduct::dq ? blocks().key_blocks[block] : blocks().query_blocks[block];
}

MatrixView<const float> BackwardView::right(GradientProduct product, int block) const {
  const video::Range rows = range(product, block);
  return other(product).view().rows_from(rows.begin, static_cast<std::size_t>(rows.size()));
}

std::vector<float> BackwardView::factors(GradientProduct product, std::optional<float> left,
                                         int block) const {
  return product_factors(kernel().fp32, left, other(product),
                         first_token(order(product), range(product, block)));
}

std::vector<float> BackwardView::last_factors(GradientProduct product) const {
  if (promote(product) == recipe::Promote::block) return {};
  std::optional<float> left;
  if (quant::leaves_scales(rule(product))) left = quant::scale_of(1.0f, rule(product));
  return product_factors(kernel().fp32, left, other(product),
                         first_token(order(product), {0, order(product).positions()}));
}

std::span<const float> BackwardView::k_mean() const { return state_->launch.k_mean; }

std::span<const std::uint8_t> BackwardView::saturated(GradientProduct product) const {
  const BackwardLaunch& launch = state_->launch;
  return product == GradientProduct::dv   ? launch.v_saturated
         : product == GradientProduct::dk ? launch.k_saturated
                                          : launch.q_saturated;
}

float BackwardView::multiplier(GradientProduct product) const {
  const recipe::Backward& backward = kernel().backward;
  return product == GradientProduct::dv   ? backward.dv_multiplier
         : product == GradientProduct::dk ? backward.dk_multiplier
                                          : backward.dq_multiplier;
}

}  // namespace karat::attention
