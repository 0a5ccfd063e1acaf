// When a field can change anything: a window's extents where there is a window, and so on.
#include <algorithm>
#include <optional>

#include "hypothesis.hpp"

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
/// Similarity and clusters choose key blocks by their weight.
bool selects(const Recipe& r) {
  return predicted(r) && !predicted_by<recipe::PredictRule::profile>(r);
}
template <recipe::Select select>
bool selects_by(const Recipe& r) {
  return selects(r) && r.predict.select == select;
}
bool draws(const Recipe& r) {
  return predicted(r) && !predicted_by<recipe::PredictRule::similarity>(r);
}

constexpr auto kByMass = selects_by<recipe::Select::mass>;
constexpr auto kByClusters = predicted_by<recipe::PredictRule::clusters>;
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
    {"predict.share", selects_by<recipe::Select::share>},
    {"predict.similarity", kBySimilarity},
    {"predict.sink", kBySimilarity},
    {"predict.query_clusters", kByClusters},
    {"predict.key_clusters", kByClusters},
    {"predict.iterations", kByClusters},
    {"predict.rows", predicted_by<recipe::PredictRule::profile>},
    {"predict.seed", draws},
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

bool recomputes_from_operands(const Recipe& r) {
  return r.backward.scores == recipe::BackwardScores::operands;
}
bool reads_plain(const Recipe& r) {
  const recipe::Backward& b = r.backward;
  const auto plain = [](recipe::Source source) { return source != recipe::Source::codes; };
  return plain(b.q) || plain(b.k) || plain(b.v) || plain(b.do_in_dp);
}
bool smooths_k(const Recipe& r) { return smoothed(r.k); }

constexpr RecipeCondition kBackwardConditions[] = {
    {"backward.s", recomputes_from_operands},
    {"backward.plain", reads_plain},
    {"backward.smooth_term", smooths_k},
};

/// "group" of "backward.ds_group" with the rule of dS; nothing for other fields.
struct CastField {
  const quant::Rule* rule;
  std::string_view name;
};
std::optional<CastField> cast_field(const Recipe& r, std::string_view path) {
  for (const auto& [prefix, rule] : {std::pair{std::string_view("backward.p_"), &r.backward.p},
                                     std::pair{std::string_view("backward.ds_"), &r.backward.ds},
                                     std::pair{std::string_view("backward.do_"), &r.backward.d_o}})
    if (path.starts_with(prefix) && path != "backward.do_in_dp")
      return CastField{rule, path.substr(prefix.size())};
  return std::nullopt;
}

bool matters_in_backward(const Recipe& golden, std::string_view path) {
  if (!path.starts_with("backward."))
    return std::ranges::find(kReadAgain, path) != std::end(kReadAgain);
  if (const auto cast = cast_field(golden, path)) {
    const auto* const row =
        std::ranges::find(kOperandConditions, cast->name, &OperandCondition::name);
    return row == std::end(kOperandConditions) || row->holds(*cast->rule);
  }
  const auto* const row = std::ranges::find(kBackwardConditions, path, &RecipeCondition::field);
  return row == std::end(kBackwardConditions) || row->holds(golden);
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
