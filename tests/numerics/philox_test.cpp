// Philox4x32-10 against the known answers published with Random123 (kat_vectors).
// The array form must give the same words for every start and length.
#include <gtest/gtest.h>

#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/random/philox.hpp"
#include "targets.hpp"

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
  // The last start makes the low counter word wrap inside the array.
  constexpr std::uint64_t kSeed = 0x123456789abcdef0, kStream = 0xfedcba9876543210;
  testing::for_each_target([&](const std::string& target) {
    for (std::uint64_t first : {0ull, 1ull, 2ull, 3ull, 4ull, 1021ull, (1ull << 34) - 100}) {
      for (std::size_t count : {0u, 1u, 3u, 64u, 1000u}) {
        std::vector<std::uint32_t> words(count);
        fill_random({.seed = kSeed, .stream = kStream, .first = first}, words);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_EQ(words[i], random_bits(kSeed, kStream, first + i)) << target;
        }
      }
    }
  });
}

TEST(Philox, UniformStaysInItsInterval) {
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_GE(random_uniform(1, 2, i), 0.0);
    EXPECT_LT(random_uniform(1, 2, i), 1.0);
  }
}

}  // namespace
}  // namespace karat::numerics
