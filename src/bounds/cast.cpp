// Through codes of 8 or 16 bits.
#include "cast.hpp"

#include <vector>

namespace karat::bounds {
namespace {

template <typename Code>
void through(std::span<float> x, numerics::FormatId format, numerics::Policy policy) {
  std::vector<Code> codes(x.size());
  numerics::encode(x, codes, format, policy);
  numerics::decode(codes, x, format);
}

}  // namespace

void cast(std::span<float> x, numerics::FormatId format, numerics::Policy policy) {
  if (format == numerics::FormatId::f32) return;
  if (numerics::format(format).bits <= 8) return through<std::uint8_t>(x, format, policy);
  through<std::uint16_t>(x, format, policy);
}

}  // namespace karat::bounds
