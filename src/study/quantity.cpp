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
constexpr std::array<MeasureRow, 17> kMeasures{{{"both"},
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
                                                {"suspect", Of::suspect},
                                                {"alone_dense", Of::part}}};

constexpr std::string_view kOutputs[] = {"o", "dq", "dk", "dv"};

constexpr SuspectRow kSuspects[] = {
    {Suspect::score_scale, "score_scale", "scales and d^-1/2 left out of the scores"},
    {Suspect::p_times_1, "p_times_1", "P times 1 before it is coded"},
    {Suspect::e4m3_output, "e4m3_output", "output written in E4M3"},
};

std::vector<std::string_view> details_of(Of of, Output output) {
  std::vector<std::string_view> names;
  switch (of) {
    case Of::recipe:
      return {""};
    case Of::part:
      if (output == Output::o)
        for (const PartRow& row : parts()) names.push_back(row.name);
      else
        for (const GradientPartRow& row : gradient_parts()) names.push_back(row.name);
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

std::string_view to_string(Pass pass) { return pass == Pass::forward ? "forward" : "backward"; }

std::string_view to_string(Output output) { return kOutputs[static_cast<std::size_t>(output)]; }

std::span<const SuspectRow> suspects() { return kSuspects; }

std::string to_string(Quantity quantity) {
  const MeasureRow& row = kMeasures[static_cast<std::size_t>(quantity.measure_)];
  std::string name;
  if (quantity.output_ != Output::o) name.append(to_string(quantity.output_)).append(".");
  if (quantity.metric_ == Metric::cosine) name.append("cosine.");
  name.append(row.name);
  if (row.of != Of::recipe)
    name.append(".").append(details_of(row.of, quantity.output_)[quantity.detail_]);
  return name;
}

Quantity parse_quantity(std::string_view name, const std::string& subject) {
  Quantity quantity(Measure::both);
  std::string_view rest = name;
  const auto begins_with = [&](std::string_view word) {
    const bool found = rest.starts_with(word) && rest.substr(word.size()).starts_with('.');
    if (found) rest.remove_prefix(word.size() + 1);
    return found;
  };
  for (const Output output : kGradients)
    if (begins_with(to_string(output))) {
      quantity.output_ = output;
      if (begins_with("cosine")) quantity.metric_ = Metric::cosine;
      break;
    }
  for (std::size_t m = 0; m < kMeasures.size(); ++m) {
    quantity.measure_ = static_cast<Measure>(m);
    if (quantity.output_ == Output::o ? quantity.measure_ == Measure::alone_dense
                                      : !Quantity::of_gradients(quantity.measure_))
      continue;
    const std::size_t details = details_of(kMeasures[m].of, quantity.output_).size();
    for (std::size_t detail = 0; detail < details; ++detail) {
      quantity.detail_ = static_cast<std::uint8_t>(detail);
      if (to_string(quantity) == name) return quantity;
    }
  }
  throw Error(ErrorKind::input_output, subject, "\"" + std::string(name) + "\" is no quantity",
              "let karat study write it again");
}

}  // namespace karat::study
