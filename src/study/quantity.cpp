// Names of quantities: a measure's own, and behind a dot what it is of.
#include "karat/study/quantity.hpp"

#include <array>
#include <vector>

#include "karat/numerics/base/error.hpp"

namespace karat::study {
namespace {

/// What a measure is of.
enum class Of { recipe, part, suspect, underflow };

struct MeasureRow {
  std::string_view name;
  Of of = Of::recipe;
};
/// In the order of Measure.
constexpr std::array<MeasureRow, 16> kMeasures{{{"both"},
                                                {"mask"},
                                                {"fp8"},
                                                {"fp8_given_mask"},
                                                {"kept_mass"},
                                                {"guided"},
                                                {"guided_mask"},
                                                {"guided_fp8"},
                                                {"guided_common"},
                                                {"guided_independent"},
                                                {"rung", Of::part},
                                                {"given", Of::part},
                                                {"alone", Of::part},
                                                {"theory", Of::part},
                                                {"theory.lost", Of::underflow},
                                                {"suspect", Of::suspect}}};

constexpr SuspectRow kSuspects[] = {
    {Suspect::score_scale, "score_scale", "scales and d^-1/2 left out of the scores"},
    {Suspect::p_times_1, "p_times_1", "P times 1 before it is coded"},
    {Suspect::e4m3_output, "e4m3_output", "output written in E4M3"},
};

std::vector<std::string_view> details_of(Of of) {
  std::vector<std::string_view> names;
  switch (of) {
    case Of::recipe:
      return {""};
    case Of::part:
      for (const PartRow& row : parts()) names.push_back(row.name);
      break;
    case Of::suspect:
      for (const SuspectRow& row : kSuspects) names.push_back(row.name);
      break;
    case Of::underflow:
      for (const Underflow& row : kUnderflows) names.push_back(row.name);
      break;
  }
  return names;
}

}  // namespace

std::span<const SuspectRow> suspects() { return kSuspects; }

std::string to_string(Quantity quantity) {
  const MeasureRow& row = kMeasures[static_cast<std::size_t>(quantity.measure_)];
  std::string name(row.name);
  if (row.of != Of::recipe) name.append(".").append(details_of(row.of)[quantity.detail_]);
  return name;
}

Quantity parse_quantity(std::string_view name, const std::string& subject) {
  for (std::size_t m = 0; m < kMeasures.size(); ++m) {
    Quantity quantity(static_cast<Measure>(m));
    const std::size_t details = details_of(kMeasures[m].of).size();
    for (std::size_t detail = 0; detail < details; ++detail) {
      quantity.detail_ = static_cast<std::uint8_t>(detail);
      if (to_string(quantity) == name) return quantity;
    }
  }
  throw Error(ErrorKind::input_output, subject, "\"" + std::string(name) + "\" is no quantity",
              "let karat study write it again");
}

}  // namespace karat::study
