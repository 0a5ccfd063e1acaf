// dO of a case that was given none.
#include <cmath>

#include "karat/case/inputs.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/random/normal.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::cases {
namespace {

/// Philox streams "do" and "de" of values and sizes; the workload's are small numbers.
constexpr std::uint64_t kValueStream = 0x646f000000000000;
constexpr std::uint64_t kSizeStream = 0x6465000000000000;

}  // namespace

std::vector<float> generated_output_gradient(std::uint64_t seed, std::size_t batch,
                                             std::size_t head, std::size_t tokens,
                                             std::size_t channels) {
  const std::uint64_t place = static_cast<std::uint64_t>(batch) << 24 | head;
  std::vector<float> values(tokens * channels);
  numerics::fill_normal(seed, kValueStream | place, 0, values);
  for (std::size_t token = 0; token < tokens; ++token) {
    const auto smaller =
        static_cast<int>(numerics::random_bits(seed, kSizeStream | place, token) % 4);
    for (std::size_t j = 0; j < channels; ++j) {
      float& value = values[token * channels + j];
      value = std::ldexp(value, -smaller);
    }
  }
  std::vector<std::uint16_t> codes(values.size());
  numerics::encode(values, codes, numerics::FormatId::bf16, {});
  numerics::decode(codes, values, numerics::FormatId::bf16);
  return values;
}

}  // namespace karat::cases
