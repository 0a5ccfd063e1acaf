// The order a sensitivity table's rows stand in.
#pragma once

#include <algorithm>
#include <tuple>

#include "karat/study/sensitivity.hpp"

namespace karat::study {

inline void sort_rows(SensitivityTable& table) {
  std::stable_sort(table.rows.begin(), table.rows.end(), [](const auto& a, const auto& b) {
    return std::tie(a.cell, a.recipe) < std::tie(b.cell, b.recipe);
  });
}

}  // namespace karat::study
