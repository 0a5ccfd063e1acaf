// Each rule is one function that adds what it finds.
#include "validate.hpp"

#include <tuple>

#include "../implied.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/recipe/effect.hpp"
#include "karat/recipe/fields.hpp"
#include "products.hpp"

namespace karat::recipe {
namespace {

using numerics::FormatId;
using Problems = std::vector<Problem>;

void nothing_without_a_loop(const Recipe& recipe, Problems& found) {
  const Recipe plain;
  for (const Field& field : fields())
    if (field.decides == Decides::gradients && field.read(recipe) != field.read(plain))
      found.push_back({field.path, "has no meaning while backward.loop is none",
                       "give backward.loop key_blocks or two_kernels"});
}

/// The instruction that formats imply may stand where nothing reads it.
bool is_implied(const Recipe& recipe, std::string_view path) {
  for (const Product& product : products(recipe))
    if (product.path == path)
      return recipe.backward.*product.instruction ==
             implied_instruction(product.left, product.right);
  return false;
}

void without_effect(const Recipe& recipe, Problems& found) {
  const Recipe plain;
  for (const Field& field : fields()) {
    if (field.decides != Decides::gradients || field.read(recipe) == field.read(plain)) continue;
    const std::string_view why = why_without_effect(recipe, field.path);
    if (!why.empty() && !is_implied(recipe, field.path))
      found.push_back({field.path, "decides nothing here: " + std::string(why), "leave it out"});
  }
}

/// Forwards whose gradient no page describes.
void forward(const Recipe& recipe, Problems& found) {
  const auto refuse = [&](bool found_it, const char* path, const char* instead) {
    if (found_it)
      found.push_back({path, "no backward is described for it",
                       std::string("give ") + instead + ", or backward.loop none"});
  };
  refuse(recipe.q.smooth != Smooth::none, "q.smooth", "none");
  refuse(recipe.v.smooth != Smooth::none, "v.smooth", "none");
  refuse(recipe.q.rotate != Rotate::none, "q.rotate", "none");
  refuse(recipe.skip.rule != SkipRule::never, "skip.rule", "never");
  refuse(recipe.qk.score_scale != ScoreScale::applied, "qk.score_scale", "applied");
  for (const ScaleOrder order :
       {ScaleOrder::folded_into_q, ScaleOrder::query_first, ScaleOrder::folded_until_last})
    refuse(recipe.qk.scale_order == order, "qk.scale_order", "product_first");
}

void instructions(const Recipe& recipe, Problems& found) {
  for (const Product& product : products(recipe)) {
    const std::string& name = recipe.backward.*product.instruction;
    const auto& instruction = numerics::instruction(name);
    for (const auto& [operand, format, input] :
         {std::tuple{product.left_name, product.left, numerics::input_format(instruction)},
          std::tuple{product.right_name, product.right, numerics::column_format(instruction)}})
      if (!holds(input, format))
        found.push_back({std::string(product.path),
                         name + " takes " + std::string(numerics::format(input).name) + ", not " +
                             std::string(operand) + " in " +
                             std::string(numerics::format(format).name),
                         "leave " + std::string(product.path) + " out"});
  }
}

/// Whether an operand's scales vary along its rows: positions, or rows of a block of P or dS.
bool varies_along_rows(const quant::Rule& rule) {
  return quant::leaves_scales(rule) && rule.group != Group::tensor &&
         rule.group != Group::all_heads && rule.group != Group::channel;
}
bool varies_along_channels(const quant::Rule& rule) {
  return quant::leaves_scales(rule) &&
         (rule.group == Group::channel || rule.group == Group::tile_channel ||
          rule.group == Group::channels_16);
}
/// Constant within a block only where groups are at least that large, which the launch judges.
bool per_position(const quant::Rule& rule) {
  return quant::leaves_scales(rule) &&
         (rule.group == Group::token || rule.group == Group::rows_stride_8 ||
          rule.group == Group::row_pairs_stride_8);
}

struct Side {
  std::string path;
  const quant::Rule* rule;
  bool coded;  ///< the product reads codes
};

/// What a product sums over must not move a scale.
void scales_leave_the_sums(const Recipe& recipe, Problems& found) {
  const Backward& b = recipe.backward;
  const auto side = [](const char* path, const quant::Rule& rule, Source source) {
    return Side{path, &rule, source == Source::codes};
  };
  const auto over_channels = [&](const Side& s, const char* product) {
    if (s.coded && varies_along_channels(*s.rule))
      found.push_back(
          {s.path,
           std::string(product) + " sums over channels, so their scales cannot leave " + "the sum",
           "give dequantised"});
  };
  if (b.scores == BackwardScores::operands) {
    over_channels(side("backward.q", recipe.q, b.q), "S");
    over_channels(side("backward.k", recipe.k, b.k), "S");
  }
  over_channels(side("backward.v", recipe.v, b.v), "dP");
  over_channels(side("backward.do_in_dp", b.d_o, b.do_in_dp), "dP");
  const auto over_positions = [&](const Side& s, const char* product, bool by_blocks,
                                  const std::string& instead) {
    if (!s.coded) return;
    if (per_position(*s.rule))
      found.push_back({s.path,
                       std::string(product) + " sums over positions, so scales of single ones " +
                           "cannot leave the sum",
                       "give " + instead});
    else if (varies_along_rows(*s.rule) && !by_blocks)
      found.push_back({"backward.promote",
                       "one chain leaves no place for scales of " + s.path + " that vary by blocks",
                       "give block"});
  };
  const bool blocks = b.promote == Promote::block;
  // Scales of P and dS belong to visits: casts() says which groups they have.
  const auto of_visits = [&](const char* path, const quant::Rule& rule, const char* product) {
    if (rule.group == Group::block) over_positions({path, &rule, true}, product, blocks, "");
  };
  of_visits("backward.p_group", b.p, "dV");
  of_visits("backward.ds_group", b.ds, "dQ");
  over_positions({"backward.do_group", &b.d_o, true}, "dV", blocks,
                 "tensor or block, or backward.do_enters bf16");
  const bool dq_by_blocks = blocks || b.loop == BackwardLoop::key_blocks;
  over_positions(side("backward.k", recipe.k, b.k), "dQ", dq_by_blocks, "dequantised");
  over_positions(side("backward.q", recipe.q, b.q), "dK", blocks, "dequantised");
}

void int32_sums(const Recipe& recipe, Problems& found) {
  const Backward& b = recipe.backward;
  if (b.promote == Promote::block) return;
  for (const auto& [path, name] : {std::pair{"backward.dv", &b.dv}, std::pair{"backward.dk", &b.dk},
                                   std::pair{"backward.dq", &b.dq}}) {
    if (std::string_view(path) == "backward.dq" && b.loop == BackwardLoop::key_blocks) continue;
    const auto& instruction = numerics::instruction(*name);
    if (numerics::accumulator_format(instruction) == FormatId::int32)
      found.push_back({path, "an INT32 accumulator is emptied after each block",
                       "give backward.promote block"});
  }
}

/// Codes of x*(M/amax) that do not fit their scale.
void never_sees(const std::string& prefix, const quant::Rule& rule, Problems& found) {
  if (rule.code_rule != CodeRule::inverse_scale) return;
  const auto refuse = [&](bool found_it, const char* what) {
    if (found_it)
      found.push_back({prefix + "code_rule",
                       std::string("inverse_scale codes x*(M/amax) and never sees ") + what,
                       "give divide or reciprocal"});
  };
  refuse(rule.scale != ScaleFormat::f32, "the rounded scale");
  refuse(rule.scale_rule == ScaleRule::exponent, "the power of two");
  refuse(rule.guard == Guard::add_1e_7, "what add_1e-7 adds");
}

/// Casts of what the kernel makes itself.
void casts(const Recipe& recipe, Problems& found) {
  const Backward& b = recipe.backward;
  for (const auto& [name, rule] : {std::pair{"backward.p", &b.p}, std::pair{"backward.ds", &b.ds},
                                   std::pair{"backward.do", &b.d_o}}) {
    const std::string prefix = std::string(name) + "_";
    if (rule->rounding == numerics::Rounding::stochastic)
      found.push_back({prefix + "rounding", "no page says which random words the backward draws",
                       "give another rounding"});
    const numerics::Format& format = numerics::format(rule->format);
    if (rule->overflow == numerics::Overflow::infinity && rule->format != FormatId::f32 &&
        format.specials != numerics::Specials::infinity_and_nan)
      found.push_back({prefix + "overflow", "its format has no infinity", "give saturate"});
    if (rule->overflow == numerics::Overflow::nan && format.specials == numerics::Specials::none)
      found.push_back({prefix + "overflow", "its format has no NaN", "give saturate"});
    if (!quant::has_scale(rule->format)) continue;
    never_sees(prefix, *rule, found);
    const bool whole = rule->group == Group::tensor;
    if (rule != &b.d_o) {
      if (whole && rule->scale_rule != ScaleRule::given)
        found.push_back({prefix + "group", "the largest value of all is not known while it runs",
                         "give block, or " + prefix + "scale_rule given"});
      if (!whole && rule->group != Group::block && rule->group != Group::channels_16)
        found.push_back({prefix + "group", "has no meaning for what a block makes",
                         "give tensor, block or channels_16"});
    }
    if (rule->format == FormatId::e2m1 && rule->enters == Enters::codes)
      found.push_back(
          {prefix + "enters", "no tensor core reads E2M1 codes without their scales", "give bf16"});
    else if (rule->group == Group::channels_16 && rule->enters == Enters::codes)
      found.push_back({prefix + "enters", "scales of 16 cannot leave the sum", "give bf16"});
  }
}

}  // namespace

void add_backward_problems(const Recipe& recipe, Problems& found) {
  if (!recipe.backward.exists()) return nothing_without_a_loop(recipe, found);
  without_effect(recipe, found);
  forward(recipe, found);
  instructions(recipe, found);
  scales_leave_the_sums(recipe, found);
  int32_sums(recipe, found);
  casts(recipe, found);
}

}  // namespace karat::recipe
