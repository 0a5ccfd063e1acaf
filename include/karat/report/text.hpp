// Numbers and times as people read them, in lines of text.
#pragma once

#include <string>
#include <string_view>

namespace karat::report {

/// What printf would write, as a string.
[[gnu::format(printf, 1, 2)]] std::string print(const char* format, ...);

/// "85.1 G", "3.20 M": three significant digits and the letter of the thousand.
std::string short_number(double value);
/// "1 h 02 min", "3 min 05 s", "12 s", "0.4 s".
std::string short_time(double seconds);

/// How a word of a report should strike the reader.
enum class Tone { plain, good, unsure, bad, faint };
/// Dresses words in their tone: a terminal's colours, or nothing.
using Painter = std::string (*)(std::string_view text, Tone tone);
std::string unpainted(std::string_view text, Tone tone);

}  // namespace karat::report
