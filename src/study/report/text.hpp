// Figures as a terminal shows them.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "karat/report/table.hpp"
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

/// Named columns of figures behind columns of words.
inline std::vector<report::Column> figure_columns(std::vector<std::string> words,
                                                  const std::vector<std::string>& figures) {
  std::vector<report::Column> columns;
  for (std::string& word : words) columns.push_back({std::move(word)});
  for (const std::string& figure : figures) columns.push_back({figure, report::Align::right});
  return columns;
}

/// to_text() of a study of gradients.
std::string gradients_text(const StudyResult& result, const Summary& summary,
                           report::TableStyle style);

}  // namespace karat::study
