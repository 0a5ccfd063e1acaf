// Decimal text to codes, rounded once: no wider format on the way rounds first.
#pragma once

#include <optional>
#include <string_view>

#include "karat/numerics/formats/convert.hpp"

namespace karat::numerics {

/// The decimal rounded to odd in f64: the value itself where an f64 holds it, else the one of the
/// two f64 around it whose last bit is set. Rounding that again to at most 51 significant bits
/// rounds the decimal once. A decimal past the largest f64 becomes that one, one that is closer to
/// zero than the smallest becomes the smallest of its sign: neither is Inf or zero.
/// "inf" and "nan" are what they say. Nothing where `text` is no number.
std::optional<double> decimal_to_odd(std::string_view text);

/// encode() of the decimal itself. Nothing where `text` is no number.
std::optional<std::uint32_t> encode_decimal(std::string_view text, FormatId format,
                                            Policy policy = {}, std::uint32_t random = 0);

}  // namespace karat::numerics
