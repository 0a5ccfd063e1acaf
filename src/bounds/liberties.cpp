// Implementation of bounds/liberties.hpp.
#include "karat/bounds/liberties.hpp"

#include "karat/numerics/base/choice.hpp"

namespace karat::bounds {
namespace {

enum class Allowed { order, contraction, reciprocal };
constexpr numerics::Named<Allowed> kAllowed[] = {{"order", Allowed::order},
                                                 {"contraction", Allowed::contraction},
                                                 {"reciprocal", Allowed::reciprocal}};

}  // namespace

void allow(Freedom& freedom, std::string_view name, const std::string& subject) {
  switch (parse_choice(name, subject, kAllowed)) {
    case Allowed::order:
      freedom.summation = Summation::any_order;
      break;
    case Allowed::contraction:
      freedom.contraction = Contraction::allowed;
      break;
    case Allowed::reciprocal:
      freedom.reciprocal_ulp = 1;
      break;
  }
}

std::vector<Liberty> liberties(const Freedom& freedom) {
  std::vector<Liberty> list;
  if (freedom.low != freedom.high) list.push_back({"exp2", "exp2 within 2 ulp"});
  if (freedom.summation != Summation::fixed)
    list.push_back({"order", "any order of the row sum, f32.fma's P V, delta and added dQ"});
  if (freedom.contraction != Contraction::none)
    list.push_back({"contraction", "fused multiply-adds"});
  if (freedom.reciprocal_ulp > 0)
    list.push_back({"reciprocal", "1/l within " + std::to_string(freedom.reciprocal_ulp) + " ulp"});
  return list;
}

}  // namespace karat::bounds
