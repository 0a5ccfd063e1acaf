// Which fields of a recipe belong to which source of error of its gradients.
#include "karat/study/ladder.hpp"

#include "karat/recipe/fields.hpp"
#include "karat/study/gradient_ladder.hpp"

namespace karat::study {
namespace {

using numerics::FormatId;
using recipe::Recipe;
using recipe::Source;

constexpr std::string recipe::Backward::*kInstructions[] = {
    &recipe::Backward::s, &recipe::Backward::dp, &recipe::Backward::dv, &recipe::Backward::dq,
    &recipe::Backward::dk};

/// In the order of GradientPart.
constexpr GradientPartRow kGradientParts[] = {
    {GradientPart::q, Stands::alone, "q", "codes and scales of Q"},
    {GradientPart::k, Stands::alone, "k", "codes and scales of K"},
    {GradientPart::v, Stands::alone, "v", "codes and scales of V"},
    {GradientPart::delta, Stands::alone, "delta", "P and format of the output that delta sums"},
    {GradientPart::p, Stands::alone, "p", "P in dV"},
    {GradientPart::d_o, Stands::alone, "do", "dO in dV and dP"},
    {GradientPart::ds, Stands::alone, "ds", "dS in dQ and dK"},
    {GradientPart::accumulator, Stands::as_step, "accumulator", "the tensor core's sums"},
    {GradientPart::functions, Stands::alone, "functions", "2^x, 1/l and the logarithm in FP32"},
    {GradientPart::straight_through, Stands::as_step, "straight_through",
     "gradients of saturated codes"},
    {GradientPart::output, Stands::alone, "output", "the format of dq, dk and dv"},
};

}  // namespace

std::span<const GradientPartRow> gradient_parts() { return kGradientParts; }

const GradientPartRow& row_of(GradientPart part) {
  return kGradientParts[static_cast<std::size_t>(part)];
}

std::string_view to_string(GradientPart part) { return row_of(part).name; }

Recipe without_gradient_errors(const Recipe& recipe) {
  Recipe exact = without_errors(recipe);
  exact.finish.reciprocal = recipe::Reciprocal::rounded;
  exact.finish.logarithm = recipe::Logarithm::exact;
  recipe::Backward& b = exact.backward = recipe.backward;
  const recipe::Backward plain;
  b.q = b.k = b.v = b.do_in_dp = Source::codes;  // whose format is f32: the values themselves
  b.plain = plain.plain;
  b.p = b.d_o = b.ds = {};
  b.delta = recipe::Delta::output;
  b.smooth_term = plain.smooth_term;
  for (const auto instruction : kInstructions) b.*instruction = "exact";
  if (b.scores == recipe::BackwardScores::forward) b.s = plain.s;  // nothing reads it
  b.straight_through = recipe::StraightThrough::identity;
  b.output = FormatId::f32;
  b.dq_multiplier = b.dk_multiplier = b.dv_multiplier = 1;
  return exact;
}

Recipe with_gradient_part(Recipe base, const Recipe& recipe, GradientPart part) {
  recipe::Backward& to = base.backward;
  const recipe::Backward& from = recipe.backward;
  /// Which values of an operand the products read. Other operands are read as codes so far.
  const auto read_as = [&](Source& source, Source wanted) {
    source = wanted;
    if (wanted != Source::codes) to.plain = from.plain;
  };
  /// Of a part that the forward's ladder has too.
  const auto forward = [&](Part same) { base = with_part(std::move(base), recipe, same); };
  switch (part) {
    case GradientPart::q:
      base.q = recipe.q;
      base.qk.scale_order = recipe.qk.scale_order;
      base.softmax.exponent = recipe.softmax.exponent;
      read_as(to.q, from.q);
      break;
    case GradientPart::k:
      base.k = recipe.k;
      base.qk.scale_order = recipe.qk.scale_order;
      base.softmax.exponent = recipe.softmax.exponent;
      read_as(to.k, from.k);
      to.smooth_term = from.smooth_term;
      break;
    case GradientPart::v:
      forward(Part::v);
      read_as(to.v, from.v);
      break;
    case GradientPart::delta:
      forward(Part::p);
      forward(Part::output);
      to.delta = from.delta;
      break;
    case GradientPart::p:
      to.p = from.p;
      break;
    case GradientPart::d_o:
      to.d_o = from.d_o;
      read_as(to.do_in_dp, from.do_in_dp);
      break;
    case GradientPart::ds:
      to.ds = from.ds;
      break;
    case GradientPart::accumulator:
      forward(Part::accumulator);
      for (const auto instruction : kInstructions) to.*instruction = from.*instruction;
      break;
    case GradientPart::functions:
      forward(Part::exp2);
      forward(Part::reciprocal);
      base.finish.logarithm = recipe.finish.logarithm;
      break;
    case GradientPart::straight_through:
      to.straight_through = from.straight_through;
      break;
    case GradientPart::output:
      to.output = from.output;
      to.dq_multiplier = from.dq_multiplier;
      to.dk_multiplier = from.dk_multiplier;
      to.dv_multiplier = from.dv_multiplier;
      break;
  }
  return base;
}

std::vector<GradientRung> gradient_ladder(const Recipe& recipe) {
  std::vector<GradientRung> rungs;
  Recipe now = without_gradient_errors(recipe);
  for (const GradientPartRow& row : kGradientParts) {
    Recipe next = with_gradient_part(now, recipe, row.part);
    if (diff(now, next).empty()) continue;
    rungs.push_back({row.part, next});
    now = std::move(next);
  }
  return rungs;
}

}  // namespace karat::study
