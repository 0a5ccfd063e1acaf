// Two tables of names.
#include "judge/check_freedom.hpp"

#include "values.hpp"

namespace karat::cli {
namespace {

enum class Allowed { order, contraction, reciprocal };
constexpr Named<Allowed> kAllowed[] = {{"order", Allowed::order},
                                       {"contraction", Allowed::contraction},
                                       {"reciprocal", Allowed::reciprocal}};

constexpr Named<cases::TensorLayout> kLayouts[] = {{"BHSD", cases::TensorLayout::bhsd},
                                                    {"BSHD", cases::TensorLayout::bshd},
                                                    {"BHDS", cases::TensorLayout::bhds}};

}  // namespace

void allow(bounds::Freedom& freedom, std::string_view name, const std::string& option) {
  switch (parse_choice(name, option, kAllowed)) {
    case Allowed::order: freedom.summation = bounds::Summation::any_order; break;
    case Allowed::contraction: freedom.contraction = bounds::Contraction::allowed; break;
    case Allowed::reciprocal: freedom.reciprocal_ulp = 1; break;
  }
}

cases::TensorLayout parse_v_layout(std::string_view name, const std::string& option) {
  return parse_choice(name, option, kLayouts);
}

}  // namespace karat::cli
