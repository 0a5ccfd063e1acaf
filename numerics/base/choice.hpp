// Named enumerators: a table of names, read strictly.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::numerics {

template <typename Enum>
struct Named {
  std::string_view name;
  Enum value;
};

/// The enumerator that `text` names.
/// @param subject what was given the name: "--order", "options.order"
/// @throws Error(usage) naming the nearest choice
template <typename Enum, std::size_t n>
Enum parse_choice(std::string_view text, const std::string& subject,
                  const Named<Enum> (&table)[n]) {
  const auto name = [](const Named<Enum>& row) { return row.name; };
  std::string choices;
  for (const auto& row : table) {
    if (row.name == text) return row.value;
    choices += (choices.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(ErrorKind::usage, subject, "\"" + std::string(text) + "\" is none of " + choices,
              "did you mean " + nearest_name(text, table, name) + "?");
}

}  // namespace karat::numerics
