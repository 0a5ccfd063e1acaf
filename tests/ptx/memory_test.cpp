// State spaces, generic addresses, wild ones, atomics, copies.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

constexpr const char* kShared = ".shared .align 16 .b8 tile[1024];\n";

TEST(Memory, AWildAddressNamesLineWarpLaneAndBuffer) {
  EXPECT_EQ(
      fault_of("mad.wide.u32 %rd1, %r0, 8, %rd0;\nst.global.u32 [%rd1], %r0;", 64),
      "k.ptx:8: st.global.u32, CTA (0, 0, 0), warp 1, lane 0: writes 4 bytes at 0x1000000100, "
      "which no buffer holds (buffer has 256 bytes from 0x1000000000)");
  EXPECT_THAT(fault_of("ld.global.u32 %r1, [1234560];", 1),
              EndsWith("reads 4 bytes at 0x12d680, which no buffer holds"));
  EXPECT_THAT(fault_of("ld.shared.u32 %r1, [1020];", 1, kShared),
              HasSubstr("shared address 0x3fc, outside it"));
  EXPECT_THAT(fault_of("ld.shared.u32 %r1, [tile+1024];", 1, kShared),
              HasSubstr("shared address 0x800, outside it"));
}

TEST(Memory, AddressesAreMultiplesOfTheAccess) {
  EXPECT_THAT(fault_of("ld.global.u32 %r1, [%rd0+2];", 1),
              EndsWith("lane 0: address 0x1000000002 is no multiple of 4"));
  EXPECT_THAT(fault_of("ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd0+8];", 1),
              EndsWith("is no multiple of 16"));
}

TEST(Memory, GenericAddressesReachEverySpace) {
  const auto words = run_kernel(
      ".local .align 4 .b8 mine[8]; mov.u64 %rd1, tile; cvta.shared.u64 %rd2, %rd1; st.u32 [%rd2], "
      "11;"
      "ld.shared.u32 %r1, [tile]; mov.u64 %rd3, mine; cvta.local.u64 %rd4, %rd3; st.u32 [%rd4+4], "
      "22;"
      "ld.local.u32 %r2, [mine+4]; cvta.to.shared.u64 %rd5, %rd2; sub.u64 %rd5, %rd5, %rd1;"
      "cvt.u32.u64 %r3, %rd5; isspacep.shared %p1, %rd2; selp.u32 %r4, 1, 0, %p1; cvta.global.u64 "
      "%rd6, numbers;"
      "ld.u32 %r5, [%rd6+4]; ld.global.u64 %rd7, [pointer]; ld.u32 %r6, [%rd7];"
      "st.global.v4.u32 [%rd0], {%r1, %r2, %r3, %r4}; st.global.v2.u32 [%rd0+16], {%r5, %r6};",
      1, 6,
      std::string(kShared) +
          ".global .align 4 .u32 numbers[4] = {5, 6};\n.global .u64 pointer = numbers;\n");
  EXPECT_THAT(words, ElementsAre(11, 22, 0, 1, 6, 5));
}

TEST(Memory, LocalMemoryBelongsToTheThread) {
  const auto words = run_kernel(
      ".local .align 4 .u32 mine; st.local.u32 [mine], %r0; bar.sync 0; ld.local.u32 %r1, [mine];" +
          store_per_thread("%r1"),
      64, 64);
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(words[i], i);
}

TEST(Memory, AtomicsSeeEachOther) {
  Launch launch =
      launch_of("atom.global.add.u32 %r1, [%rd0], 1; red.global.max.u32 [%rd0+4], %r1;", 64, 2);
  launch.grid = {5, 1, 1};
  launch.threads = 2;
  EXPECT_THAT(words_of(run(launch)), ElementsAre(320, 319));
}

TEST(Memory, CompareAndSwapMakesALock) {
  // every warp's lane 0 takes the lock, adds one without an atomic, gives it back
  const auto words = run_kernel(
      "and.b32 %r1, %r0, 31; setp.ne.u32 %p1, %r1, 0; @%p1 exit;\n"
      "L: atom.global.cas.b32 %r2, [%rd0], 0, 1; setp.ne.u32 %p2, %r2, 0; @%p2 bra L;\n"
      "ld.global.u32 %r3, [%rd0+4]; add.u32 %r3, %r3, 1; st.global.u32 [%rd0+4], %r3;"
      "atom.global.exch.b32 %r4, [%rd0], 0;",
      256, 2);
  EXPECT_THAT(words, ElementsAre(0, 8));
}

TEST(Memory, AsynchronousCopiesFillWithZeros) {
  const auto words = run_kernel(
      "st.global.v4.u32 [%rd0], {1, 2, 3, 4}; cp.async.cg.shared.global [tile], [%rd0], 16, 8;"
      "cp.async.commit_group; cp.async.wait_group 0; ld.shared.v4.u32 {%r1,%r2,%r3,%r4}, [tile];"
      "st.global.v4.u32 [%rd0+16], {%r1,%r2,%r3,%r4};",
      1, 8, kShared);
  EXPECT_THAT(words, ElementsAre(1, 2, 3, 4, 1, 2, 0, 0));
}

TEST(Memory, BulkCopiesCompleteTransactions) {
  const auto words = run_kernel(
      "st.global.v4.u32 [%rd0], {1, 2, 3, 4}; mbarrier.init.shared.b64 [tile+128], 1;"
      "mbarrier.arrive.expect_tx.shared.b64 _, [tile+128], 16;"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
      "[tile+128];"
      "L: mbarrier.try_wait.parity.shared.b64 %p1, [tile+128], 0; @!%p1 bra L;"
      "add.u64 %rd1, %rd0, 16; cp.async.bulk.global.shared::cta.bulk_group [%rd1], [tile], 16;"
      "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;",
      1, 8, kShared);
  EXPECT_THAT(words, ElementsAre(1, 2, 3, 4, 1, 2, 3, 4));
}

TEST(Memory, DynamicSharedMemoryLiesOnAKilobyteBehindTheStatic) {
  Launch launch =
      launch_of("mov.u32 %r1, pool; st.global.u32 [%rd0], %r1; st.shared.u32 [pool+60], 1;", 1, 1,
                std::string(kShared) + ".extern .shared .align 16 .b8 pool[];\n");
  launch.dynamic_shared = 64;
  EXPECT_EQ(words_of(run(launch))[0], 2048u);
  launch.dynamic_shared = 60;
  EXPECT_THAT(run(launch).fault.value_or(""), HasSubstr("shared address 0x83c, outside it"));
}

}  // namespace
}  // namespace karat::ptx
