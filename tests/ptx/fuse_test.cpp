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
      "mul.f32 %f4, %f1, %f2; mul.f32 %f5, %f1, %f3; add.f32 %f9, %f4, %f5; st.global.f32 [%rd0], "
      "%f4;");
  EXPECT_EQ(both.joined, std::fma(kA, kC, kA * kA));
  EXPECT_EQ(both.fused, 1u);
  // Of two that are used once, the first operand: fma(f1, f2, f5)
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; mul.f32 %f5, %f1, %f3; add.f32 %f9, %f4, %f5;").joined,
            std::fma(kA, kA, kA * kC));
}

/// Cases in which ptxas 12.9 was looked at, and the joined sums it makes of them: p = %f4, q = %f5.
TEST(Fuse, GoesByAllUsesOfAProduct) {
  const std::string p = "mul.f32 %f4, %f1, %f2; ", q = "mul.f32 %f5, %f1, %f3; ";
  const std::string p_out = "st.global.f32 [%rd0], %f4; ", q_out = "st.global.f32 [%rd0], %f5; ";
  const std::string pq = "add.f32 %f9, %f4, %f5; ", qp = "add.f32 %f9, %f5, %f4; ";
  const std::string pc = "add.f32 %f6, %f4, %f3; ", qd = "add.f32 %f7, %f5, %f1; ";
  const std::string minus = "neg.f32 %f8, %f4; ";
  const struct {
    std::string body;
    std::uint64_t joined;
  } cases[] = {
      {p + pc + p_out, 0},                         // a use that is no sum keeps it
      {p + q + pq + pc + qd, 2},                   // p into both, q + d stays
      {p + q + qp + qd + pc, 2},                   // q into both
      {p + q + pq + pc, 1},                        // q has fewer uses
      {p + q + pc + pq, 1},                        // and has the right of way before it comes
      {p + q + pc + qp + qd, 3},                   // a tie: p into its first, q into its own
      {p + q + pq + qd + p_out, 2},                // p cannot
      {p + q + pq + p_out + q_out, 0},             //
      {p + "add.rn.f32 %f9, %f4, %f3; " + pc, 0},  //
      {p + "add.f32 %f9, %f4, %f4; " + pc, 0},     //
      {p + "fma.rn.f32 %f9, %f1, %f2, %f4; " + pc, 0},
      {p + "mov.f32 %f8, %f4; add.f32 %f9, %f8, %f3; ", 1},  // mov and neg are passed through
      {p + "mov.b32 %r1, %f4; mov.b32 %f8, %r1; add.f32 %f9, %f8, %f3; ", 1},
      {p + minus + "add.f32 %f9, %f8, %f3; " + pc, 2},
      {p + minus + "add.f32 %f9, %f8, %f3; " + p_out, 0},
      {p + "add.f32 %f1, %f1, %f3; add.f32 %f9, %f4, %f3; ", 1},  // a factor is overwritten
      {"mul.f32 %f1, %f1, %f2; add.f32 %f9, %f1, %f3; ", 1},
      {"@%p1 mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3; ", 0},
      {p + "@!%p1 add.f32 %f9, %f4, %f3; ", 1},
      {p + pc + "bra L; L: add.f32 %f9, %f4, %f3; ", 0},  // used in another block too
      {"mul.f64 %fd1, %fd2, %fd3; add.f64 %fd4, %fd1, %fd5; ", 1},
      {"mul.f16x2 %r1, %r2, %r3; sub.f16x2 %r4, %r5, %r1; ", 1},
      {"mul.rn.bf16x2 %r1, %r2, %r3; add.bf16x2 %r4, %r1, %r5; ", 0},
      {"mul.bf16 %rs1, %rs2, %rs3; add.bf16 %rs4, %rs1, %rs5; ", 1},
  };
  for (const auto& each : cases) EXPECT_EQ(run_both(each.body).fused, each.joined) << each.body;
}

TEST(Fuse, AnAccumulatorOfWgmmaIsAnotherUse) {
  const auto fused = [](const std::string& accumulator) {
    Launch launch = launch_of(
        "mov.b64 %rd1, 4611686293305294848; or.b64 %rd1, %rd1, 64;\n"
        "mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f3; wgmma.fence.sync.aligned; "
        "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {" +
            accumulator +
            "}, %rd1, %rd1, 1, 1, 1; wgmma.commit_group.sync.aligned; "
            "wgmma.wait_group.sync.aligned 0;",
        128, 1, ".extern .shared .align 1024 .b8 pool[];\n");
    launch.dynamic_shared = 16384;
    launch.fuse = Fuse::ptxas;
    const Outcome outcome = run(launch);
    EXPECT_EQ(outcome.fault.value_or(""), "");
    return outcome.fused;
  };
  EXPECT_EQ(fused("%f5, %f6, %f7, %f8"), 1u);
  EXPECT_EQ(fused("%f4, %f6, %f7, %f8"), 0u);
}

TEST(Fuse, PassesSignsAndOldFactorsOn) {
  const float exact = std::fma(kA, kA, kC), negative = std::fma(-kA, kA, kC);
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; neg.f32 %f5, %f4; add.f32 %f9, %f5, %f3;").joined,
            negative);
  EXPECT_EQ(run_both("mul.f32 %f4, %f1, %f2; neg.f32 %f5, %f4; sub.f32 %f9, %f3, %f5;").joined,
            exact);
  EXPECT_EQ(
      run_both("mul.f32 %f4, %f1, %f2; mov.f32 %f1, 0f40000000; mov.f32 %f2, %f1; bar.sync 0; "
               "add.f32 %f9, %f4, %f3;")
          .joined,
      exact);
  // A loop that jumps to the product: its copy is made in every round.
  EXPECT_EQ(
      run_both("mov.u32 %r1, 0;\nL: mul.f32 %f4, %f1, %f2; add.f32 %f1, %f1, 0f00000000; "
               "add.f32 %f9, %f4, %f3; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 3; @%p1 bra "
               "L;")
          .joined,
      exact);
}

TEST(Fuse, ProductsThatAllHaveOtherUsesStay) {
  for (const char* body :
       {"mul.f32 %f4, %f1, %f2; add.f32 %f9, %f4, %f4;",
        "mul.f32 %f4, %f1, %f2; mul.f32 %f5, %f1, %f3; add.f32 %f9, %f4, %f5; st.global.f32 "
        "[%rd0], %f4; st.global.f32 [%rd0], %f5;",
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
