// Lanes of a warp that go different ways, exchange values and meet again.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

TEST(Divergence, LanesLoopAsOftenAsTheyLike) {
  // thread i adds up 0 to i
  const auto words = run_kernel(
      "mov.u32 %r1, 0; mov.u32 %r2, 0;\n"
      "L: add.u32 %r1, %r1, %r2; add.u32 %r2, %r2, 1; setp.le.u32 %p1, %r2, %r0; @%p1 bra L;" +
          store_per_thread("%r1"),
      40, 40);
  for (std::uint32_t i = 0; i < 40; ++i) EXPECT_EQ(words[i], i * (i + 1) / 2);
}

TEST(Divergence, BothSidesOfABranchMeetBehindIt) {
  const auto words = run_kernel(
      "and.b32 %r1, %r0, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bra EVEN;\n"
      "mov.u32 %r2, 10; bra JOIN;\nEVEN: mov.u32 %r2, 20;\n"
      "JOIN: activemask.b32 %r3; add.u32 %r2, %r2, %r3;" +
          store_per_thread("%r2"),
      32, 32);
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(words[i], (i % 2 == 0 ? 20u : 10u) - 1) << i;
}

TEST(Divergence, ShufflesWaitForTheirMembers) {
  // Odd lanes come to the shuffle by another way; every lane gets its neighbour's number.
  const auto words = run_kernel(
      "and.b32 %r1, %r0, 1; setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, %r0; @%p1 bra JOIN;\n"
      "add.u32 %r2, %r2, 100;\n"
      "JOIN: shfl.sync.bfly.b32 %r3|%p2, %r2, 1, 31, -1;" +
          store_per_thread("%r3"),
      32, 32);
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(words[i], (i ^ 1) + (i % 2 == 0 ? 100 : 0));
}

TEST(Divergence, LanesThatLeftAreNotWaitedFor) {
  const auto words = run_kernel(
      "setp.ge.u32 %p1, %r0, 8; @%p1 exit; elect.sync %r1|%p2, -1;"
      "vote.sync.ballot.b32 %r2, %p2, -1; match.any.sync.b32 %r3, 5, -1; redux.sync.add.u32 %r4, "
      "%r0, -1;"
      "add.u32 %r5, %r2, %r3; add.u32 %r5, %r5, %r4;" +
          store_per_thread("%r5"),
      32, 32);
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(words[i], i < 8 ? 1u + 0xFF + 28 : 0u) << i;
}

TEST(Divergence, LanesMeetAtDifferentInstructionsOfOneKind) {
  const auto words = run_kernel(
      "setp.eq.u32 %p1, %r0, 0; mov.u32 %r1, %r0; @%p1 bra A;\n"
      "shfl.sync.idx.b32 %r2, %r1, 0, 31, -1; vote.sync.ballot.b32 %r3, %p1, -1; bar.warp.sync -1; "
      "redux.sync.add.u32 %r4, %r0, -1; match.any.sync.b32 %r5, 9, -1; bra JOIN;\n"
      "A: mov.u32 %r6, 70; shfl.sync.idx.b32 %r2, %r6, 0, 31, -1; vote.sync.ballot.b32 %r3, %p1, "
      "-1; bar.warp.sync -1; redux.sync.add.u32 %r4, 1000, -1; match.any.sync.b32 %r5, 9, -1;\n"
      "JOIN: add.u32 %r2, %r2, %r3; add.u32 %r2, %r2, %r4; add.u32 %r2, %r2, %r5;" +
          store_per_thread("%r2"),
      32, 32);
  EXPECT_THAT(words, testing::Each(70u + 1 + 1000 + 496 - 1));
}

TEST(Divergence, LanesComeToABarrierByDifferentWays) {
  const auto words = run_kernel(
      "setp.lt.u32 %p1, %r0, 7; @%p1 bra A;\n"
      "barrier.sync 1; bra JOIN;\nA: st.shared.u32 [word], 5; barrier.sync 1;\n"
      "JOIN: ld.shared.u32 %r1, [word];" +
          store_per_thread("%r1"),
      64, 64, ".shared .b32 word;\n");
  EXPECT_THAT(words, testing::Each(5u));
}

TEST(Divergence, AShuffleWhoseMembersNeverComeIsADeadlock) {
  EXPECT_EQ(fault_of("setp.eq.u32 %p1, %r0, 0; @%p1 bra A;\n"
                     "B: shfl.sync.idx.b32 %r1, %r0, 0, 31, -1; exit;\n"
                     "A: shfl.sync.up.b32 %r1, %r0, 0, 31, -1; exit;",
                     32),
            "deadlock: no warp can go on; k.ptx:9: shfl.sync.up.b32, CTA (0, 0, 0), warp 0 and "
            "k.ptx:8: shfl.sync.idx.b32");
}

TEST(Divergence, ALaneThatHoldsALockGetsItsTurn) {
  // Each lane takes the lock by itself; those that spin stand at a lower program counter.
  Launch launch = launch_of(
      "L: atom.shared.cas.b32 %r1, [word], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra L;\n"
      "ld.shared.u32 %r2, [word+4]; add.u32 %r2, %r2, 1; st.shared.u32 [word+4], %r2; "
      "atom.shared.exch.b32 %r3, [word], 0; bar.warp.sync -1; ld.shared.u32 %r2, [word+4];" +
          store_per_thread("%r2"),
      32, 32, ".shared .align 8 .b8 word[8];\n");
  launch.limit = 10'000'000;
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  EXPECT_THAT(words_of(outcome), testing::Each(32u));
}

TEST(Divergence, LanesWaitForTheirOwnMbarrier) {
  // Lane 1's phase is over, lane 0's is when lane 1 has gone on.
  const auto words = run_kernel(
      "setp.eq.u32 %p1, %r0, 0; setp.eq.u32 %p2, %r0, 1; @%p1 mbarrier.init.shared.b64 [word], 1; "
      "@%p1 mbarrier.init.shared.b64 [word+8], 1; bar.warp.sync -1;\n"
      "@%p1 mbarrier.arrive.shared.b64 _, [word+8]; mov.u32 %r1, word; mad.lo.u32 %r1, %r0, 8, "
      "%r1;\n"
      "L: mbarrier.try_wait.parity.shared.b64 %p3, [%r1], 0; @!%p3 bra L;\n"
      "@%p2 mbarrier.arrive.shared.b64 _, [word]; mov.u32 %r2, 3;" +
          store_per_thread("%r2"),
      2, 2, ".shared .align 8 .b8 word[16];\n");
  EXPECT_THAT(words, testing::Each(3u));
}

TEST(Divergence, AnEndlessLoopEndsAtTheLimit) {
  EXPECT_THAT(fault_of("L: bra L;", 32),
              testing::StartsWith("k.ptx:7: bra, CTA (0, 0, 0), warp 0: the limit of 1000000 "));
}

TEST(Divergence, RepeatedLabelsBelongToTheirBraces) {
  const auto words = run_kernel(
      "mov.u32 %r1, 0;\n"
      "{ .reg .pred done; DONE: setp.ge.u32 done, %r1, 3; add.u32 %r1, %r1, 1; @!done bra DONE; }\n"
      "{ bra DONE; add.u32 %r1, %r1, 100; DONE: add.u32 %r1, %r1, t; .reg .b32 t; }" +
          store_per_thread("%r1"),
      1, 1);
  EXPECT_EQ(words[0], 4u);
}

}  // namespace
}  // namespace karat::ptx
