// Readings of PTX that are easily missed: widths, special values, forms that seldom occur.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kShared = ".shared .align 16 .b8 tile[1024];\n";

/// %r1 to %r4 of one thread.
std::string store_four() { return "st.global.v4.u32 [%rd0], {%r1, %r2, %r3, %r4};"; }

TEST(Readings, FunctionsThatReturnAreReadThoughNotCalled) {
  const std::string function =
      ".func (.param .b32 out) twice (.param .b32 in, .reg .b32 more) {\n.reg .b32 %a;\n"
      "ld.param.b32 %a, [in]; add.u32 %a, %a, more; st.param.b32 [out], %a; ret; }\n";
  EXPECT_EQ(run_kernel("st.global.u32 [%rd0], 5;", 1, 1, function)[0], 5u);
}

TEST(Readings, ParametersOfACallAreMemoryOfTheThread) {
  EXPECT_THAT(run_kernel("{ .param .b32 given; .param .align 8 .b8 more[16]; st.param.b32 "
                         "[given+0], %r0; st.param.b32 [more+8], 7;\n"
                         "ld.param.b32 %r1, [given]; ld.param.b32 %r2, [more+8]; add.u32 %r1, %r1, "
                         "%r2; }" +
                             store_per_thread("%r1"),
                         3, 3),
              ElementsAre(7, 8, 9));
}

TEST(Readings, HalvesRoundToWholeNumbers) {
  // 2.5 and 2.75 in f16, 2.5 in bf16
  EXPECT_THAT(run_kernel("mov.b16 %rs1, 0x4100; mov.b16 %rs2, 0x4180; mov.b16 %rs3, 0x4020;\n"
                         "cvt.rni.f16.f16 %rs4, %rs1; cvt.rzi.f16.f16 %rs5, %rs2; "
                         "cvt.rpi.f16.f16 %rs6, %rs2; cvt.rmi.bf16.bf16 %rs7, %rs3;\n"
                         "cvt.u32.u16 %r1, %rs4; cvt.u32.u16 %r2, %rs5; cvt.u32.u16 %r3, %rs6; "
                         "cvt.u32.u16 %r4, %rs7;" +
                             store_four(),
                         1, 4),
              ElementsAre(0x4000, 0x4000, 0x4200, 0x4000));
}

TEST(Readings, IntegersBecomeNumbersInEveryRounding) {
  EXPECT_THAT(run_kernel("mov.u32 %r1, 2049; cvt.rz.f16.s32 %rs1, %r1; cvt.rp.f16.s32 %rs2, %r1;\n"
                         "cvt.u32.u16 %r1, %rs1; cvt.u32.u16 %r2, %rs2; mov.b64 %rd1, "
                         "9007199254740993; cvt.rz.f64.s64 %fd1, %rd1; cvt.rp.f64.s64 %fd2, %rd1;\n"
                         "mov.b64 {%r3, %r5}, %fd1; mov.b64 {%r4, %r5}, %fd2;" +
                             store_four(),
                         1, 4),
              ElementsAre(0x6800, 0x6801, 0, 1));
}

TEST(Readings, SaturatedIntegersLieBetweenZeroAndOne) {
  EXPECT_THAT(run_kernel("cvt.rn.sat.f32.s32 %f1, 7; cvt.rn.sat.f32.s32 %f2, -3; "
                         "cvt.rn.sat.f16.u32 %rs1, 9; mov.b32 %r1, %f1; mov.b32 %r2, %f2; "
                         "cvt.u32.u16 %r3, %rs1; mov.u32 %r4, 0;" +
                             store_four(),
                         1, 4),
              ElementsAre(0x3F800000, 0, 0x3C00, 0));
}

TEST(Readings, SumsOfF32InGlobalMemoryHaveNoSubnormals) {
  EXPECT_THAT(
      run_kernel("st.global.u32 [%rd0], 1; st.global.u32 [%rd0+4], 0x80000001; mov.f32 %f1, "
                 "0f00000000; mov.f32 %f2, 0f80000000; st.shared.u32 [tile], 1;\n"
                 "red.global.add.f32 [%rd0], %f1; red.add.f32 [%rd0+4], %f2; red.shared.add.f32 "
                 "[tile], %f1; ld.shared.u32 %r1, [tile]; st.global.u32 [%rd0+8], %r1;",
                 1, 3, kShared),
      ElementsAre(0, 0x80000000, 1));
}

TEST(Readings, NarrowResultsFillTheirRegister) {
  EXPECT_THAT(run_kernel("mov.u32 %r5, 0x1FFFB; cvt.s16.s32 %r1, %r5; cvt.u16.u32 %r2, %r5; "
                         "cvt.s8.s32 %r3, %r5; cvt.s8.s32 %rd1, %r5; mov.b64 {%r6, %r4}, %rd1;" +
                             store_four(),
                         1, 4),
              ElementsAre(0xFFFFFFFB, 0xFFFB, 0xFFFFFFFB, 0xFFFFFFFF));
}

TEST(Readings, PackedResultsKeepBothHalves) {
  EXPECT_THAT(
      run_kernel("mov.u32 %r5, -3; mov.u32 %r6, 70000; cvt.pack.sat.s16.s32 %r1, %r5, %r6; "
                 "cvt.pack.sat.u8.s32.b32 %r2, %r6, 9, %r1; mov.u32 %r3, 0; mov.u32 %r4, 0;" +
                     store_four(),
                 1, 4),
      ElementsAre(0xFFFD7FFF, 0x7FFFFF09, 0, 0));
}

TEST(Readings, ComparisonsFlushAndCountZeroAsNormal) {
  EXPECT_THAT(run_kernel("mov.b16 %rs1, 1; mov.b16 %rs2, 0; setp.eq.ftz.f16 %p1, %rs1, %rs2; "
                         "setp.eq.f16 %p2, %rs1, %rs2; testp.normal.f32 %p3, 0f80000000; "
                         "testp.normal.f32 %p4, 0f00000001; selp.u32 %r1, 1, 0, %p1; selp.u32 %r2, "
                         "1, 0, %p2; selp.u32 %r3, 1, 0, %p3; selp.u32 %r4, 1, 0, %p4;" +
                             store_four(),
                         1, 4),
              ElementsAre(1, 0, 1, 0));
}

TEST(Readings, AtomicsOfPairsVectorsAndSixteenBits) {
  EXPECT_THAT(
      run_kernel("st.global.v4.u32 [%rd0], {0x3C003C00, 0, 0, 0}; mov.u32 %r1, 0x40003C00;\n"
                 "atom.global.add.noftz.f16x2 %r2, [%rd0], %r1; mov.f32 %f1, 0f3F800000;\n"
                 "red.global.add.v4.f32 [%rd0+16], {%f1, %f1, %f1, %f1}; mov.b16 %rs1, 0; mov.b16 "
                 "%rs2, 77;\n"
                 "atom.global.cas.b16 %rs3, [%rd0+4], %rs1, %rs2; st.global.u32 [%rd0+12], %r2;",
                 1, 8),
      ElementsAre(0x42004000, 77, 0, 0x3C003C00, 0x3F800000, 0x3F800000, 0x3F800000, 0x3F800000));
}

TEST(Readings, SpecialRegistersComeAsVectors) {
  EXPECT_THAT(run_kernel("mov.v4.u32 {%r1, %r2, %r3, %r4}, %ntid;" + store_four(), 8, 4),
              ElementsAre(8, 1, 1, 0));
}

TEST(Readings, LogicOfThreeGivesAPredicate) {
  EXPECT_THAT(
      run_kernel("setp.ne.u32 %p1, 0, 0; setp.eq.u32 %p2, 0, 0; mov.u32 %r5, 12; mov.u32 %r6, 10;\n"
                 "lop3.or.b32 %r1|%p3, %r5, %r6, %r6, 0xC0, %p1; lop3.and.b32 %r2|%p4, %r5, 0, 0, "
                 "0xC0, %p2; selp.u32 %r3, 1, 0, %p3; selp.u32 %r4, 1, 0, %p4;" +
                     store_four(),
                 1, 4),
      ElementsAre(8, 0, 1, 0));
}

TEST(Readings, SetWritesOnesOrOne) {
  EXPECT_THAT(run_kernel("setp.eq.u32 %p1, 0, 0; mov.f32 %f1, 0f3F800000; set.lt.u32.f32 %r1, %f1, "
                         "0f40000000; set.gt.f32.s32 %f2, 3, -3; set.lt.and.s32.u32 %r3, 1, 2, "
                         "!%p1; mov.b32 %r2, %f2; mov.u32 %r4, 0;" +
                             store_four(),
                         1, 4),
              ElementsAre(0xFFFFFFFF, 0x3F800000, 0, 0));
}

TEST(Readings, CarriesJoinWords) {
  // 0xFFFFFFFF_FFFFFFFF + 1, 0 - 1, and the high half of a square
  EXPECT_THAT(run_kernel("mov.u32 %r5, -1; add.cc.u32 %r6, %r5, 1; addc.cc.u32 %r7, %r5, 0; "
                         "addc.u32 %r1, 0, 0; sub.cc.u32 %r6, 0, 1; subc.u32 %r2, 5, 0;\n"
                         "mad.lo.cc.u32 %r3, %r5, %r5, %r5; madc.hi.u32 %r4, %r5, %r5, 0;" +
                             store_four(),
                         1, 4),
              ElementsAre(1, 4, 0, 0xFFFFFFFF));
}

TEST(Readings, LaunchesKeepToWhatTheKernelAllows) {
  Launch launch = launch_of("ret;", 64, 1);
  launch.ptx.replace(launch.ptx.find("buffer) {"), 9, "buffer) .maxntid 32, 1, 1 {");
  try {
    run(launch);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "block: k takes at most 32 threads a CTA");
  }
  const Launch large =
      launch_of("ret;", 1, 1, ".global .b8 one[200000000];\n.global .b8 two[200000000];\n");
  EXPECT_EQ(refusal_of(large), "k.ptx:4: the module's variables exceed 256 MiB");
}

TEST(Readings, OnlyConversionsMixWidths) {
  for (const char* body : {"add.u64 %rd1, %rd0, %r1;", "add.u32 %r1, %r2, %rd1;",
                           "mov.b32 %r1, %rd1;", "add.u32 %r1, %r2, %rs1;", "mov.u64 %rd1, %r1;"})
    EXPECT_THAT(refusal_of(launch_of(body, 1, 1)), testing::HasSubstr(" bits, ")) << body;
  for (const char* body :
       {"cvt.u32.u16 %r1, %rd1;", "cvt.u64.u32 %rd1, %r1;", "mul.wide.u16 %r1, %rs1, %rs2;",
        "shl.b16 %rs1, %rs2, %r1;", "st.global.u32 [%rd0], %rd1;", "ld.global.u8 %rd1, [%rd0];"})
    EXPECT_EQ(refusal_of(launch_of(body, 1, 1)), "accepted") << body;
}

TEST(Readings, TheLimitIsTheLastOperationThatMayRun) {
  Launch launch = launch_of("ret;", 1, 1);
  launch.limit = 3;
  EXPECT_EQ(run(launch).fault.value_or(""), "");
  launch.limit = 2;
  EXPECT_THAT(run(launch).fault.value_or(""), HasSubstr("the limit of 2 "));
}

/// 1 and -2 in the halves against -1 and -2: p is the low half's, q the high half's.
TEST(Readings, ComparisonsOfHalvesGiveOneEach) {
  const auto words = run_kernel(
      "mov.u32 %r1, 0xC0003C00; mov.u32 %r2, 0xC000BC00; mov.u32 %r9, 0;\n"
      "setp.gt.f16x2 %p1|%p2, %r1, %r2; setp.ge.f16x2 %p3|%p4, %r1, %r2;\n"
      "setp.ne.u32 %p9, %r9, 0; setp.ge.or.f16x2 %p5|%p6, %r2, %r1, %p9;\n"
      "selp.u32 %r3, 1, 0, %p1; @%p2 add.u32 %r3, %r3, 2; @%p3 add.u32 %r3, %r3, 4; @%p4 add.u32 "
      "%r3, %r3, 8; @%p5 add.u32 %r3, %r3, 16; @%p6 add.u32 %r3, %r3, 32; st.global.u32 [%rd0], "
      "%r3;\n"
      "set.gt.f16x2.f16x2 %r4, %r1, %r2; st.global.u32 [%rd0+4], %r4;\n"
      "set.eq.u32.f16x2 %r4, %r1, %r2; st.global.u32 [%rd0+8], %r4;\n"
      "mov.u32 %r1, 0x7FC03F80; set.equ.bf16x2.bf16x2 %r4, %r1, %r1; st.global.u32 [%rd0+12], "
      "%r4;\n"
      "set.eq.s32.bf16x2 %r4, %r1, %r1; st.global.u32 [%rd0+16], %r4;",
      1, 5);
  EXPECT_THAT(words,
              testing::ElementsAre(1 + 4 + 8 + 32, 0x3C00u, 0xFFFF0000u, 0x3F803F80u, 0xFFFFu));
}

}  // namespace
}  // namespace karat::ptx
