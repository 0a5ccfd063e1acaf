// The instruction two operand formats imply, and when it is filled in.
#include "implied.hpp"

#include <algorithm>
#include <vector>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {
namespace {

using numerics::FormatId;

struct Implied {
  std::string_view instruction;
  std::vector<FormatId> holds;  ///< operand formats whose every value the input format represents
};

// Narrowest first; f32 holds everything.
const Implied kImplied[] = {
    {"hopper.wgmma.e4m3.f32", {FormatId::e4m3}},
    {"hopper.wgmma.bf16.f32",
     {FormatId::e4m3, FormatId::e5m2, FormatId::int8, FormatId::int4, FormatId::bf16}},
};

}  // namespace

std::string implied_instruction(FormatId a, FormatId b) {
  for (const Implied& row : kImplied) {
    const auto holds = [&](FormatId id) {
      return std::ranges::find(row.holds, id) != row.holds.end();
    };
    if (holds(a) && holds(b)) return std::string(row.instruction);
  }
  return "f32.fma";
}

void imply_instructions(Recipe& recipe, const std::set<std::string>& given) {
  if (!given.contains("qk.instruction") &&
      (given.contains("q.format") || given.contains("k.format"))) {
    recipe.qk.instruction = implied_instruction(recipe.q.format, recipe.k.format);
  }
  if (!given.contains("pv.instruction") &&
      (given.contains("p.format") || given.contains("v.format"))) {
    recipe.pv.instruction = implied_instruction(recipe.p.format, recipe.v.format);
  }
}

}  // namespace karat::recipe
