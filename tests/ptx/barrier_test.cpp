// Barriers of a CTA and of a cluster, mbarriers, and what happens without them.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

constexpr const char* kShared = ".shared .align 16 .b8 tile[1024];\n";

/// Thread i writes at i, reads at 127 - i.
std::string mirror(const std::string& barrier) {
  return "mov.u32 %r1, tile; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.u32 [%r2], %r0;\n" + barrier +
         "\nsub.u32 %r3, 127, %r0; mad.lo.u32 %r3, %r3, 4, %r1; ld.shared.u32 %r4, [%r3];" +
         store_per_thread("%r4");
}

TEST(Barrier, SyncLetsAllThreadsSeeWhatWasWritten) {
  for (const char* barrier :
       {"bar.sync 0;", "barrier.cta.sync.aligned 3, 128;", "bar.sync 15, 128;"}) {
    const auto words = run_kernel(mirror(barrier), 128, 128, kShared);
    for (std::uint32_t i = 0; i < 128; ++i) EXPECT_EQ(words[i], 127 - i) << barrier;
  }
}

TEST(Barrier, WithoutOneTheFirstWarpReadsTooEarly) {
  EXPECT_EQ(run_kernel(mirror(""), 128, 128, kShared)[0], 0u);
}

TEST(Barrier, ReductionsCountPredicates) {
  const auto words = run_kernel(
      "setp.lt.u32 %p1, %r0, 37; bar.red.popc.u32 %r1, 1, %p1; bar.red.or.pred %p2, 1, %p1;"
      "bar.red.and.pred %p3, 1, %p1; selp.u32 %r2, 1000, 0, %p2; selp.u32 %r3, 5000, 0, %p3;"
      "add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3;" +
          store_per_thread("%r1"),
      96, 96);
  EXPECT_THAT(words, testing::Each(1037u));
}

TEST(Barrier, WarpsThatLeftAreNotWaitedFor) {
  const auto words = run_kernel(
      "setp.ge.u32 %p1, %r0, 64; @%p1 exit; bar.sync 0; mov.u32 %r1, 7;" + store_per_thread("%r1"),
      96, 96);
  EXPECT_EQ(words[63], 7u);
  EXPECT_EQ(words[64], 0u);
}

TEST(Barrier, AMissingWarpIsADeadlockNamingEachWarp) {
  EXPECT_EQ(
      fault_of("setp.lt.u32 %p1, %r0, 32; @%p1 bra A;\nbar.sync 1, 96; exit;\nA: bar.sync 2, 64;",
               64),
      "deadlock: no warp can go on; k.ptx:9: bar.sync, CTA (0, 0, 0), warp 0; k.ptx:8: "
      "bar.sync, CTA (0, 0, 0), warp 1");
}

TEST(Barrier, ThreadsMustComeInWarps) {
  EXPECT_THAT(fault_of("mov.u32 %r1, 33; bar.sync 0, %r1;", 32),
              testing::HasSubstr("k.ptx:7: bar.sync, CTA (0, 0, 0), warp 0: barrier 0: "));
  EXPECT_THAT(fault_of("mov.u32 %r1, 16; bar.sync %r1;", 32),
              testing::HasSubstr("barrier 16 is none of 0 to 15"));
}

/// Warp 1 hands a word to warp 0 through an mbarrier that two arrivals complete.
TEST(Mbarrier, WaitersSeeWhatCameBeforeTheArrivals) {
  const auto words = run_kernel(
      "mov.u32 %r1, tile; setp.ne.u32 %p1, %r0, 0; @!%p1 mbarrier.init.shared::cta.b64 [%r1], 2; "
      "bar.sync 0;\n"
      "setp.ge.u32 %p2, %r0, 32; @%p2 bra WRITE;\n"
      "{ .reg .pred done; LAB_WAIT: mbarrier.try_wait.parity.shared::cta.b64 done, [%r1], 0; @done "
      "bra DONE;"
      " bra LAB_WAIT; DONE: }\n"
      "ld.shared.u32 %r2, [tile+8];" +
          store_per_thread("%r2") +
          "exit;\n"
          "WRITE: setp.gt.u32 %p3, %r0, 33; @%p3 exit; st.shared.u32 [tile+8], 77;"
          "mbarrier.arrive.release.cta.shared::cta.b64 _, [%r1];",
      64, 64, kShared);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(words[static_cast<std::size_t>(i)], 77u);
}

TEST(Mbarrier, AFreshOneHasLeftParityOneBehind) {
  const auto words = run_kernel(
      "mbarrier.init.shared.b64 [tile], 1; mbarrier.test_wait.parity.shared.b64 %p1, [tile], 1;"
      "mbarrier.test_wait.parity.shared.b64 %p2, [tile], 0; mbarrier.arrive.shared.b64 %rd1, "
      "[tile];"
      "mbarrier.test_wait.shared.b64 %p3, [tile], %rd1; selp.u32 %r1, 1, 0, %p1; selp.u32 %r2, 1, "
      "0, %p2;"
      "selp.u32 %r3, 1, 0, %p3; st.global.v4.u32 [%rd0], {%r1, %r2, %r3, 0};",
      1, 4, kShared);
  EXPECT_THAT(words, testing::ElementsAre(1, 0, 1, 0));
}

TEST(Mbarrier, MisuseIsNamed) {
  EXPECT_THAT(fault_of("mbarrier.arrive.shared.b64 _, [tile];", 1, kShared),
              testing::EndsWith("lane 0: there is no mbarrier at shared address 0x400"));
  EXPECT_THAT(
      fault_of("mbarrier.init.shared.b64 [tile], 1; mbarrier.arrive.shared.b64 _, [tile], 2;", 1,
               kShared),
      testing::HasSubstr("lane 0: mbarrier at 0x400: "));
  EXPECT_THAT(fault_of("mbarrier.init.shared.b64 [tile], 1;\nmbarrier.try_wait.parity.shared.b64 "
                       "%p1, [tile], 0;",
                       1, kShared),
              testing::HasSubstr("deadlock: no warp can go on; k.ptx:9: mbarrier.try_wait"));
}

TEST(Cluster, RemoteArrivesAndSharedMemory) {
  Launch launch = launch_of(
      "mov.u32 %r1, tile; mbarrier.init.shared.b64 [%r1], 1; barrier.cluster.arrive; "
      "barrier.cluster.wait;"
      "mov.u32 %r2, %cluster_ctarank; xor.b32 %r3, %r2, 1; mapa.shared::cluster.u32 %r4, %r1, %r3;"
      "add.u32 %r5, %r2, 50; st.shared::cluster.u32 [%r4+8], %r5;"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r4];"
      "L: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p1, [%r1], 0; @!%p1 bra L;"
      "ld.shared.u32 %r6, [%r1+8]; mov.u32 %r7, %ctaid.x; mad.wide.u32 %rd1, %r7, 4, %rd0;"
      "st.global.u32 [%rd1], %r6;",
      1, 4, kShared);
  launch.grid = {4, 1, 1};
  launch.cluster = {2, 1, 1};
  EXPECT_THAT(words_of(run(launch)), testing::ElementsAre(51, 50, 51, 50));
}

}  // namespace
}  // namespace karat::ptx
