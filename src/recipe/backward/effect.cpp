// One row per condition; what has no row always counts.
#include "karat/recipe/effect.hpp"

#include <algorithm>
#include <optional>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {
namespace {

using Why = std::string_view;
constexpr Why kCounts;

Why coded(const quant::Rule& rule) {
  return quant::has_scale(rule.format) ? kCounts : "its format has no scales";
}
/// Of a given scale the largest value of a group has no say.
Why measured(const quant::Rule& rule) {
  if (const Why why = coded(rule); !why.empty()) return why;
  return rule.scale_rule == quant::ScaleRule::given ? "its scale is given" : kCounts;
}
Why given(const quant::Rule& rule) {
  if (const Why why = coded(rule); !why.empty()) return why;
  return rule.scale_rule == quant::ScaleRule::given ? kCounts : "its scale is not given";
}
Why cast(const quant::Rule& rule) {
  return rule.format == numerics::FormatId::f32 ? "f32 is never cast" : kCounts;
}

struct CastCondition {
  std::string_view name;
  Why (*why)(const quant::Rule&);
};
constexpr CastCondition kCastConditions[] = {
    {"group", coded},      {"scale", measured},     {"scale_rule", coded},
    {"multiplier", given}, {"code_rule", measured}, {"guard", measured},
    {"rounding", cast},    {"overflow", cast},      {"enters", coded},
};

Why recomputes_from_operands(const Recipe& recipe) {
  return recipe.backward.scores == BackwardScores::operands ? kCounts : "scores are the forward's";
}
Why reads_plain(const Recipe& recipe) {
  const Backward& b = recipe.backward;
  for (const Source source : {b.q, b.k, b.v, b.do_in_dp})
    if (source != Source::codes) return kCounts;
  return "every operand is read as coded";
}
Why smooths_k(const Recipe& recipe) {
  return recipe.k.smooth != Smooth::none ? kCounts : "k is not smoothed";
}

struct Condition {
  std::string_view path;
  Why (*why)(const Recipe&);
};
constexpr Condition kConditions[] = {
    {"backward.s", recomputes_from_operands},
    {"backward.plain", reads_plain},
    {"backward.smooth_term", smooths_k},
};

/// "group" of "backward.ds_group" with the rule of dS; nothing for other fields.
struct CastField {
  const quant::Rule* rule;
  std::string_view name;
};
std::optional<CastField> cast_field(const Recipe& recipe, std::string_view path) {
  const Backward& b = recipe.backward;
  for (const auto& [prefix, rule] : {std::pair{std::string_view("backward.p_"), &b.p},
                                     std::pair{std::string_view("backward.ds_"), &b.ds},
                                     std::pair{std::string_view("backward.do_"), &b.d_o}})
    if (path.starts_with(prefix) && path != "backward.do_in_dp")
      return CastField{rule, path.substr(prefix.size())};
  return std::nullopt;
}

}  // namespace

std::string_view why_without_effect(const Recipe& recipe, std::string_view path) {
  if (!path.starts_with("backward.")) return kCounts;
  if (!recipe.backward.exists())
    return path == "backward.loop" ? kCounts : "the recipe has no backward";
  if (const auto field = cast_field(recipe, path)) {
    const auto* const row = std::ranges::find(kCastConditions, field->name, &CastCondition::name);
    return row == std::end(kCastConditions) ? kCounts : row->why(*field->rule);
  }
  const auto* const row = std::ranges::find(kConditions, path, &Condition::path);
  return row == std::end(kConditions) ? kCounts : row->why(recipe);
}

void reset_without_effect(Recipe& recipe, const std::set<std::string>& given) {
  static const Recipe plain;
  for (const Field& field : fields())
    if (field.decides == Decides::gradients && field.kind != Kind::instruction &&
        !given.contains(field.path) && !has_effect(recipe, field.path))
      field.write(recipe, field.read(plain));
}

}  // namespace karat::recipe
