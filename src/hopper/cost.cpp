// From a recipe to a plan, and the answer.
#include "karat/hopper/cost.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "karat/hopper/calibration.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/format.hpp"
#include "list_plan.hpp"
#include "masked_work.hpp"

namespace karat::hopper {
namespace {

using numerics::FormatId;

Element element_of(FormatId format, const char* field) {
  switch (format) {
    case FormatId::bf16:
    case FormatId::f16:
      return Element::bf16;
    case FormatId::e4m3:
    case FormatId::e5m2:
      return Element::fp8;
    case FormatId::int8:
      return Element::int8;
    default:
      throw Error(ErrorKind::usage, std::string(field) + ".format",
                  "has no Hopper attention kernel in this format",
                  "use bf16, f16, e4m3, e5m2 or int8");
  }
}

/// FP32 operations per score that the softmax itself does not have.
double extra_per_score(const recipe::Recipe& r) {
  const bool scaled = element_of(r.k.format, "k") != Element::bf16;
  const bool columns =
      scaled && (r.k.group == quant::Group::token ||
                 (r.k.group == quant::Group::tile && r.block.align == video::Align::sequence));
  const bool multiplied = r.p.apply == recipe::PApply::multiply && r.p.multiplier != 1;
  return (columns ? 1 : 0) + (multiplied ? 1 : 0);
}

}  // namespace

Kernel implied_kernel(const recipe::Recipe& recipe) {
  const Element q = element_of(recipe.q.format, "q");
  const Element v = element_of(recipe.v.format, "v");
  if (recipe.qk.instruction.starts_with("ampere.")) return Kernel::fa2;
  if (q == Element::int8) return Kernel::sage2;
  if (recipe.block.order == recipe::KeyOrder::partial_then_full) return Kernel::flex;
  // FlashAttention-3 promotes nothing, and its FP8 tiles leave no registers for it.
  const bool promoted = v != Element::bf16 && recipe.pv.promote_every > 0;
  const bool skips = predicted(recipe) || listed(recipe);
  if (!skips) return promoted ? Kernel::fpsattention : Kernel::fa3;
  return v == Element::bf16 ? Kernel::sta : Kernel::fpsattention;
}

bool takes_density(const recipe::Recipe& recipe) {
  return predicted(recipe) || recipe.skip.rule == recipe::SkipRule::next_step;
}

namespace {

Plan plan_with(const Question& q, OpenStructure structure) {
  const Element v = element_of(q.recipe.v.format, "v");
  const PlanRequest request{.kernel = q.kernel.value_or(implied_kernel(q.recipe)),
                            .head_dim = q.shape.head_dim,
                            .qk = element_of(q.recipe.q.format, "q"),
                            .pv = v,
                            .causality = listed(q.recipe) ? Causality::none : shape_of(q).causality,
                            .promote_every = v == Element::bf16 ? 0 : q.recipe.pv.promote_every,
                            .extra_per_score = extra_per_score(q.recipe),
                            .lengths = q.lengths,
                            .splits = q.splits};
  if (!by_density(q)) return make_plan(request, q.machine);
  return list_plan(request, q.recipe.block.q, q.recipe.block.k, structure, q.machine);
}

}  // namespace

Plan plan_of(const Question& q) { return plan_with(q, OpenStructure::assumed); }

Question dense_bf16(Question q) {
  q.shape = shape_of(q);
  q.recipe = recipe::Recipe{};
  q.density.reset();
  q.recipe.mask.kind = recipe::MaskKind::none;
  q.recipe.mask.tile = {1, 1, 1};
  q.recipe.q.format = q.recipe.k.format = q.recipe.v.format = FormatId::bf16;
  q.kernel = Kernel::fa3;
  return q;
}

namespace {

double milliseconds(const Question& q, const Plan& plan) {
  const LaunchTime launch =
      launch_time(q.machine, q.timing, plan, shape_of(q), work_of(q, plan).work);
  return calibrated_us(q.machine, plan, shape_of(q), launch) * 1e-3;
}

}  // namespace

double attention_ms(const Question& q) { return milliseconds(q, plan_of(q)); }

AttentionCost attention_cost(const Question& q, Detail detail) {
  AttentionCost cost;
  cost.plan = plan_of(q);
  const MaskedWork masked = work_of(q, cost.plan);
  cost.launch = launch_time(q.machine, q.timing, cost.plan, shape_of(q), masked.work);
  const auto calibrated_ms = [&](const LaunchTime& launch) {
    return calibrated_us(q.machine, cost.plan, shape_of(q), launch) * 1e-3;
  };
  cost.time_ms = calibrated_ms(cost.launch);
  if (q.machine.calibration) {
    constexpr double kNineOfTen = 1.645;  // of a normal distribution, in standard deviations
    const double share = std::exp(kNineOfTen * q.machine.calibration->spread);
    cost.low_ms = cost.time_ms / share, cost.high_ms = cost.time_ms * share;
  }
  if (by_density(q)) {
    const double a = milliseconds(q, plan_with(q, OpenStructure::fastest));
    const double b = milliseconds(q, plan_with(q, OpenStructure::slowest));
    std::tie(cost.open_low_ms, cost.open_high_ms) = std::minmax({a, b, cost.time_ms});
  }
  const double flop_per_pair = 4.0 * q.shape.head_dim * static_cast<double>(masked.work.copies);
  const double all = static_cast<double>(q.shape.queries) * static_cast<double>(q.shape.keys);
  cost.tflops = flop_per_pair * masked.kept_pairs / cost.time_ms * 1e-9;
  cost.padded_tflops = flop_per_pair * masked.padded_pairs / cost.time_ms * 1e-9;
  cost.peak_share = cost.tflops / (cost.plan.qk == Element::bf16 ? q.machine.bf16_peak_tflops()
                                                                 : q.machine.fp8_peak_tflops());
  cost.density = masked.kept_pairs / all;
  cost.padded_density = masked.padded_pairs / all;
  cost.dense_bf16_ms = attention_ms(dense_bf16(q));
  cost.speedup = cost.dense_bf16_ms / cost.time_ms;
  if (detail == Detail::time) return cost;
  for (int part = 0; part < kParts; ++part) {
    const LaunchTime without = launch_time_without(static_cast<Part>(part), q.machine, q.timing,
                                                   cost.plan, shape_of(q), masked.work);
    cost.savings.push_back({static_cast<Part>(part), cost.time_ms - calibrated_ms(without)});
  }
  std::stable_sort(cost.savings.begin(), cost.savings.end(),
                   [](const Saving& a, const Saving& b) { return a.ms > b.ms; });
  return cost;
}

}  // namespace karat::hopper
