#include "sampled_head.hpp"

#include <algorithm>

#include "karat/attention/oracle.hpp"
#include "karat/attention/predict.hpp"

namespace karat::golden {
namespace {

void put(std::span<const float> rows, const layout::Layout& layout, video::Range queries,
         std::size_t channels, std::vector<float>& per_token) {
  for (std::int64_t i = 0; i < queries.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[queries.begin + i]; token >= 0)
      std::copy_n(&rows[i * channels], channels, &per_token[token * channels]);
}

}  // namespace

SampledHead::SampledHead(recipe::Recipe of, const Sampling& sampling) : recipe(std::move(of)) {
  const auto inputs = cases::generated_inputs({.kind = sampling.kind,
                                               .grid = sampling.grid,
                                               .head_dim = sampling.head_dim,
                                               .seed = sampling.seed},
                                              0);
  setting = inputs->setting();
  values = std::make_shared<cases::HeadValues>(inputs->values(0, 0, 2));
  layout = std::make_shared<layout::Layout>(
      attention::layout_of_head(recipe, setting, values->view(), 2));
  operands = std::make_shared<attention::QuantisedHead>(
      attention::quantise_head(recipe, *layout, values->view(), numerics::Path::fast, 2));
  const auto count = static_cast<int>(layout->blocks.query_blocks.size());
  const int taken = std::min(count, sampling.blocks);
  for (int i = 0; i < taken; ++i)
    blocks.push_back(taken == 1 ? count / 2
                                : static_cast<int>(std::int64_t{i} * (count - 1) / (taken - 1)));
  golden = attention::attend(recipe, *layout, *operands,
                             {.threads = 2, .query_blocks = blocks, .tapped = blocks});
  for (const attention::BlockTap& tap : golden.taps)
    for (std::int64_t i = tap.queries.begin; i < tap.queries.end; ++i)
      if (layout->order.token_at[i] >= 0) rows.push_back(layout->order.token_at[i]);
  std::ranges::sort(rows);
  truth = attention::oracle(*layout, values->view(), rows, attention::OracleMask::sparse, 2).o;
  bounds = {golden.o, golden.o, golden.l, golden.l, golden.lse, golden.lse};
  if (!bounds::leaves_freedom(recipe)) return;
  const bounds::HeadBounds head_bounds(recipe, *layout, *operands, 2);
  for (const attention::BlockTap& tap : golden.taps) {
    const auto block = head_bounds.of(
        tap, bounds::gather(golden.o, *layout, tap.queries, layout->channels),
        bounds::gather(golden.lse, *layout, tap.queries, 1), bounds::Detail::outputs);
    put(block.out_low, *layout, tap.queries, layout->channels, bounds.o_low);
    put(block.out_high, *layout, tap.queries, layout->channels, bounds.o_high);
    put(block.row_l_low, *layout, tap.queries, 1, bounds.l_low);
    put(block.row_l_high, *layout, tap.queries, 1, bounds.l_high);
    put(block.lse_low, *layout, tap.queries, 1, bounds.lse_low);
    put(block.lse_high, *layout, tap.queries, 1, bounds.lse_high);
  }
}

}  // namespace karat::golden
