// "Did you mean ...?": the nearest known name by edit distance, for one-line errors.
// Shared by every table that is looked up by name.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace karat::numerics {

/// Levenshtein distance.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

/// The entry of `table` whose projected name is nearest. @pre table not empty
template <typename Table, typename Name>
std::string nearest_name(std::string_view wanted, const Table& table, Name name) {
  const auto best =
      std::min_element(std::begin(table), std::end(table), [&](const auto& a, const auto& b) {
        return edit_distance(wanted, name(a)) < edit_distance(wanted, name(b));
      });
  return std::string(name(*best));
}

}  // namespace karat::numerics
