// Hazards beyond shared memory of one phase: global memory, and waiters that come too late.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kShared = ".shared .align 8 .b64 full;\n.shared .align 8 .b64 empty;\n";

std::vector<std::string> hazards_of(const std::string& body, std::uint32_t threads,
                                    std::uint32_t ctas = 1) {
  Launch launch = launch_of(body, threads, 256, kShared);
  launch.hazards = HazardSearch::on;
  launch.grid = {ctas, 1, 1};
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.hazards;
}

/// Thread i writes word i of the buffer, then reads word 63 - i.
std::string mirror(const std::string& between) {
  return "mad.wide.u32 %rd1, %r0, 4, %rd0; sub.u32 %r3, 63, %r0; mad.wide.u32 %rd2, %r3, 4, %rd0;\n"
         "st.global.u32 [%rd1], %r0;\n" +
         between + "\nld.global.u32 %r4, [%rd2];\n";
}

TEST(GlobalOrder, WarpsNeedABarrierBetweenWriteAndRead) {
  EXPECT_THAT(hazards_of(mirror("bar.sync 0;"), 64), IsEmpty());
  EXPECT_THAT(hazards_of(mirror(""), 64), Contains(HasSubstr("at global address")));
  // The same words in reading and writing order.
  EXPECT_THAT(hazards_of(mirror("bar.sync 0;") + "st.global.u32 [%rd1], 1;", 64),
              Contains(HasSubstr("race with a read at global address")));
}

TEST(GlobalOrder, NarrowNeighboursDoNotMeet) {
  // Lanes of both warps write 16-bit halves of one word: warp 1 the upper one.
  const std::string body =
      "shr.u32 %r1, %r0, 5; mad.wide.u32 %rd1, %r1, 2, %rd0; st.global.u16 [%rd1], 5;";
  EXPECT_THAT(hazards_of(body, 64), IsEmpty());
  EXPECT_THAT(hazards_of("st.global.u16 [%rd0], 5;", 64), Contains(HasSubstr("race with a write")));
}

TEST(GlobalOrder, AnotherWarpsReadIsNotHiddenByTheWritersOwn) {
  // Warp 0 reads a word; warp 1, later by chance, reads it too and writes it.
  const std::string body =
      "setp.lt.u32 %p1, %r0, 32; @%p1 bra READ; mov.u32 %r5, 0;\nSPIN: add.u32 %r5, %r5, 1; "
      "setp.lt.u32 %p4, %r5, 2000; @%p4 bra SPIN;\nld.global.u32 %r1, [%rd0]; st.global.u32 "
      "[%rd0], 5; exit;\nREAD: ld.global.u32 %r1, [%rd0];";
  EXPECT_THAT(hazards_of(body, 64), Contains(HasSubstr("race with a read at global address")));
}

TEST(GlobalOrder, HalvesOfAWordDoNotHideEachOther) {
  // Warps 0 and 1 write a half each; warp 2, later by chance, reads the first one.
  const std::string body =
      "setp.ge.u32 %p1, %r0, 64; @%p1 bra READ; shr.u32 %r1, %r0, 5; mad.wide.u32 %rd1, %r1, 2, "
      "%rd0; st.global.u16 [%rd1], 5; exit;\nREAD: mov.u32 %r5, 0;\nSPIN: add.u32 %r5, %r5, 1; "
      "setp.lt.u32 %p4, %r5, 2000; @%p4 bra SPIN;\nld.global.u16 %rs1, [%rd0];";
  EXPECT_THAT(hazards_of(body, 96), Contains(HasSubstr("race with a write at global address")));
}

TEST(GlobalOrder, ClustersHaveNone) {
  // CTA i writes word i + 1, and word 0 or its own.
  const std::string own =
      "mov.u32 %r1, %ctaid.x; mad.wide.u32 %rd1, %r1, 4, %rd0; st.global.u32 [%rd1+4], 1;";
  EXPECT_THAT(hazards_of(own, 1, 3), IsEmpty());
  EXPECT_THAT(
      hazards_of("st.global.u32 [%rd0], 1;", 1, 3),
      ElementsAre(testing::AllOf(HasSubstr("race between clusters"), HasSubstr("CTA (2, 0, 0)"))));
  EXPECT_THAT(hazards_of(own + "ld.global.u32 %r2, [%rd1];", 1, 3),
              ElementsAre(HasSubstr("the other access, a read")));
  // Halves of a word, each CTA its own.
  EXPECT_THAT(hazards_of("mov.u32 %r1, %ctaid.x; mad.wide.u32 %rd1, %r1, 2, %rd0; st.global.u16 "
                         "[%rd1], 1;",
                         1, 3),
              IsEmpty());
  EXPECT_THAT(hazards_of("st.global.u16 [%rd0], 1;", 1, 3),
              ElementsAre(HasSubstr("race between clusters")));
}

TEST(GlobalOrder, AKernelThatOrdersByMemoryIsNotLookedAt) {
  EXPECT_THAT(hazards_of("st.global.u32 [%rd0], 1; atom.global.add.u32 %r1, [%rd0+8], 1;", 1, 3),
              IsEmpty());
  EXPECT_THAT(hazards_of("st.release.gpu.global.u32 [%rd0], 1;", 1, 3), IsEmpty());
  // A reduction orders nothing, and is in no order with others.
  EXPECT_THAT(hazards_of("red.global.add.u32 [%rd0], 1;", 64, 3), IsEmpty());
  EXPECT_THAT(hazards_of("st.global.u32 [%rd0], 1; red.global.add.u32 [%rd0+8], 1;", 1, 3),
              ElementsAre(HasSubstr("race between clusters")));
}

TEST(GlobalOrder, WhatIsNotLookedAtIsSaid) {
  const auto outcome_of = [](const std::string& body, std::size_t words, std::uint32_t ctas) {
    Launch launch = launch_of(body, 32, words, kShared);
    launch.hazards = HazardSearch::on;
    launch.grid = {ctas, 1, 1};
    launch.limit = 100'000'000;
    return run(launch);
  };
  Outcome outcome = outcome_of("st.global.u32 [%rd0], 1;", 64, 1);
  EXPECT_FALSE(outcome.not_looked_at.any());
  EXPECT_THAT(to_text(outcome), HasSubstr("\nno hazard found\n"));
  // Order through memory is not followed.
  outcome = outcome_of("st.release.gpu.global.u32 [%rd0], 1; ld.global.u32 %r1, [%rd0+4];", 64, 3);
  EXPECT_TRUE(outcome.not_looked_at.orders_by_memory);
  EXPECT_EQ(outcome.not_looked_at.in_clusters, 6u);
  EXPECT_THAT(to_text(outcome),
              HasSubstr("no hazard found in what was looked at; 6 accesses of "
                        "global memory were not looked at: the kernel may order"));
}

TEST(GlobalOrder, AClusterHoldsItsFirstAccesses) {
  // A word in each page of 150 MB, then one that another warp races for: behind the limit.
  const std::string body =
      "mov.u32 %r1, 0; setp.ge.u32 %p3, %r0, 32; @%p3 bra RACE;\nL: mul.wide.u32 %rd1, %r1, 4096; "
      "add.u64 %rd1, %rd1, %rd0; ld.global.u32 %r2, [%rd1]; add.u32 %r1, %r1, 1; setp.lt.u32 "
      "%p1, %r1, PAGES; @%p1 bra L;\nRACE: st.global.u32 [%rd0+PLACE], 1;";
  const auto outcome_of = [&](std::uint32_t pages) {
    std::string text = body;
    text.replace(text.find("PAGES"), 5, std::to_string(pages));
    text.replace(text.find("PLACE"), 5, std::to_string((pages - 1) * 4096 + 8));
    Launch launch = launch_of(text, 64, std::size_t{pages} * 1024, kShared);
    launch.hazards = HazardSearch::on;
    launch.limit = 100'000'000;
    return run(launch);
  };
  const Outcome few = outcome_of(100), many = outcome_of(20'000);
  EXPECT_FALSE(few.not_looked_at.any());
  EXPECT_THAT(few.hazards, Contains(HasSubstr("race with a write at global address")));
  EXPECT_GT(many.not_looked_at.in_clusters, 5'000u);
  EXPECT_LT(many.not_looked_at.in_clusters, 15'000u);
  EXPECT_THAT(to_text(many), HasSubstr("accesses of global memory were not looked at for races in "
                                       "a cluster: more than the search holds"));
}

/// Warp 0 completes `full` twice; warp 1 waits for the first phase and says so at `empty`, for
/// which warp 0 waits in between, or does not.
std::string phases(const std::string& between) {
  return "setp.eq.u32 %p1, %r0, 0; mov.u32 %r1, full; mov.u32 %r2, empty;\n"
         "@%p1 mbarrier.init.shared.b64 [%r1], 32; @%p1 mbarrier.init.shared.b64 [%r2], 32; "
         "bar.sync 0; setp.ge.u32 %p2, %r0, 32; @%p2 bra CONSUMER;\n"
         "mbarrier.arrive.shared.b64 _, [%r1];\n" +
         between +
         "mbarrier.arrive.shared.b64 _, [%r1]; exit;\nCONSUMER:\n"
         "A: mbarrier.try_wait.parity.shared.b64 %p3, [%r1], 0; @!%p3 bra A;\n"
         "mbarrier.arrive.shared.b64 _, [%r2];\n";
}

TEST(LateWaiters, APhaseMustNotEndBeforeTheLastOneWasSeen) {
  const std::string wait = "B: mbarrier.try_wait.parity.shared.b64 %p3, [%r2], 0; @!%p3 bra B;\n";
  EXPECT_THAT(hazards_of(phases(wait), 64), IsEmpty());
  // Without that wait the eager schedule ends both phases before the consumer looks: it hangs.
  const Outcome stuck = run(launch_of(phases(""), 64, 64, kShared));
  EXPECT_THAT(stuck.fault.value_or(""), HasSubstr("deadlock"));
  // Where the consumer looks in time, nothing shows but the missing order.
  const std::string spin =
      "mov.u32 %r5, 0;\nSPIN: add.u32 %r5, %r5, 1; setp.lt.u32 %p4, %r5, 200; @%p4 bra SPIN;\n";
  Launch launch = launch_of(phases(spin), 64, 64, kShared);
  launch.hazards = HazardSearch::on;
  bool reported = false;
  for (launch.seed = 0; launch.seed < 40 && !reported; ++launch.seed) {
    launch.schedule = Schedule::random;
    for (const std::string& each : run(launch).hazards)
      reported |= each.find("takes one phase for another") != std::string::npos;
  }
  EXPECT_TRUE(reported);
}

}  // namespace
}  // namespace karat::ptx
