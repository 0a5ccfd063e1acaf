// A small case of a backward: heads that share keys and values, their forward, their dO.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../random_head.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/recipe/json.hpp"

namespace karat::attention {

/// Keeps what `inner` keeps, but nothing for every fifth query.
class HolesMask : public mask::Mask {
 public:
  explicit HolesMask(std::unique_ptr<mask::Mask> inner) : inner_(std::move(inner)) {}
  std::int64_t queries() const override { return inner_->queries(); }
  std::int64_t keys() const override { return inner_->keys(); }
  bool keeps(std::int64_t q, std::int64_t k) const override {
    return q % 5 != 2 && inner_->keeps(q, k);
  }
  mask::Cover cover(mask::Range q, mask::Range k) const override {
    std::int64_t kept = 0;
    for (std::int64_t i = q.begin; i < q.end; ++i)
      for (std::int64_t n = k.begin; n < k.end; ++n) kept += keeps(i, n);
    return kept == 0                     ? mask::Cover::none
           : kept == q.size() * k.size() ? mask::Cover::full
                                         : mask::Cover::partial;
  }
  std::int64_t kept_pairs() const override {
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < queries(); ++i)
      for (std::int64_t n = 0; n < keys(); ++n) kept += keeps(i, n);
    return kept;
  }

 private:
  std::unique_ptr<mask::Mask> inner_;
};

/// A preset with tiles and blocks that fit small grids.
inline recipe::Recipe small_preset(std::string_view name) {
  recipe::Recipe recipe = recipe::preset(name);
  if (recipe.mask.tile.volume() > 1) recipe.mask.tile = {2, 2, 3};
  for (quant::Rule* rule : {&recipe.q, &recipe.k, &recipe.v}) {
    rule->tile = {2, 2, 3};
    rule->rows = 16;
  }
  recipe.block.q = 16;
  recipe.block.k = 32;
  if (recipe.block.listed > 0) recipe.block.listed = 32;
  if (recipe.pv.promote_every > 0) recipe.pv.promote_every = 32;
  recipe::Backward& b = recipe.backward;
  if (b.block_q > 0) b.block_q = 10;
  if (b.block_k > 0) b.block_k = 24;
  return recipe;
}

enum class Rows { all, some_without_keys };

struct BackwardCase {
  recipe::Recipe recipe;
  std::shared_ptr<layout::Layout> layout;
  std::vector<RandomHead> inputs;  ///< k and v are the first head's
  std::vector<QuantisedHead> heads;
  std::vector<HeadResult> forward;
  std::vector<std::vector<float>> d_o, unquantised;

  BackwardCase(const recipe::Recipe& r, const layout::Setting& setting, Flavour flavour,
               unsigned seed, int head_count = 1, Rows rows = Rows::all)
      : recipe(r), layout(std::make_shared<layout::Layout>(layout::make_layout(r, setting))) {
    if (rows == Rows::some_without_keys) {
      layout->mask = std::make_unique<HolesMask>(std::move(layout->mask));
      layout->blocks =
          mask::block_map(*layout->mask, layout->blocks.query_blocks, layout->blocks.key_blocks);
    }
    const video::Extent3 tokens{1, 1, static_cast<int>(setting.tokens())};
    for (int h = 0; h < head_count; ++h) {
      inputs.push_back(random_head(tokens, setting.channels, flavour, seed + h));
      if (h > 0) {
        inputs[h].k = inputs[0].k;
        inputs[h].v = inputs[0].v;
      }
      d_o.push_back(random_head(tokens, setting.channels,
                                flavour == Flavour::one_hot ? Flavour::normal : flavour,
                                seed + 1000 + h)
                        .v);
    }
    for (const RandomHead& input : inputs) {
      heads.push_back(quantise_head(recipe, *layout, input.input(), numerics::Path::fast));
      forward.push_back(attend(recipe, *layout, heads.back(), {.threads = 1}));
      unquantised.emplace_back();
      if (recipe.backward.delta == recipe::Delta::unquantised_p)
        unquantised.back() =
            unquantised_p_output(recipe, *layout, heads.back(), numerics::Path::fast, 1);
    }
  }

  std::vector<BackwardHead> backward_heads() const {
    std::vector<BackwardHead> list;
    for (std::size_t h = 0; h < heads.size(); ++h)
      list.push_back({.head = &heads[h],
                      .input = inputs[h].input(),
                      .o = forward[h].o,
                      .lse = forward[h].lse,
                      .d_o = d_o[h],
                      .o_unquantised_p = unquantised[h]});
    return list;
  }

  BackwardResult run(numerics::Path path, int threads = 1) const {
    const mask::BlockMap blocks = backward_blocks(recipe, *layout);
    BackwardOptions options{.path = path, .threads = threads};
    for (std::size_t i = 0; i < blocks.query_blocks.size(); ++i)
      options.tapped_queries.push_back(static_cast<int>(i));
    for (std::size_t i = 0; i < blocks.key_blocks.size(); ++i)
      options.tapped_keys.push_back(static_cast<int>(i));
    return attend_backward(recipe, *layout, backward_heads(), options);
  }
};

/// The presets that have a backward.
inline std::vector<std::string> backward_presets() {
  std::vector<std::string> names;
  for (const std::string_view name : recipe::preset_names())
    if (recipe::preset(name).backward.exists()) names.emplace_back(name);
  return names;
}

}  // namespace karat::attention
