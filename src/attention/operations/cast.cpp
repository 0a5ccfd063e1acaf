// Through codes of 8 or 16 bits, a piece at a time.
#include "karat/attention/operations/cast.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "karat/numerics/random/philox.hpp"

namespace karat::attention {
namespace {

template <typename Code>
void through(std::span<float> x, numerics::FormatId format, numerics::Policy policy,
             std::uint64_t first, std::span<Code> codes) {
  numerics::encode(x, codes, format, policy, {.first = first});
  numerics::decode(codes, x, format);
}

template <typename Code>
void through(std::span<float> x, numerics::FormatId format, numerics::Policy policy,
             numerics::Path path, std::span<Code> kept) {
  std::array<Code, 512> piece;
  for (std::size_t first = 0; first < x.size(); first += piece.size()) {
    const std::size_t count = std::min(piece.size(), x.size() - first);
    const std::span codes =
        kept.empty() ? std::span(piece).first(count) : kept.subspan(first, count);
    if (path == numerics::Path::fast) {
      through(x.subspan(first, count), format, policy, first, codes);
      continue;
    }
    for (std::size_t n = 0; n < count; ++n) {
      const bool stochastic = policy.rounding == numerics::Rounding::stochastic;
      const std::uint32_t random = stochastic ? numerics::random_bits(0, 0, first + n) : 0;
      float& value = x[first + n];
      codes[n] = static_cast<Code>(numerics::encode(value, format, policy, random));
      value = numerics::decode(codes[n], format);
    }
  }
}

}  // namespace

void cast(std::span<float> x, numerics::FormatId format, numerics::Policy policy,
          numerics::Path path, std::span<std::uint8_t> codes) {
  if (format == numerics::FormatId::f32) return;
  if (numerics::format(format).bits <= 8) return through(x, format, policy, path, codes);
  through<std::uint16_t>(x, format, policy, path, {});
}

void cast(std::span<numerics::Interval> x, numerics::FormatId format, numerics::Policy policy,
          numerics::Path path) {
  if (format == numerics::FormatId::f32) return;
  std::vector<float> ends(2 * x.size());
  const std::span low(ends.data(), x.size()), high(&ends[x.size()], x.size());
  for (std::size_t n = 0; n < x.size(); ++n) {
    low[n] = x[n].low;
    high[n] = x[n].high;
  }
  cast(low, format, policy, path);
  cast(high, format, policy, path);
  for (std::size_t n = 0; n < x.size(); ++n) x[n] = {low[n], high[n]};
}

}  // namespace karat::attention
