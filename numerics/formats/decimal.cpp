// The nearest f64 by the standard library, and on which side of it the decimal lies by digits:
// every f64 has a finite decimal expansion.
#include "karat/numerics/formats/decimal.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

namespace karat::numerics {
namespace {

/// 0.DIGITS * 10^exponent; digits neither begin nor end with 0, zero has none.
struct Digits {
  std::string digits;
  std::int64_t exponent = 0;

  std::strong_ordering operator<=>(const Digits& other) const {
    if (digits.empty() || other.digits.empty()) return digits.size() <=> other.digits.size();
    if (exponent != other.exponent) return exponent <=> other.exponent;
    return digits <=> other.digits;
  }
};

/// What std::from_chars takes, without the sign.
Digits digits_of(std::string_view text) {
  constexpr std::int64_t kFar = std::int64_t{1} << 60;  // beyond it no number of digits comes back
  Digits made;
  const std::size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view power = text.substr(e + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    const auto [end, error] =
        std::from_chars(power.data(), power.data() + power.size(), made.exponent);
    if (error == std::errc::result_out_of_range || std::abs(made.exponent) > kFar)
      made.exponent = power.starts_with('-') ? -kFar : kFar;
  }
  bool behind_point = false;
  for (const char c : text.substr(0, e)) {
    if (c == '.') {
      behind_point = true;
      continue;
    }
    if (c == '0' && made.digits.empty()) {
      made.exponent -= behind_point;
      continue;
    }
    made.digits += c;
    made.exponent += !behind_point;
  }
  made.digits.erase(made.digits.find_last_not_of('0') + 1);
  return made;
}

/// All digits of a finite number that is not negative: 767 are the most.
Digits digits_of(double x) {
  std::array<char, 800> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), x, std::chars_format::scientific, 766)
          .ptr;
  return digits_of(std::string_view(text.data(), end));
}

}  // namespace

std::optional<double> decimal_to_odd(std::string_view text) {
  double nearest = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, nearest);
  if (end != last || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc{} && !std::isfinite(nearest)) return nearest;
  const bool negative = text.starts_with('-');
  const double sign = negative ? -1.0 : 1.0;
  const Digits given = digits_of(text.substr(negative ? 1 : 0));
  if (error == std::errc::result_out_of_range)
    return sign * (given.exponent > 0 ? std::numeric_limits<double>::max()
                                      : std::numeric_limits<double>::denorm_min());
  const double magnitude = std::abs(nearest);
  const std::strong_ordering side = given <=> digits_of(magnitude);
  auto bits = std::bit_cast<std::uint64_t>(magnitude);
  if (side != 0 && bits % 2 == 0) bits = side > 0 ? bits + 1 : bits - 1;
  return std::copysign(std::bit_cast<double>(bits), sign);
}

std::optional<std::uint32_t> encode_decimal(std::string_view text, FormatId format, Policy policy,
                                            std::uint32_t random) {
  const std::optional<double> value = decimal_to_odd(text);
  if (!value) return std::nullopt;
  return encode_f64(*value, format, policy, random);
}

}  // namespace karat::numerics
