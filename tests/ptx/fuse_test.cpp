// ptxas's rule for joining products and sums, on values whose rounding shows which was done.
#include <bit>
#include <cmath>

#include "kernel.hpp"

namespace karat::ptx {
namespace {

constexpr float kA = 1.0f + 0x1p-12f, kC = -1.0f;

struct Both {
  float apart, joined;
  std::uint64_t fused;
};

/// Runs a body with %f1 = %f2 = kA, %f3 = kC, result %f9, with and without the pass.
Both run_both(const std::string& body) {
  const std::string text = "mov.f32 %f1, 0f3F800800; mov.f32 %f2, %f1; mov.f32 %f3, 0fBF800000;\n" +
                           body + "\nst.global.f32 [%rd0], %f9;";
  Launch launch = launch_of(text, 1, 1);
  Both both;
  both.apart = std::bit_cast<float>(words_of(run(launch))[0]);
  launch.fuse = Fuse::ptxas;
  const Outcome outcome = run(launch);
  both.joined = std::bit_cast<float>(words_of(outcome)[0]);
  both.fused = outcome.fused;
  return both;
}

TEST(Fuse, AProductGoesIntoTheSumBehindIt) {
  const float square = kA * kA, exact = std::fma(kA, kA, kC);
  ASSERT_NE(square + kC, exact);
  const Both sum = run_both("mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3;");
  EXPECT_EQ(sum.apart, square + kC);
  EXPECT_EQ(sum.joined, exact);
  EXPECT_EQ(sum.fused, 1u);
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; add.f32 %f9, %f3, %f4;").joined, exact);
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; neg.f32 %f5, %f3; sub.f32 %f9, %f4, %f5;").joined,
            exact);
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; sub.f32 %f9, %f3, %f4;").joined,
            std::fma(-kA, kA, kC));
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; sub.f32 %f9, %f4, 0f3F800000;").joined, exact);
}

TEST(Fuse, RoundingModifiersBranchesAndFlushesKeepThemApart) {
  for (const char* body : {"mul.rn.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3;",
                           "mul.f32 %f4, %f1, %f2; add.rn.f32 %f9, %f4, %f3;",
                           "mul.ftz.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3;",
                           "mul.f32 %f4, %f1, %f2; bra L; L: add.f32 %f9, %f4, %f3;"}) {
    const Both both = run_both(body);
    EXPECT_EQ(both.apart, both.joined) << body;
    EXPECT_EQ(both.fused, 0u) << body;
  }
  EXPECT_EQ(run_both("mul.ftz.f32 %f4, %f1, %f2; add.ftz.f32 %f9, %f4, %f3;").fused, 1u);
}

TEST(Fuse, OfTwoProductsTheOneWithASingleUseIsJoined) {
  // %f4 is used twice, %f5 once: fma(f1, f3, f4)
  const Both both = run_both(
      "mul.f32 %f4, %f1, %f2; mul.f32 %f5, %f1, %f3; add.f32 %f9, %f4, %f5; mov.f32 %f6, %f4;");
  EXPECT_EQ(both.joined, std::fma(kA, kC, kA * kA));
  EXPECT_EQ(both.fused, 1u);
}

TEST(Fuse, ProductsThatAllHaveOtherUsesStay) {
  for (const char* body :
       {"mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f4;",
        "mul.f32 %f4, %f1, %f2; mul.f32 %f5, %f1, %f3; add.f32 %f9, %f4, %f5; mov.f32 %f6, %f4; "
        "mov.f32 %f7, %f5;",
        "mul.f32 %f4, %f1, %f2; setp.ne.u32 %p1, 0, 0; @%p1 exit; add.f32 %f9, %f4, %f3;"})
    EXPECT_EQ(run_both(body).fused, 0u) << body;
}

TEST(Fuse, SaturatedSumsTakeProductsIn) {
  const Both both = run_both("mul.f32 %f4, %f1, %f2; add.sat.f32 %f9, %f4, %f3;");
  EXPECT_EQ(both.joined, std::fma(kA, kA, kC));
  EXPECT_EQ(both.fused, 1u);
}

TEST(Fuse, AProductWithSeveralUsesIsJoinedIntoEach) {
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3; add.f32 %f8, %f4, %f1;").fused,
            2u);
}

}  // namespace
}  // namespace karat::ptx
