// Implementation of random_normal.hpp.
#include "karat/numerics/random/normal.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::numerics {

void fill_normal(std::uint64_t seed, std::uint64_t stream, std::uint64_t first_block,
                 std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); i += 4) {
    const auto words = philox_block(seed, stream, first_block + i / 4);
    float values[4];
    for (int pair = 0; pair < 4; pair += 2) {
      const double radius = std::sqrt(-2 * ln_f64((words[pair] + 0.5) * 0x1p-32));
      const auto [sine, cosine] = sin_cos_turns(words[pair + 1] * 0x1p-32);
      values[pair] = static_cast<float>(radius * cosine);
      values[pair + 1] = static_cast<float>(radius * sine);
    }
    std::copy_n(values, std::min<std::size_t>(4, out.size() - i), out.begin() + i);
  }
}

}  // namespace karat::numerics
