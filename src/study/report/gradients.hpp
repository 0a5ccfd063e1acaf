// What reports of a study of gradients share.
#pragma once

#include "karat/study/quantity.hpp"
#include "report/sections.hpp"

namespace karat::study {

inline Quantity error_of(Output output, Measure measure, GradientPart part = {}) {
  return Quantity::of_gradient(output, Metric::relative_l2, measure, part);
}
inline Quantity cosine_of(Output output, Measure measure, GradientPart part = {}) {
  return Quantity::of_gradient(output, Metric::cosine, measure, part);
}

/// All sections of the page but what made it.
void add_gradients(report::HtmlPage& page, const StudyResult& result, const Summary& summary,
                   const Summary& with_sweeps);

}  // namespace karat::study
