// The first instruction of the table that takes the formats; Inf where a format has one and no
// scale.
#include "implied.hpp"

#include <algorithm>

#include "backward/products.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
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

void imply(Recipe& recipe, const std::set<std::string>& given) {
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
    recipe.pv.instruction = implied_instruction(recipe.p.format, quant::entering_format(recipe.v));
  }
  Backward& backward = recipe.backward;
  imply_overflow("backward.p_", backward.p);
  imply_overflow("backward.do_", backward.d_o);
  imply_overflow("backward.ds_", backward.ds);
  const bool read = std::ranges::any_of(
      given, [](const std::string& path) { return path.starts_with("backward."); });
  if (!read && !backward.exists()) return;
  for (const Product& product : products(recipe))
    if (!given.contains(std::string(product.path)) &&
        (read || named(std::string(product.left_name)) || named(std::string(product.right_name))))
      backward.*product.instruction = implied_instruction(product.left, product.right);
}

}  // namespace karat::recipe
