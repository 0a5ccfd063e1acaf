// When a field can change anything: a window's extents where there is a window, and so on.
#include <algorithm>

#include "hypothesis.hpp"
#include "karat/recipe/effect.hpp"

namespace karat::golden {
namespace {

using recipe::Recipe;

struct RecipeCondition {
  std::string_view field;
  bool (*holds)(const Recipe&);
};

bool windowed(const Recipe& r) { return r.mask.kind == recipe::MaskKind::window; }
bool banded(const Recipe& r) { return r.mask.kind == recipe::MaskKind::band; }
bool predicted(const Recipe& r) { return r.predict.rule != recipe::PredictRule::never; }
template <recipe::PredictRule rule>
bool predicted_by(const Recipe& r) {
  return r.predict.rule == rule;
}
/// All others choose key blocks by their weight.
bool selects(const Recipe& r) {
  return predicted(r) && !predicted_by<recipe::PredictRule::profile>(r);
}
template <recipe::Select select>
bool selects_by(const Recipe& r) {
  return selects(r) && r.predict.select == select;
}
bool draws(const Recipe& r) {
  return predicted(r) && !predicted_by<recipe::PredictRule::similarity>(r) &&
         !predicted_by<recipe::PredictRule::means>(r);
}
bool branches(const Recipe& r) { return r.branch.kind != recipe::BranchKind::none; }
/// Takes means, for a mask or for a branch.
bool takes_means(const Recipe& r) {
  return predicted_by<recipe::PredictRule::means>(r) || r.branch.kind == recipe::BranchKind::coarse;
}

/// Of recipes without the test nobody builds it in by mistake; next_step changes no output.
bool tests_blocks(const Recipe& r) { return r.skip.rule != recipe::SkipRule::never; }
bool skips_blocks(const Recipe& r) { return recipe::skips_now(r.skip.rule); }
template <recipe::SkipRule rule>
bool skips_by(const Recipe& r) {
  return r.skip.rule == rule;
}

bool codes_p(const Recipe& r) { return quant::has_scale(r.p.format); }
bool groups_p(const Recipe& r) { return recipe::is_grouped(r.p); }

bool offsets_p(const Recipe& r) { return r.p.apply == recipe::PApply::exponent_offset; }
bool multiplies_p(const Recipe& r) { return !offsets_p(r) && r.p.multiplier != 1; }

constexpr auto kByMass = selects_by<recipe::Select::mass>;
constexpr auto kByClusters = predicted_by<recipe::PredictRule::clusters>;
constexpr auto kByShare = selects_by<recipe::Select::share>;
constexpr auto kByMeans = predicted_by<recipe::PredictRule::means>;
constexpr auto kBySimilarity = predicted_by<recipe::PredictRule::similarity>;

constexpr RecipeCondition kRecipeConditions[] = {
    {"mask.window", windowed},
    {"mask.unit", windowed},
    {"mask.border", windowed},
    {"mask.centre", windowed},
    {"mask.band", banded},
    {"mask.band_unit", banded},
    {"mask.band_first", banded},
    {"predict.rule", predicted},
    {"predict.select", selects},
    {"predict.mass", kByMass},
    {"predict.crossing", kByMass},
    {"predict.least", kByMass},
    {"predict.share", kByShare},
    {"predict.share_rounding", kByShare},
    {"predict.tail", selects_by<recipe::Select::tail>},
    {"predict.ties", selects},
    {"predict.similarity", kBySimilarity},
    {"predict.sink", kBySimilarity},
    {"predict.query_clusters", kByClusters},
    {"predict.key_clusters", kByClusters},
    {"predict.iterations", kByClusters},
    {"predict.rows", predicted_by<recipe::PredictRule::profile>},
    {"predict.seed", draws},
    {"p.offset_enters", offsets_p},
    {"finish.divisor", multiplies_p},
    {"predict.unit", takes_means},
    {"predict.parts", kByMeans},
    {"predict.means", takes_means},
    {"predict.scores", kByMeans},
    {"predict.centre", kByMeans},
    {"predict.text", kByMeans},
    {"branch.kind", branches},
    {"branch.weight", branches},
    {"branch.epsilon", branches},
    {"branch.format", branches},
    {"skip.rule", tests_blocks},
    {"skip.threshold", skips_by<recipe::SkipRule::block_maximum>},
    {"skip.factor", skips_by<recipe::SkipRule::exponential>},
    {"skip.rows", skips_blocks},
    {"p.group", codes_p},
    {"p.scale", groups_p},
    {"p.scale_rule", groups_p},
    {"p.enters", groups_p},
};

struct OperandCondition {
  std::string_view name;
  bool (*holds)(const quant::Rule&);
};

/// Scales of BF16 operands decide nothing.
bool coded(const quant::Rule& rule) { return quant::has_scale(rule.format); }
bool coded_by_tile(const quant::Rule& rule) {
  return coded(rule) &&
         (rule.group == quant::Group::tile || rule.group == quant::Group::tile_channel);
}
bool coded_by_rows(const quant::Rule& rule) {
  return coded(rule) &&
         (rule.group == quant::Group::rows || rule.group == quant::Group::rows_stride_8 ||
          rule.group == quant::Group::row_pairs_stride_8);
}
bool given(const quant::Rule& rule) {
  return coded(rule) && rule.scale_rule == quant::ScaleRule::given;
}
bool smoothed(const quant::Rule& rule) { return rule.smooth != quant::Smooth::none; }
bool rotated(const quant::Rule& rule) { return rule.rotate != quant::Rotate::none; }

constexpr OperandCondition kOperandConditions[] = {
    {"group", coded},          {"tile", coded_by_tile},  {"rows", coded_by_rows}, {"scale", coded},
    {"scale_rule", coded},     {"code_rule", coded},     {"guard", coded},        {"limit", coded},
    {"smooth_mean", smoothed}, {"rotate_seed", rotated}, {"multiplier", given},   {"enters", coded},
};

const quant::Rule* operand_of(const Recipe& recipe, std::string_view path) {
  if (path.starts_with("q.")) return &recipe.q;
  if (path.starts_with("k.")) return &recipe.k;
  return path.starts_with("v.") ? &recipe.v : nullptr;
}

/// Fields of the forward that the backward reads once more; its operands and outputs stay.
constexpr std::string_view kReadAgain[] = {"qk.instruction", "qk.scale_order", "softmax.exp2",
                                           "softmax.lse", "subnormals"};

bool matters_in_backward(const Recipe& golden, std::string_view path) {
  if (!path.starts_with("backward."))
    return std::ranges::find(kReadAgain, path) != std::end(kReadAgain);
  return recipe::has_effect(golden, path);
}

}  // namespace

bool matters(const Recipe& golden, std::string_view path, Pass pass) {
  if (pass == Pass::backward) return golden.backward.exists() && matters_in_backward(golden, path);
  if (path.starts_with("backward.")) return false;  // no output of the forward depends on it
  if (const quant::Rule* operand = operand_of(golden, path)) {
    const auto* const row =
        std::ranges::find(kOperandConditions, path.substr(2), &OperandCondition::name);
    return row == std::end(kOperandConditions) || row->holds(*operand);
  }
  const auto* const row = std::ranges::find(kRecipeConditions, path, &RecipeCondition::field);
  return row == std::end(kRecipeConditions) || row->holds(golden);
}

}  // namespace karat::golden
