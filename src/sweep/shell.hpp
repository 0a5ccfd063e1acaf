// Words as a shell reads them.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace karat::sweep {

/// The text inside single quotes of a shell.
inline std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The text as one word of a command: in quotes where a shell would read it otherwise.
inline std::string shell_word(std::string_view text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._-+=:@/,%").find(c) != std::string_view::npos;
  });
  return plain ? std::string(text) : in_quotes(text);
}

}  // namespace karat::sweep
