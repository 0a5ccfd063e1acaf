// Exchange between lanes, by the pseudocode of the PTX ISA and by hand.
#include "units/shuffle.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "registers.hpp"

namespace karat::ptx::units {
namespace {

/// PTX ISA, "shfl.sync", its pseudocode in its own words.
struct Shuffled {
  std::uint32_t value;
  bool predicate;
};
Shuffled by_the_isa(const std::string& mode, const Register& a, int lane, std::uint32_t b,
                    std::uint32_t c) {
  const int bval = static_cast<int>(b & 0x1F), cval = static_cast<int>(c & 0x1F);
  const int mask = static_cast<int>((c >> 8) & 0x1F);
  const int max_lane = (lane & mask) | (cval & ~mask), min_lane = lane & mask;
  int j = 0;
  bool p = false;
  if (mode == "up") j = lane - bval, p = j >= max_lane;
  if (mode == "down") j = lane + bval, p = j <= max_lane;
  if (mode == "bfly") j = lane ^ bval, p = j <= max_lane;
  if (mode == "idx") j = min_lane | (bval & ~mask), p = j <= max_lane;
  if (!p) j = lane;
  return {a[static_cast<std::size_t>(j)], p};
}

TEST(PtxShuffle, FollowsThePseudocode) {
  Words words(71);
  const auto a = words.next<std::uint32_t>();
  for (const std::string mode : {"idx", "bfly", "up", "down"}) {
    for (const std::uint32_t c :
         {0x1Fu, 0u, 0x1C1Fu, 0x1E1Fu, 0x181Fu, 0x1C00u, 0x1800u, 0x0Fu, 0x0307u}) {
      for (std::uint32_t b = 0; b < 34; ++b) {
        Register bs, cs, d = a;
        bs.fill(b);
        cs.fill(c);
        if (b == 33) bs = words.next<std::uint32_t>();
        const std::uint32_t predicate =
            shuffle(shuffle_mode(mode), d.data(), bs.data(), cs.data(), d.data());
        for (int lane = 0; lane < kLanes; ++lane) {
          const auto l = static_cast<std::size_t>(lane);
          const Shuffled want = by_the_isa(mode, a, lane, bs[l], c);
          ASSERT_EQ(d[l], want.value) << mode << lane << " " << b << " " << c;
          ASSERT_EQ((predicate >> lane) & 1, std::uint32_t{want.predicate});
        }
      }
    }
  }
  EXPECT_THROW(shuffle_mode("sideways"), Error);
}

// __shfl_sync(x, 1, 4), as FlashAttention-3 exchanges within quads.
TEST(PtxShuffle, WidthFourStaysInItsQuad) {
  Register a, b, c, d;
  for (std::uint32_t l = 0; l < kLanes; ++l) a[l] = 100 + l;
  b.fill(1);
  c.fill(0x1C1F);
  EXPECT_EQ(shuffle(ShuffleMode::idx, a.data(), b.data(), c.data(), d.data()), ~0u);
  for (std::uint32_t l = 0; l < kLanes; ++l) EXPECT_EQ(d[l], 100 + l / 4 * 4 + 1);
}

TEST(PtxShuffle, Votes) {
  EXPECT_TRUE(vote_all(0xF0, 0xFF));
  EXPECT_FALSE(vote_all(0xF0, 0x7F));
  EXPECT_TRUE(vote_any(0xF0, 0x10));
  EXPECT_FALSE(vote_any(0xF0, 0x0F));
  EXPECT_TRUE(vote_uni(0xF0, 0x0F));
  EXPECT_TRUE(vote_uni(0xF0, 0xF5));
  EXPECT_FALSE(vote_uni(0xF0, 0x35));
  EXPECT_EQ(vote_ballot(0xF0, 0x3C), 0x30u);
}

TEST(PtxShuffle, Matches) {
  Words words(72);
  Register a;
  WideRegister wide;
  for (std::size_t l = 0; l < kLanes; ++l) {
    a[l] = words.below(4);
    wide[l] = std::uint64_t{words.below(2)} << 40 | words.below(2);
  }
  const std::uint32_t members = 0xFFF0F0F5;
  Register d, w;
  match_any(members, a.data(), d.data());
  match_any(members, wide.data(), w.data());
  for (std::size_t l = 0; l < kLanes; ++l) {
    std::uint32_t same = 0, wide_same = 0;
    for (std::size_t o = 0; o < kLanes; ++o) {
      same |= std::uint32_t{a[o] == a[l]} << o;
      wide_same |= std::uint32_t{wide[o] == wide[l]} << o;
    }
    const bool member = (members >> l) & 1;
    EXPECT_EQ(d[l], member ? same & members : 0);
    EXPECT_EQ(w[l], member ? wide_same & members : 0);
  }
  EXPECT_EQ(match_all(members, a.data()), 0u);
  a.fill(9);
  a[1] = 8;  // not a member
  EXPECT_EQ(match_all(members, a.data()), members);
}

TEST(PtxShuffle, Reductions) {
  Words words(73);
  for (int round = 0; round < 50; ++round) {
    const auto a = words.next<std::uint32_t>();
    const std::uint32_t members = words.next32() | 1;
    std::uint32_t sum = 0, conjunction = ~0u, smallest = ~0u;
    std::int32_t largest = std::numeric_limits<std::int32_t>::min();
    float low = std::numeric_limits<float>::infinity();
    bool nan = false, number = false;
    for (std::size_t l = 0; l < kLanes; ++l) {
      if (((members >> l) & 1) == 0) continue;
      sum += a[l];
      conjunction &= a[l];
      smallest = std::min(smallest, a[l]);
      largest = std::max(largest, static_cast<std::int32_t>(a[l]));
      nan = nan || std::isnan(f32(a[l]));
      number = number || !std::isnan(f32(a[l]));
      if (!std::isnan(f32(a[l]))) low = std::min(low, f32(a[l]));
    }
    EXPECT_EQ(redux_op("redux.sync.add.s32")(members, a.data()), sum);
    EXPECT_EQ(redux_op("redux.sync.and.b32")(members, a.data()), conjunction);
    EXPECT_EQ(redux_op("redux.sync.min.u32")(members, a.data()), smallest);
    EXPECT_EQ(redux_op("redux.sync.max.s32")(members, a.data()),
              static_cast<std::uint32_t>(largest));
    const float least = f32(redux_op("redux.sync.min.f32")(members, a.data()));
    if (number) {
      EXPECT_EQ(least, low);
    }
    EXPECT_EQ(redux_op("redux.sync.min.NaN.f32")(members, a.data()) == 0x7FFFFFFF, nan);
  }
  EXPECT_THROW(redux_op("redux.sync.add.f32"), Error);
  EXPECT_THROW(redux_op("redux.sync.min.b32"), Error);
}

TEST(PtxShuffle, ElectTakesTheLowestLane) {
  EXPECT_EQ(elect(~0u), 0);
  EXPECT_EQ(elect(0x00F00000), 20);
}

}  // namespace
}  // namespace karat::ptx::units
