// Implementation of report/text.hpp.
#include "karat/report/text.hpp"

#include <cstdarg>
#include <cstdio>
#include <iterator>

namespace karat::report {

std::string print(const char* format, ...) {
  std::va_list values, again;
  va_start(values, format);
  va_copy(again, values);
  std::string text(static_cast<std::size_t>(std::vsnprintf(nullptr, 0, format, values)), '\0');
  std::vsnprintf(text.data(), text.size() + 1, format, again);
  va_end(again);
  va_end(values);
  return text;
}

std::string short_number(double value) {
  constexpr const char* kLetters[] = {"", "k", "M", "G", "T", "P"};
  std::size_t letter = 0;
  for (; value >= 999.5 && letter + 1 < std::size(kLetters); ++letter) value /= 1000;
  return print("%.*f %s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, kLetters[letter]);
}

std::string short_time(double seconds) {
  if (seconds < 9.95) return print("%.1f s", seconds);
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole < 60) return print("%ld s", whole);
  if (whole < 3600) return print("%ld min %02ld s", whole / 60, whole % 60);
  return print("%ld h %02ld min", whole / 3600, whole / 60 % 60);
}

std::string unpainted(std::string_view text, Tone) { return std::string(text); }

}  // namespace karat::report
