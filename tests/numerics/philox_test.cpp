// Philox4x32-10 against the known answers published with Random123 (kat_vectors).
// The array form must give the same words for every start and length.
#include <gtest/gtest.h>

#include <vector>

#include "karat/numerics/convert.hpp"
#include "karat/numerics/philox.hpp"

namespace karat::numerics {
namespace {

using Words = std::array<std::uint32_t, 4>;

TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, ArraysContinueTheStream) {
  for (std::uint64_t first : {0u, 1u, 2u, 3u, 4u, 1021u}) {
    for (std::size_t count : {0u, 1u, 3u, 64u, 1000u}) {
      std::vector<std::uint32_t> words(count);
      fill_random({.seed = 7, .stream = 9, .first = first}, words);
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(words[i], random_bits(7, 9, first + i));
    }
  }
}

TEST(Philox, UniformStaysInItsInterval) {
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_GE(random_uniform(1, 2, i), 0.0);
    EXPECT_LT(random_uniform(1, 2, i), 1.0);
  }
}

}  // namespace
}  // namespace karat::numerics
