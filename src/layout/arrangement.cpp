// From the recipe's mask section to an order of tokens and a mask over it.
#include "karat/layout/arrangement.hpp"

#include <cmath>
#include <utility>

#include "karat/mask/compose.hpp"
#include "karat/mask/window.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::layout {
namespace {

video::TokenOrder video_order(const recipe::Mask& spec, video::Extent3 grid) {
  const bool tiles = spec.order == recipe::TokenSequence::tiles;
  const video::Extent3 tile = tiles ? spec.tile : video::Extent3{grid.t, 1, 1};
  return video::tile_order(video::Tiling(grid, tile), spec.ragged);
}

/// SparseVideoGen's width: a multiple of a frame's tokens, from the density where that is given.
std::int64_t band_width(const recipe::Mask& spec, video::Extent3 grid) {
  const double multiple = spec.band_unit == recipe::BandUnit::frames
                              ? double{spec.band}
                              : grid.t * (1 - std::sqrt(1 - double{spec.band}));
  return mask::band_width(multiple, std::int64_t{grid.h} * grid.w);
}

/// The mask among video tokens.
std::unique_ptr<mask::Mask> video_mask(const recipe::Mask& spec, video::Extent3 grid,
                                       const video::TokenOrder& order) {
  switch (spec.kind) {
    case recipe::MaskKind::window:
      return mask::window_mask({.tile = spec.tile,
                                .window = spec.window,
                                .unit = spec.unit,
                                .border = spec.border,
                                .centre = spec.centre},
                               grid, order);
    case recipe::MaskKind::band:
      return mask::band(mask::dense_mask(order), band_width(spec, grid),
                        std::int64_t{grid.h} * grid.w * spec.band_first);
    case recipe::MaskKind::none:
    case recipe::MaskKind::given:
      break;
  }
  return mask::dense_mask(order);
}

std::unique_ptr<mask::Mask> given_mask(const Setting& setting, const video::TokenOrder& order) {
  if (!setting.given_mask)
    throw Error(ErrorKind::usage, "mask.kind", "\"given\", but no mask comes with the workload",
                "give a mask file, or another mask.kind");
  auto mask = setting.given_mask(order);
  if (mask->queries() != order.positions() || mask->keys() != order.positions())
    throw Error(ErrorKind::usage, "mask",
                "is of " + std::to_string(mask->queries()) + " x " + std::to_string(mask->keys()) +
                    " positions, the workload of " + std::to_string(order.positions()),
                "give the mask of this workload's tokens");
  return mask;
}

}  // namespace

video::TokenOrder make_order(const recipe::Mask& spec, const Setting& setting) {
  video::TokenOrder order = video_order(spec, setting.grid);
  return setting.text == 0 ? order
                           : video::append_text(std::move(order), setting.text, setting.text);
}

std::unique_ptr<mask::Mask> make_mask(const recipe::Mask& spec, const Setting& setting,
                                      const video::TokenOrder& order) {
  std::unique_ptr<mask::Mask> made;
  if (spec.kind == recipe::MaskKind::given) {
    made = given_mask(setting, order);
  } else if (setting.text == 0) {
    made = video_mask(spec, setting.grid, order);
  } else {
    made = mask::with_text(video_mask(spec, setting.grid, video_order(spec, setting.grid)), order);
  }
  return spec.causal == recipe::Causal::on ? mask::causal(std::move(made)) : std::move(made);
}

Arrangement arrange(const recipe::Mask& spec, const Setting& setting) {
  Arrangement made{make_order(spec, setting), {}, nullptr};
  made.key_order = made.order;
  made.mask = make_mask(spec, setting, made.order);
  return made;
}

}  // namespace karat::layout
