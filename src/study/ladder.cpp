// Which fields of a recipe belong to which source of error.
#include "karat/study/ladder.hpp"

#include <algorithm>

#include "karat/recipe/fields.hpp"

namespace karat::study {
namespace {

using numerics::FormatId;
using recipe::Recipe;

constexpr PartRow kParts[] = {
    {Part::qk, "qk", "codes and scales of Q and K"},
    {Part::score_scale, "score_scale", "scales left out of the scores"},
    {Part::p, "p", "codes of P"},
    {Part::v, "v", "codes and scales of V"},
    {Part::accumulator, "accumulator", "the tensor core's sums"},
    {Part::exp2, "exp2", "2^x in FP32"},
    {Part::reciprocal, "reciprocal", "1/l in FP32"},
    {Part::output, "output", "the output's format"},
};

void put_back(Recipe& to, const Recipe& from, Part part) {
  switch (part) {
    case Part::qk:
      to.q = from.q;
      to.k = from.k;
      to.qk.scale_order = from.qk.scale_order;
      to.softmax.exponent = from.softmax.exponent;
      return;
    case Part::score_scale:
      to.qk.score_scale = from.qk.score_scale;
      return;
    case Part::p:
      to.p = from.p;
      to.skip = from.skip;
      to.softmax.rescale_threshold = from.softmax.rescale_threshold;
      to.softmax.masked_score = from.softmax.masked_score;
      to.softmax.initial_max = from.softmax.initial_max;
      to.softmax.row_sum = from.softmax.row_sum;
      return;
    case Part::v:
      to.v = from.v;
      return;
    case Part::accumulator:
      to.qk.instruction = from.qk.instruction;
      to.pv.instruction = from.pv.instruction;
      to.pv.promote_every = from.pv.promote_every;
      return;
    case Part::exp2:
      to.softmax.exp2 = from.softmax.exp2;
      return;
    case Part::reciprocal:
      to.finish.reciprocal = from.finish.reciprocal;
      return;
    case Part::output:
      to.output = from.output;
      to.finish.cast = from.finish.cast;
      to.finish.multiplier = from.finish.multiplier;
      return;
  }
}

/// Scales of v that vary along the keys, and those of a row of P in one key block, can only enter
/// where the sum over keys is restarted.
void restart_sums_for_scales(Recipe& recipe) {
  const bool of_v = recipe.v.group == quant::Group::tile ||
                    recipe.v.group == quant::Group::tile_channel ||
                    recipe.v.group == quant::Group::block;
  const bool of_p =
      recipe.p.group == quant::Group::token && quant::leaves_scales(rule_of(recipe.p));
  if ((of_v || of_p) && recipe.pv.promote_every == 0) recipe.pv.promote_every = recipe.block.k;
}

/// The offset of P enters as the kernel has it where the exponents it enters are the kernel's too.
void settle_offset(Recipe& recipe, const Recipe& kernel) {
  const bool offset = recipe.p.apply == recipe::PApply::exponent_offset;
  const bool same = recipe.qk.scale_order == kernel.qk.scale_order &&
                    recipe.softmax.exponent == kernel.softmax.exponent;
  recipe.p.offset_enters = offset && same ? kernel.p.offset_enters : recipe::OffsetEnters::separate;
}

}  // namespace

std::span<const PartRow> parts() { return kParts; }

std::string_view to_string(Part part) {
  return std::ranges::find(kParts, part, &PartRow::part)->name;
}

Recipe without_errors(const Recipe& recipe) {
  Recipe exact = recipe;
  for (auto* operand : {&exact.q, &exact.k, &exact.v}) {
    *operand = {};
    operand->format = FormatId::f32;
  }
  exact.qk = {.instruction = "exact",
              .scale_order = recipe::ScaleOrder::product_first,
              .score_scale = recipe::ScoreScale::applied};
  exact.p = {};
  exact.pv = {.instruction = "exact", .promote_every = 0};
  exact.skip = {};
  exact.softmax.exponent = recipe::Exponent::scores;
  exact.softmax.rescale_threshold = 0;
  exact.softmax.masked_score.reset();
  exact.softmax.initial_max.reset();
  exact.softmax.row_sum = recipe::RowSum::unquantized;
  exact.softmax.exp2 = recipe::Exp2::exact;
  exact.finish.cast = recipe::Cast::after_scale;
  exact.finish.multiplier = 1;
  exact.output = FormatId::f32;
  exact.backward = {};  // reads operands that are changed here; the forward does not see it
  return exact;
}

Recipe with_part(Recipe base, const Recipe& recipe, Part part) {
  put_back(base, recipe, part);
  settle_offset(base, recipe);
  if (part != Part::accumulator) restart_sums_for_scales(base);
  return base;
}

std::vector<Rung> ladder(const Recipe& recipe) {
  std::vector<Rung> rungs;
  Recipe now = without_errors(recipe);
  for (const PartRow& row : kParts) {
    Recipe next = with_part(now, recipe, row.part);
    if (diff(now, next).empty()) continue;
    rungs.push_back({row.part, next});
    now = std::move(next);
  }
  return rungs;
}

Recipe without_mask(Recipe recipe) {
  recipe.mask.kind = recipe::MaskKind::none;
  recipe.mask.causal = recipe::Causal::off;
  recipe.predict = {};
  recipe.branch = {};
  if (recipe.block.order == recipe::KeyOrder::given)
    recipe.block.order = recipe::KeyOrder::ascending;
  return recipe;
}

}  // namespace karat::study
