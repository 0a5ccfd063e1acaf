// The first instruction of the table that takes the formats; Inf where a format has one and no
// scale.
#include "implied.hpp"

#include <algorithm>

#include "backward/products.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/recipe/effect.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::recipe {
namespace {

using numerics::Format;
using numerics::FormatId;

bool is_integer(const Format& f) { return f.kind == numerics::Kind::integer; }

/// Binary digits of the longest significand; -2^(bits-1) of an integer is a power of two.
int digits(const Format& f) { return is_integer(f) ? f.bits - 1 : f.fraction_bits + 1; }
/// Exponents of the largest magnitude and of the smallest.
int top(const Format& f) {
  return is_integer(f) ? f.bits - 1 : static_cast<int>(f.max_finite() >> f.fraction_bits) - f.bias;
}
int bottom(const Format& f) { return is_integer(f) ? 0 : f.min_exponent() - f.fraction_bits; }

/// Instructions of a backward that an edit took away.
void reset_instructions(Backward& backward, const std::set<std::string>& given) {
  const Backward none;
  for (const Product& product : products({}))
    if (!given.contains(std::string(product.path)))
      backward.*product.instruction = none.*product.instruction;
}

}  // namespace

bool holds(FormatId outer, FormatId inner) {
  const Format& o = numerics::format(outer);
  const Format& i = numerics::format(inner);
  if (is_integer(o) && !is_integer(i)) return false;
  return digits(i) <= digits(o) && top(i) <= top(o) && bottom(i) >= bottom(o);
}

std::string implied_instruction(FormatId a, FormatId b) {
  const auto table = numerics::instructions();
  const auto first = [&](auto fits) {
    return std::ranges::find_if(table, [&](const auto& row) {
      return fits(numerics::input_format(row), a) && fits(numerics::column_format(row), b);
    });
  };
  auto found = first([](FormatId input, FormatId format) { return input == format; });
  if (found == table.end()) found = first(holds);
  return std::string(numerics::name(*found));  // f32 holds every operand format
}

void imply(Recipe& recipe, const std::set<std::string>& given, const Recipe& before) {
  // "q." or "backward.do_": what stands before the names of an operand's fields.
  const auto imply_overflow = [&](const std::string& prefix, auto& cast) {
    if (given.contains(prefix + "format") && !given.contains(prefix + "overflow"))
      cast.overflow = quant::usual_overflow(cast.format);
  };
  imply_overflow("q.", recipe.q);
  imply_overflow("k.", recipe.k);
  imply_overflow("v.", recipe.v);
  imply_overflow("p.", recipe.p);
  const auto named = [&](const std::string& operand) {
    return given.contains(operand + ".format") || given.contains(operand + ".enters");
  };
  const auto implied = [&](const char* instruction, const char* a, const char* b) {
    return !given.contains(instruction) && (named(a) || named(b));
  };
  if (implied("qk.instruction", "q", "k")) {
    recipe.qk.instruction =
        implied_instruction(quant::entering_format(recipe.q), quant::entering_format(recipe.k));
  }
  if (implied("pv.instruction", "p", "v")) {
    recipe.pv.instruction = implied_instruction(quant::entering_format(rule_of(recipe.p)),
                                                quant::entering_format(recipe.v));
  }
  Backward& backward = recipe.backward;
  imply_overflow("backward.p_", backward.p);
  imply_overflow("backward.do_", backward.d_o);
  imply_overflow("backward.ds_", backward.ds);
  if (!backward.exists() && !before.backward.exists()) return;
  reset_without_effect(recipe, given);
  if (!backward.exists()) return reset_instructions(backward, given);
  const auto old = products(before), now = products(recipe);
  for (std::size_t i = 0; i < now.size(); ++i) {
    const bool changed = old[i].left != now[i].left || old[i].right != now[i].right;
    if ((changed || !before.backward.exists()) && !given.contains(std::string(now[i].path)))
      backward.*now[i].instruction = implied_instruction(now[i].left, now[i].right);
  }
}

}  // namespace karat::recipe
