// Random matrices, and D by the scalar definition of the instruction, element by element.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "registers.hpp"
#include "units/wgmma.hpp"

namespace karat::ptx::units {

/// rows x k codes of `bytes` bytes.
struct Codes {
  std::size_t rows, k;
  std::vector<std::uint32_t> of;
  std::uint32_t& operator()(std::size_t row, std::size_t i) { return of[row * k + i]; }
  std::uint32_t operator()(std::size_t row, std::size_t i) const { return of[row * k + i]; }
};

inline int bytes_of(const std::string& type) {
  return type == "f16" || type == "bf16" ? 2 : type == "tf32" ? 4 : 1;
}

/// Numbers whose sums neither vanish nor overflow at once, and now and then a special one.
inline std::uint32_t random_code(const std::string& type, Words& words, bool specials) {
  const bool special = specials && words.below(400) == 0;
  const std::uint32_t x = words.next32() ^ words.next32() << 7;
  if (type == "e4m3") return special ? 0x7F : (x & 0xFF) % 0x7F | (x & 0x80);
  if (type == "e5m2") return special ? 0x7C + x % 4 : (x & 0x80) | (0x20 + x % 0x40);
  if (type == "f16") return special ? 0x7C00 | (x & 1) : (x & 0x8000) | (0x2000 + x % 0x2800);
  if (type == "bf16") return special ? 0x7F80 | (x & 1) : (x & 0x8000) | (0x3C00 + x % 0x0600);
  if (type == "tf32")
    return special ? 0x7F800000 : (x & 0x80001FFF) | (0x3C000000 + (x << 3) % 0x06000000);
  return x & 0xFF;
}
inline Codes random_codes(const std::string& type, std::size_t rows, std::size_t k, Words& words,
                          bool specials) {
  Codes codes{rows, k, std::vector<std::uint32_t>(rows * k)};
  for (auto& code : codes.of) code = random_code(type, words, specials);
  return codes;
}

inline std::uint32_t negated(const std::string& type, std::uint32_t code, bool minus) {
  return minus ? code ^ 1u << (8 * bytes_of(type) - 1) : code;
}

/// One element by definition: integers in 64 bits, the others by chain_bits().
inline std::uint32_t element(const std::string& row, const std::string& a_type,
                             const std::string& b_type, bool a_minus, bool b_minus, bool saturate,
                             const Codes& a, std::size_t i, const Codes& b, std::size_t j,
                             std::uint32_t c) {
  if (a_type == "s8" || a_type == "u8") {
    const auto value = [](const std::string& type, std::uint32_t code) {
      return type == "s8" ? std::int64_t{static_cast<std::int8_t>(code)} : std::int64_t{code};
    };
    std::int64_t sum = static_cast<std::int32_t>(c);
    for (std::size_t k = 0; k < a.k; ++k) sum += value(a_type, a(i, k)) * value(b_type, b(j, k));
    using Limits = std::numeric_limits<std::int32_t>;
    if (saturate) sum = std::clamp<std::int64_t>(sum, Limits::min(), Limits::max());
    return static_cast<std::uint32_t>(sum);
  }
  std::vector<std::uint32_t> x(a.k), y(a.k);
  const int drop = a_type == "tf32" ? 13 : 0;
  for (std::size_t k = 0; k < a.k; ++k) {
    x[k] = negated(a_type, a(i, k), a_minus) >> drop;
    y[k] = negated(b_type, b(j, k), b_minus) >> drop;
  }
  return numerics::chain_bits(numerics::instruction(row), x, y, c);
}

}  // namespace karat::ptx::units
