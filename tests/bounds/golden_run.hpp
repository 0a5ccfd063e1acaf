// One small head run through the engine, every query block tapped.
#pragma once

#include "karat/bounds/head_work.hpp"
#include "karat/attention/predict.hpp"
#include "random_head.hpp"

namespace karat::bounds {

struct GoldenRun {
  recipe::Recipe recipe;
  layout::Layout layout;
  attention::QuantisedHead head;
  attention::HeadResult result;

  GoldenRun(recipe::Recipe chosen, video::Extent3 grid, std::size_t channels,
            attention::Flavour flavour, unsigned seed)
      : GoldenRun(std::move(chosen), grid, channels,
                  attention::random_head(grid, channels, flavour, seed)) {}
  GoldenRun(recipe::Recipe chosen, video::Extent3 grid, std::size_t channels,
            const attention::RandomHead& values)
      : recipe(std::move(chosen)) {
    layout = attention::layout_of_head(recipe, {.grid = grid, .channels = channels}, values.input());
    head = attention::quantise_head(recipe, layout, values.input(), numerics::Path::fast);
    attention::AttendOptions options;
    for (int i = 0; i < std::ssize(layout.blocks.query_blocks); ++i) options.tapped.push_back(i);
    result = attention::attend(recipe, layout, head, options);
  }
  std::vector<float> o(const attention::BlockTap& tap) const {
    return gather(result.o, layout, tap.queries, layout.channels);
  }
  std::vector<float> lse(const attention::BlockTap& tap) const {
    return gather(result.lse, layout, tap.queries, 1);
  }
};

inline recipe::Recipe small(recipe::Recipe recipe) {
  if (recipe.mask.kind != recipe::MaskKind::none) recipe.mask.tile = {3, 4, 4};
  recipe.q.tile = recipe.k.tile = {3, 4, 4};
  recipe.block.q = 16;
  recipe.block.k = 32;
  if (recipe.pv.promote_every > 0) recipe.pv.promote_every = 32;
  return recipe;
}

}  // namespace karat::bounds
