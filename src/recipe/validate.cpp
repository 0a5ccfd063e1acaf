// Contradictions between fields: recipes that no kernel could mean.
// Each rule is one function that adds what it finds.
#include "karat/recipe/validate.hpp"

#include "backward/validate.hpp"
#include "check.hpp"
#include "implied.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::recipe {
namespace {

using Problems = std::vector<Problem>;
using numerics::FormatId;

bool is_integer(FormatId id) { return numerics::format(id).kind == numerics::Kind::integer; }
/// Whether the scales of a coded operand have to leave a product's sum.
bool is_coded(const Operand& operand) { return quant::leaves_scales(operand); }

void single_fields(const Recipe& recipe, Problems& found) {
  for (const Field& field : fields()) {
    const Value value = field.read(recipe);
    if (std::string why = value_problem(field, value); !why.empty()) {
      found.push_back({field.path, std::move(why), value_action(field, value)});
    }
  }
}

void overflow(const std::string& name, FormatId format, numerics::Overflow overflow,
              Problems& found) {
  const bool no_infinity =
      numerics::format(format).specials != numerics::Specials::infinity_and_nan;
  if (overflow == numerics::Overflow::infinity && no_infinity) {
    found.push_back({name + ".overflow", "the format of " + name + " has no infinity",
                     "give saturate" + std::string(is_integer(format) ? "" : " or nan")});
  }
  if (overflow == numerics::Overflow::nan && is_integer(format)) {
    found.push_back({name + ".overflow", "integers have no NaN", "give saturate"});
  }
}

void operand(const std::string& name, const Operand& operand, Problems& found) {
  overflow(name, operand.format, operand.overflow, found);
  if (!quant::has_scale(operand.format) || operand.code_rule != CodeRule::inverse_scale) return;
  const auto never_sees = [&](const std::string& what, const std::string& instead) {
    found.push_back({name + ".code_rule", "inverse_scale codes x*(M/amax) and never sees " + what,
                     "give divide or reciprocal, or " + name + instead});
  };
  if (operand.scale != ScaleFormat::f32) never_sees("the rounded scale", ".scale f32");
  if (operand.scale_rule == ScaleRule::exponent)
    never_sees("the power of two", ".scale_rule divide");
  if (operand.guard == Guard::add_1e_7) never_sees("what add_1e-7 adds", ".guard one");
}

/// "p.format": P in f32 does not fit an instruction that takes e4m3.
void operand_fits(const std::string& operand, FormatId format, FormatId input,
                  const std::string& product, const std::string& instruction, Problems& found) {
  if (holds(input, format)) return;
  const std::string taken(numerics::format(input).name);
  found.push_back({operand + ".format",
                   std::string(numerics::format(format).name) + " values do not fit " +
                       instruction + ", which takes " + taken,
                   "give " + taken + ", or leave " + product + ".instruction out"});
}

/// Scales of P's rows meet each key block's sum when it is added to O.
bool scaled_by_rows(const P& p) {
  return p.group == Group::token && quant::leaves_scales(rule_of(p));
}

void accumulator(const Recipe& recipe, Problems& found) {
  const Pv& pv = recipe.pv;
  const auto& instruction = numerics::instruction(pv.instruction);
  const int group = numerics::k_group(instruction);
  if (pv.promote_every % group != 0) {
    found.push_back({"pv.promote_every",
                     std::to_string(pv.promote_every) + " is no multiple of the " +
                         std::to_string(group) + " keys that " + pv.instruction + " sums at once",
                     "give 0 or a multiple of " + std::to_string(group)});
  }
  if (numerics::accumulator_format(instruction) != FormatId::int32) return;
  if (pv.promote_every > 0 && scaled_by_rows(recipe.p)) return;
  const std::string action = "give a pv.instruction that accumulates in floating point";
  if (pv.promote_every > 0) {
    found.push_back({"pv.promote_every",
                     "INT32 sums are exact: promoting them to FP32 has no meaning", action});
  } else {
    found.push_back({"pv.instruction", "an INT32 accumulator cannot hold the rescaled O", action});
  }
}

/// The unit's forms that kernels built with -ftz=true use flush subnormals themselves. (exp2's
/// stands in kernels that keep them elsewhere too: Triton's.)
void special_functions(const Recipe& recipe, Problems& found) {
  if (recipe.subnormals == numerics::Subnormals::flush) return;
  const auto refuse = [&](bool uses, const char* path) {
    if (uses)
      found.push_back({path, "mufu flushes subnormals, but subnormals is keep",
                       "give subnormals flush, or leave " + std::string(path) + " out"});
  };
  refuse(recipe.finish.reciprocal == Reciprocal::mufu, "finish.reciprocal");
  refuse(recipe.finish.logarithm == Logarithm::mufu, "finish.logarithm");
}

/// Rules that look an instruction up; both names must be known.
void instructions(const Recipe& recipe, Problems& found) {
  using quant::entering_format;
  const auto& qk = numerics::instruction(recipe.qk.instruction);
  const auto& pv = numerics::instruction(recipe.pv.instruction);
  operand_fits("q", entering_format(recipe.q), input_format(qk), "qk", recipe.qk.instruction,
               found);
  operand_fits("k", entering_format(recipe.k), column_format(qk), "qk", recipe.qk.instruction,
               found);
  operand_fits("p", entering_format(rule_of(recipe.p)), input_format(pv), "pv",
               recipe.pv.instruction, found);
  operand_fits("v", entering_format(recipe.v), column_format(pv), "pv", recipe.pv.instruction,
               found);
  accumulator(recipe, found);
}

bool groups_rows(Group group) {
  return group == Group::rows || group == Group::rows_stride_8 ||
         group == Group::row_pairs_stride_8;
}

/// A scale must be constant along the dimension a product sums over, or it cannot leave the sum.
void scales_leave_the_sum(const Recipe& recipe, Problems& found) {
  for (const auto& [name, side] : {std::pair{"q", &recipe.q}, std::pair{"k", &recipe.k}}) {
    if (is_coded(*side) && (side->group == Group::channel || side->group == Group::tile_channel ||
                            side->group == Group::channels_16)) {
      found.push_back({std::string(name) + ".group",
                       "Q K^T sums over channels, so a scale per channel cannot leave the sum",
                       "give tensor, tile or token, or " + std::string(name) + ".enters bf16"});
    }
  }
  if (!is_coded(recipe.v)) return;
  if (recipe.v.group == Group::token || recipe.v.group == Group::channels_16 ||
      groups_rows(recipe.v.group)) {
    found.push_back({"v.group", "P V sums over tokens, so a scale per token cannot leave the sum",
                     "give channel, tensor, tile or tile_channel"});
  }
  if ((recipe.v.group == Group::tile || recipe.v.group == Group::tile_channel ||
       recipe.v.group == Group::block) &&
      recipe.pv.promote_every == 0) {
    found.push_back({"pv.promote_every",
                     "0 leaves no place for scales of v that vary along the keys",
                     "give block.k, or v.group channel"});
  }
}

void row_groups(const std::string& name, const Operand& side, const std::string& block_name,
                int block, Problems& found) {
  if (!quant::has_scale(side.format) || !groups_rows(side.group)) return;
  if (block % side.rows != 0)
    found.push_back({name + ".rows",
                     "groups of " + std::to_string(side.rows) + " rows do not divide " +
                         block_name + " " + std::to_string(block),
                     "give a divisor of " + block_name});
  if (side.group != Group::rows && side.rows % 8 != 0)
    found.push_back({name + ".rows", "a thread's rows repeat every 8", "give a multiple of 8"});
}

void masks(const Recipe& recipe, Problems& found) {
  const Mask& m = recipe.mask;
  if (m.kind == MaskKind::band && m.band == 0)
    found.push_back({"mask.band", "a band of 0 keeps nothing", "give a number above 0"});
  if (m.kind == MaskKind::band && m.band_unit == BandUnit::density && m.band > 1)
    found.push_back({"mask.band", "a density above 1 is more than all pairs",
                     "give a number up to 1, or mask.band_unit frames"});
  if (recipe.block.order == KeyOrder::given && m.kind != MaskKind::given)
    found.push_back({"block.order", "the lists of visits come with a given mask",
                     "give mask.kind given, or another order"});
  if (recipe.block.listed == 0) return;
  for (const auto& [name, size] : {std::pair{"q", recipe.block.q}, {"k", recipe.block.k}})
    if (recipe.block.listed % size != 0)
      found.push_back({"block.listed",
                       "a listed block holds no whole number of block." + std::string(name) + " " +
                           std::to_string(size),
                       "give 0 or a multiple"});
  if (recipe.block.align == video::Align::tile)
    found.push_back({"block.listed", "listed blocks lie along the whole sequence",
                     "give 0, or block.align sequence"});
}

void predictors(const Recipe& recipe, Problems& found) {
  const Predict& p = recipe.predict;
  if (p.rule == PredictRule::never) return;
  const bool profile = p.rule == PredictRule::profile;
  const bool joined = p.rule == PredictRule::means && recipe.mask.kind == MaskKind::window;
  if (profile != (recipe.mask.kind == MaskKind::band) ||
      (!profile && !joined && recipe.mask.kind != MaskKind::none))
    found.push_back({"predict.rule", "does not go with this mask.kind",
                     "give mask.kind band to profile, window or none to means, none to others"});
  if (joined && (recipe.mask.unit == mask::Unit::tokens_exact ||
                 recipe.block.align == video::Align::sequence))
    found.push_back({"predict.rule", "the window it joins would cut its blocks",
                     "give mask.unit tiles and block.align tile"});
  if (recipe.mask.ragged == video::Ragged::pad)
    found.push_back({"mask.ragged", "predictors see tokens only", "give partial"});
  if (p.rule == PredictRule::similarity || p.rule == PredictRule::means) return;
  // Clusters and the profiled order move tokens: groups of positions would differ from head to
  // head.
  for (const auto& [name, operand] :
       {std::pair{"q", &recipe.q}, std::pair{"k", &recipe.k}, std::pair{"v", &recipe.v}})
    if (groups_rows(operand->group) || operand->group == Group::block)
      found.push_back({std::string(name) + ".group",
                       "groups of positions differ where each head orders its tokens",
                       "group by tensor, tile, token or channel"});
  if (p.rule != PredictRule::clusters) return;
  if (recipe.mask.causal == Causal::on)
    found.push_back({"mask.causal", "clusters leave no order of tokens", "give off"});
  if (recipe.block.align == video::Align::sequence)
    found.push_back({"block.align", "blocks would straddle clusters", "give tile"});
}

/// Adding the mean's share back needs scaled scores and the channels as they were.
void smoothing(const Recipe& recipe, Problems& found) {
  if (recipe.q.smooth == Smooth::mean &&
      (is_fused(recipe.qk.scale_order) || recipe.qk.score_scale == ScoreScale::omitted))
    found.push_back({"q.smooth", "the mean's share of the scores has no place to come back",
                     "give none, or qk.scale_order product_first"});
  if (recipe.v.smooth == Smooth::mean && recipe.finish.cast == Cast::before_scale)
    found.push_back({"v.smooth", "the mean cannot come back after the cast", "give none"});
}

/// q.k survives a rotation only when both sides are rotated alike.
void rotations(const Recipe& recipe, Problems& found) {
  if (recipe.v.rotate != Rotate::none)
    found.push_back({"v.rotate", "nothing rotates the output back", "give none"});
  if (recipe.q.rotate != recipe.k.rotate || recipe.q.rotate_seed != recipe.k.rotate_seed)
    found.push_back({"k.rotate", "q and k are rotated differently, so q.k is lost",
                     "give q and k the same rotate and rotate_seed"});
}

/// The largest value of all heads is that of the tensors as they are given.
void scales_of_all_heads(const Recipe& recipe, Problems& found) {
  for (const auto& [name, side] :
       {std::pair{"q", &recipe.q}, std::pair{"k", &recipe.k}, std::pair{"v", &recipe.v}}) {
    if (side->group != Group::all_heads || !quant::has_scale(side->format)) continue;
    const bool folded = side == &recipe.q && recipe.qk.scale_order == ScaleOrder::folded_into_q;
    if (side->smooth == Smooth::none && side->rotate == Rotate::none && !folded) continue;
    found.push_back({std::string(name) + ".group",
                     "all_heads takes the largest value of what is given, which is changed first",
                     "give tensor"});
  }
}

/// fma(A, f, -m*f) needs one f, so one scale for all of q and one for all of k.
void fused_factor(const Recipe& recipe, Problems& found) {
  if (is_fused(recipe.qk.scale_order) && recipe.qk.score_scale == ScoreScale::omitted)
    found.push_back({"qk.scale_order", "a fused multiply-add has no scale to take in",
                     "give product_first, or qk.score_scale applied"});
  if (recipe.qk.scale_order != ScaleOrder::fused) return;
  for (const Operand* side : {&recipe.q, &recipe.k}) {
    if (!is_coded(*side) || side->group == Group::tensor || side->group == Group::all_heads)
      continue;
    found.push_back({"qk.scale_order", "fused needs one scale for all of q and one for all of k",
                     "give product_first, or q.group and k.group tensor"});
    return;
  }
}

/// fma(A, f, -R) needs one factor of the raw accumulator.
void exponents(const Recipe& recipe, Problems& found) {
  const ScaleOrder order = recipe.qk.scale_order;
  const bool accumulator = recipe.softmax.exponent == Exponent::accumulator;
  const auto refuse = [&](const char* path, const char* why, const char* action) {
    found.push_back({path, why, action});
  };
  if (accumulator && is_fused(order))
    refuse("softmax.exponent", "qk.scale_order fuses the exponent already", "give scores");
  if (accumulator &&
      (order == ScaleOrder::sequential || recipe.qk.score_scale == ScoreScale::omitted))
    refuse("softmax.exponent", "a fused multiply-add needs one factor of the accumulator",
           "give scores, or qk.scale_order product_first");
  if (accumulator && recipe.q.smooth == Smooth::mean)
    refuse("softmax.exponent", "the mean's share of the scores has no place in it", "give scores");
  if (!accumulator && order == ScaleOrder::folded_until_last)
    refuse("qk.scale_order", "folded_until_last leaves accumulators to the exponent",
           "give product_first, or softmax.exponent accumulator");
  const OffsetEnters enters = recipe.p.offset_enters;
  if (enters == OffsetEnters::separate) return;
  if (recipe.p.apply != PApply::exponent_offset)
    refuse("p.offset_enters", "there is no offset", "give separate, or p.apply exponent_offset");
  else if (enters == OffsetEnters::fused && !is_fused(order))
    refuse("p.offset_enters", "maxima have no factor to fuse",
           "give separate, or qk.scale_order fused");
  else if (enters == OffsetEnters::scores && !accumulator)
    refuse("p.offset_enters", "scores that hold the offset are not what exponents start from",
           "give separate, or softmax.exponent accumulator");
}

void multiplier_or_offset(const P& p, Problems& found) {
  if (p.apply == PApply::multiply && p.offset != 0) {
    found.push_back({"p.offset", "has no meaning with p.apply multiply",
                     "give p.multiplier, or p.apply exponent_offset"});
  }
  if (p.apply == PApply::exponent_offset && p.multiplier != 1) {
    found.push_back({"p.multiplier", "has no meaning with p.apply exponent_offset",
                     "give 1 and p.offset, or p.apply multiply"});
  }
}

/// Groups of P have scales of their own, from what is in them.
void groups_of_p(const Recipe& recipe, Problems& found) {
  const P& p = recipe.p;
  const P usual;
  if (p.group == Group::tensor) {
    if (p.format == FormatId::e2m1)
      found.push_back({"p.group", "no tensor core reads E2M1 codes without their scales",
                       "give token or channels_16, and p.enters bf16"});
    const auto refuse = [&](bool given, const char* path) {
      if (given)
        found.push_back({path, "has no meaning with p.group tensor",
                         "give p.group token or channels_16, or leave it out"});
    };
    refuse(p.scale != usual.scale, "p.scale");
    refuse(p.scale_rule != usual.scale_rule, "p.scale_rule");
    refuse(p.enters != usual.enters, "p.enters");
    return;
  }
  if (!quant::has_scale(p.format)) {
    found.push_back({"p.group", "plain values of P have no scales",
                     "give tensor, or p.format e2m1, e4m3, e5m2 or int8"});
    return;
  }
  if (p.multiplier != 1)
    found.push_back({"p.multiplier", "has no meaning where groups of P have their own scales",
                     "give 1, or p.group tensor"});
  if (p.apply != PApply::multiply)
    found.push_back({"p.apply", "has no meaning where groups of P have their own scales",
                     "give multiply, or p.group tensor"});
  if (p.format == FormatId::e2m1 && p.enters == Enters::codes)
    found.push_back(
        {"p.enters", "no tensor core reads E2M1 codes without their scales", "give bf16"});
  else if (p.group == Group::channels_16 && p.enters == Enters::codes)
    found.push_back(
        {"p.enters", "P V sums over keys, so scales of 16 cannot leave the sum", "give bf16"});
  if (scaled_by_rows(p) && recipe.pv.promote_every == 0)
    found.push_back({"pv.promote_every",
                     "0 leaves no place for the scales of P's rows in each key block",
                     "give block.k, or p.enters bf16"});
}

/// The branch is added to what the sparse kernel stored.
void branches(const Recipe& recipe, Problems& found) {
  if (recipe.branch.kind == BranchKind::none) return;
  if (recipe.finish.multiplier != 1)
    found.push_back({"branch.kind", "adds to an output that finish.multiplier scales",
                     "give finish.multiplier 1, or branch.kind none"});
  if (recipe.backward.exists())
    found.push_back({"branch.kind", "its gradients are not part of the backward",
                     "leave the backward out, or give branch.kind none"});
  if (recipe.mask.ragged == video::Ragged::pad)
    found.push_back({"mask.ragged", "the branch sees tokens only", "give partial"});
  if (recipe.predict.rule == PredictRule::profile)
    found.push_back({"branch.kind", "would enter the outputs that predict.rule profile compares",
                     "give none, or another predict.rule"});
}

void scaled_output(const Recipe& recipe, Problems& found) {
  if (recipe.finish.multiplier != 1 && recipe.finish.cast == Cast::before_scale)
    found.push_back({"finish.multiplier", "there is no place for it behind the cast",
                     "give 1, or finish.cast after_scale"});
  if (recipe.finish.divisor == Divisor::multiplied && recipe.p.apply != PApply::multiply)
    found.push_back({"finish.divisor", "P has no multiplier", "give row_sum"});
}

}  // namespace

std::vector<Problem> problems(const Recipe& recipe) {
  Problems found;
  single_fields(recipe, found);
  if (!found.empty()) return found;  // the rules below take every field for a value of its kind
  instructions(recipe, found);
  operand("q", recipe.q, found);
  operand("k", recipe.k, found);
  operand("v", recipe.v, found);
  scales_leave_the_sum(recipe, found);
  overflow("p", recipe.p.format, recipe.p.overflow, found);
  masks(recipe, found);
  predictors(recipe, found);
  row_groups("q", recipe.q, "block.q", recipe.block.q, found);
  row_groups("k", recipe.k, "block.k", recipe.block.k, found);
  rotations(recipe, found);
  smoothing(recipe, found);
  fused_factor(recipe, found);
  exponents(recipe, found);
  scales_of_all_heads(recipe, found);
  multiplier_or_offset(recipe.p, found);
  groups_of_p(recipe, found);
  scaled_output(recipe, found);
  branches(recipe, found);
  special_functions(recipe, found);
  add_backward_problems(recipe, found);
  return found;
}

void validate(const Recipe& recipe, std::string_view subject) {
  const std::vector<Problem> found = problems(recipe);
  if (found.empty()) return;
  const std::string prefix = subject.empty() ? std::string() : std::string(subject) + ": ";
  throw Error(ErrorKind::usage, prefix + found.front().path, found.front().why,
              found.front().action);
}

}  // namespace karat::recipe
