// Two tables of names.
#include "check_freedom.hpp"

#include "values.hpp"

namespace karat::cli {
namespace {

enum class Allowed { order, contraction, reciprocal };
constexpr Named<Allowed> kAllowed[] = {{"order", Allowed::order},
                                       {"contraction", Allowed::contraction},
                                       {"reciprocal", Allowed::reciprocal}};

constexpr Named<golden::TensorLayout> kLayouts[] = {{"BHSD", golden::TensorLayout::bhsd},
                                                    {"BSHD", golden::TensorLayout::bshd},
                                                    {"BHDS", golden::TensorLayout::bhds}};

}  // namespace

void allow(golden::Freedom& freedom, std::string_view name, const std::string& option) {
  switch (parse_choice(name, option, kAllowed)) {
    case Allowed::order: freedom.summation = golden::Summation::any_order; break;
    case Allowed::contraction: freedom.contraction = golden::Contraction::allowed; break;
    case Allowed::reciprocal: freedom.reciprocal_ulp = 1; break;
  }
}

golden::TensorLayout parse_v_layout(std::string_view name, const std::string& option) {
  return parse_choice(name, option, kLayouts);
}

}  // namespace karat::cli
