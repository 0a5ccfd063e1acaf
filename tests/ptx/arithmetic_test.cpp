// Registers, constants, moves and predicates around the lane operations, which have tests of their
// own.
#include <bit>

#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::Each;
using testing::ElementsAre;

TEST(Arithmetic, EachThreadHasItsOwnRegisters) {
  const auto words = run_kernel(
      "mul.lo.s32 %r1, %r0, %r0; add.s32 %r1, %r1, -3;" + store_per_thread("%r1"), 70, 70);
  for (std::uint32_t i = 0; i < 70; ++i) EXPECT_EQ(words[i], i * i - 3);
}

TEST(Arithmetic, PredicatesChooseAndCombine) {
  // lanes 4 to 9 and 20: 1, the others 2
  const auto words = run_kernel(
      "setp.ge.u32 %p1, %r0, 4; setp.lt.and.u32 %p2, %r0, 10, %p1; setp.eq.u32 %p3|%p4, %r0, 20;"
      "or.pred %p5, %p2, %p3; selp.b32 %r1, 1, 2, %p5; @!%p4 add.u32 %r1, %r1, 100;" +
          store_per_thread("%r1"),
      32, 32);
  for (std::uint32_t i = 0; i < 32; ++i)
    EXPECT_EQ(words[i], i == 20 ? 101u : i >= 4 && i < 10 ? 1u : 2u) << i;
}

TEST(Arithmetic, VectorsPackAndUnpack) {
  const auto words = run_kernel(
      "mov.b32 {%rs1, %rs2}, 0x12345678; mov.b32 %r1, {%rs2, %rs1};"
      "mov.b64 %rd1, {%r1, 7}; add.u64 %rd1, %rd1, 1; mov.b64 {%r2, %r3}, %rd1;"
      "st.global.v4.b32 [%rd0], {%r1, %r2, %r3, 9};",
      1, 4);
  EXPECT_THAT(words, ElementsAre(0x56781234, 0x56781235, 7, 9));
}

TEST(Arithmetic, FloatsAreWrittenAsBits) {
  const auto words = run_kernel(
      "mov.f32 %f1, 0f3F800000; fma.rn.f32 %f2, %f1, 0f40000000, 0f40400000; neg.f32 %f3, %f2;"
      "st.global.f32 [%rd0], %f2; st.global.f32 [%rd0+4], %f3; mov.b32 %r1, -1;"
      "st.global.b32 [%rd0+8], %r1;",
      1, 3);
  EXPECT_EQ(std::bit_cast<float>(words[0]), 5);
  EXPECT_EQ(std::bit_cast<float>(words[1]), -5);
  EXPECT_EQ(words[2], 0xFFFFFFFF);
}

TEST(Arithmetic, NarrowLoadsExtendToTheRegister) {
  const auto words = run_kernel(
      "mov.b32 %r1, 0x000080F0; st.global.b32 [%rd0], %r1; ld.global.s8 %r2, [%rd0];"
      "ld.global.u8 %r3, [%rd0]; ld.global.s16 %r4, [%rd0]; ld.global.s8 %rs1, [%rd0];"
      "cvt.u32.u16 %r5, %rs1; st.global.v4.b32 [%rd0], {%r2, %r3, %r4, %r5};",
      1, 4);
  EXPECT_THAT(words, ElementsAre(0xFFFFFFF0, 0xF0, 0xFFFF80F0, 0xFFF0));
}

TEST(Arithmetic, SpecialRegistersCountThreadsInThreeDimensions) {
  Launch launch = launch_of(
      "mov.u32 %r1, %tid.y; mov.u32 %r2, %tid.z; mov.u32 %r3, %ntid.x; mov.u32 %r4, %ctaid.y;"
      "mad.lo.u32 %r5, %r2, 2, %r1; mad.lo.u32 %r5, %r5, %r3, %r0; mad.lo.u32 %r5, %r4, 12, %r5;"
      "mad.lo.u32 %r6, %r2, 100, %r1; mad.wide.u32 %rd1, %r5, 4, %rd0; st.global.b32 [%rd1], %r6;",
      3, 24);
  launch.block = {3, 2, 2};
  launch.grid = {1, 2, 1};
  const auto words = words_of(run(launch));
  for (std::uint32_t i = 0; i < 24; ++i) EXPECT_EQ(words[i], i % 12 / 6 * 100 + i % 6 / 3);
}

TEST(Arithmetic, BitFieldsAndTables) {
  const auto words = run_kernel(
      "bfi.b32 %r1, 0xF, 0, 8, 4; lop3.b32 %r2, 0xF0F0, 0xFF00, 0xAAAA, 0x96;"
      "prmt.b32 %r3, 0x33221100, 0x77665544, 0x7531; st.global.b32 [%rd0], %r1;"
      "st.global.b32 [%rd0+4], %r2; st.global.b32 [%rd0+8], %r3;",
      1, 3);
  EXPECT_THAT(words, ElementsAre(0xF00, 0xF0F0u ^ 0xFF00u ^ 0xAAAAu, 0x77553311));
}

TEST(Arithmetic, AnUnknownInstructionIsRefusedWithItsLine) {
  EXPECT_EQ(refusal_of(launch_of("\ntex.1d.v4.f32.f32 %r1, %r2;", 1, 1)),
            "k.ptx:8: tex.1d.v4.f32.f32: not supported");
  EXPECT_THAT(refusal_of(launch_of("\nadd.f7 %r1, %r2, %r3;", 1, 1)),
              testing::StartsWith("k.ptx:8: "));
  EXPECT_THAT(refusal_of(launch_of("add.s32 %r1, %r2, %p3;", 1, 1)),
              testing::HasSubstr("%p3 is a predicate"));
}

}  // namespace
}  // namespace karat::ptx
