// Figures as a terminal shows them.
#pragma once

#include <cmath>
#include <string>

#include "karat/report/text.hpp"
#include "karat/study/summary.hpp"

namespace karat::study {

using report::print;

inline std::string percent_text(const statistics::Average* interval) {
  if (interval == nullptr) return "-";
  if (interval->value < 1e-9) return "0 %";
  return print("%.3g %%", 100 * interval->value);
}

inline std::string factor_text(const statistics::Average* interval) {
  if (interval == nullptr) return "-";
  if (!std::isfinite(interval->high)) return print("%.3f", interval->value);
  return print("%.3f (%.3f..%.3f)", interval->value, interval->low, interval->high);
}

/// to_text() of a study of gradients.
std::string gradients_text(const StudyResult& result, const Summary& summary);

}  // namespace karat::study
