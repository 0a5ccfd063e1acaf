// Fragments: each element of D and A has exactly one holder; spots from the PTX ISA's figures.
#include "karat/golden/fragment.hpp"

#include <gtest/gtest.h>

#include <map>

namespace karat::golden {
namespace {

TEST(Fragment, AccumulatorCoversEveryElementOnceAndInverts) {
  for (const int n : {8, 64, 128, 256}) {
    std::map<std::pair<int, int>, int> seen;
    for (int thread = 0; thread < kWarpgroupThreads; ++thread)
      for (int r = 0; r < n / 2; ++r) {
        const FragmentPlace place = accumulator_place(thread, r);
        ++seen[{place.row, place.column}];
        const FragmentHolder holder = accumulator_holder(place);
        EXPECT_EQ(holder.thread, thread);
        EXPECT_EQ(holder.word, r);
      }
    EXPECT_EQ(seen.size(), 64u * n);
    EXPECT_EQ(seen.rbegin()->first, (std::pair{63, n - 1}));
  }
}

TEST(Fragment, OperandACoversEveryElementOnce) {
  for (const int bits : {8, 16}) {
    const int k = 256 / bits;
    std::map<std::pair<int, int>, int> seen;
    for (int thread = 0; thread < kWarpgroupThreads; ++thread)
      for (int e = 0; e < 4 * (32 / bits); ++e) {
        const FragmentPlace place = a_operand_place(thread, e, bits);
        ++seen[{place.row, place.column}];
      }
    EXPECT_EQ(seen.size(), 64u * k);
    EXPECT_EQ(seen.rbegin()->first, (std::pair{63, k - 1}));
  }
}

// PTX ISA, wgmma D fragment: T0 holds (0,0) (0,1) (8,0) (8,1) (0,8) ..., T4 starts row 1, warp 1
// row 16.
TEST(Fragment, FigureOfD) {
  EXPECT_EQ(accumulator_place(0, 0), (FragmentPlace{0, 0}));
  EXPECT_EQ(accumulator_place(0, 1), (FragmentPlace{0, 1}));
  EXPECT_EQ(accumulator_place(0, 2), (FragmentPlace{8, 0}));
  EXPECT_EQ(accumulator_place(0, 4), (FragmentPlace{0, 8}));
  EXPECT_EQ(accumulator_place(3, 0), (FragmentPlace{0, 6}));
  EXPECT_EQ(accumulator_place(4, 0), (FragmentPlace{1, 0}));
  EXPECT_EQ(accumulator_place(32, 0), (FragmentPlace{16, 0}));
}

// PTX ISA, A of k32: a0..a3 columns 4*(lane%4)+i of row lane/4, a4..a7 eight rows below, a8.. 16
// on.
TEST(Fragment, FigureOfA) {
  EXPECT_EQ(a_operand_place(1, 0, 8), (FragmentPlace{0, 4}));
  EXPECT_EQ(a_operand_place(1, 4, 8), (FragmentPlace{8, 4}));
  EXPECT_EQ(a_operand_place(1, 8, 8), (FragmentPlace{0, 20}));
  EXPECT_EQ(a_operand_place(1, 2, 16), (FragmentPlace{8, 2}));
  EXPECT_EQ(a_operand_place(1, 4, 16), (FragmentPlace{0, 10}));
}

}  // namespace
}  // namespace karat::golden
