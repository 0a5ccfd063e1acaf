// Accesses to shared memory whose order nothing guarantees, planted one by one.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kShared = ".shared .align 128 .b8 tile[1024];\n";

std::vector<std::string> hazards_of(const std::string& body, std::uint32_t threads) {
  Launch launch = launch_of(body, threads, 64, kShared);
  launch.hazards = HazardSearch::on;
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.hazards;
}

/// Thread i writes word i, then reads word 63 - i.
std::string mirror(const std::string& between, const std::string& behind = "") {
  return "mov.u32 %r1, tile; mad.lo.u32 %r2, %r0, 4, %r1; sub.u32 %r3, 63, %r0; mad.lo.u32 %r3, "
         "%r3, 4, %r1;\n"
         "st.shared.u32 [%r2], %r0;\n" +
         between + "\nld.shared.u32 %r4, [%r3];\n" + behind;
}

TEST(Hazards, AReadNeedsABarrierBehindTheWrite) {
  EXPECT_THAT(hazards_of(mirror("bar.sync 0;"), 64), IsEmpty());
  EXPECT_THAT(
      hazards_of(mirror(""), 64),
      ElementsAre(
          "k.ptx:9: st.shared.u32, warp 1: race with a read at shared address 0x480; the other "
          "access: k.ptx:11: ld.shared.u32, warp 0",
          "k.ptx:11: ld.shared.u32, warp 1: race with a write at shared address 0x47c; the other "
          "access: k.ptx:9: st.shared.u32, warp 0"));
}

TEST(Hazards, AWriteNeedsABarrierBehindTheReads) {
  EXPECT_THAT(hazards_of(mirror("bar.sync 0;", "bar.sync 0; st.shared.u32 [%r2], 1;"), 64),
              IsEmpty());
  EXPECT_THAT(hazards_of(mirror("bar.sync 0;", "st.shared.u32 [%r2], 1;"), 64),
              testing::Contains(HasSubstr("race with a read")));
}

TEST(Hazards, ABarrierOfOtherWarpsOrdersNothing) {
  // warps 0 and 1 meet, warp 2 does not; it reads what warp 0 wrote
  const std::string body =
      "mov.u32 %r1, tile; setp.ge.u32 %p1, %r0, 64; @%p1 bra LATE; st.shared.u32 [tile], 5; "
      "bar.sync 1, 64; exit;\n"
      "LATE: ld.shared.u32 %r2, [tile];";
  EXPECT_THAT(hazards_of(body, 96),
              testing::Contains(HasSubstr("k.ptx:9: ld.shared.u32, warp 2: race with a write")));
}

TEST(Hazards, CopiesAreThereAfterTheirGroup) {
  const std::string copy = "cp.async.ca.shared.global [tile], [%rd0], 16; cp.async.commit_group;\n";
  EXPECT_THAT(hazards_of(copy + "cp.async.wait_group 0; ld.shared.u32 %r1, [tile];", 1), IsEmpty());
  EXPECT_THAT(
      hazards_of(copy + "cp.async.wait_group 1; ld.shared.u32 %r1, [tile];", 1),
      ElementsAre(HasSubstr(
          "touches what a cp.async writes, before its wait_group at shared address 0x400")));
}

/// A bulk load of 16 bytes to tile, its mbarrier at tile + 128.
std::string bulk_load(const std::string& wait) {
  return "setp.ne.u32 %p1, %r0, 0; @!%p1 mbarrier.init.shared.b64 [tile+128], 1; bar.sync 0; @%p1 "
         "bra WAIT;\n"
         "mbarrier.arrive.expect_tx.shared.b64 _, [tile+128], 16;"
         "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
         "[tile+128];\n"
         "WAIT: " +
         wait + "\nld.shared.u32 %r2, [tile];";
}

TEST(Hazards, BulkLoadsAreSeenThroughTheirMbarrier) {
  EXPECT_THAT(hazards_of(bulk_load("mbarrier.try_wait.parity.shared.b64 %p2, [tile+128], 0;"), 64),
              IsEmpty());
  EXPECT_THAT(hazards_of(bulk_load(""), 64), testing::Contains(HasSubstr("bulk engine")));
}

TEST(Hazards, BulkStoresNeedAProxyFenceBehindTheWrite) {
  const auto store = [](const std::string& fence, const std::string& behind) {
    return "st.shared.v4.u32 [tile], {1, 2, 3, 4};" + fence +
           "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [tile], 16; "
           "cp.async.bulk.commit_group;\n" +
           behind;
  };
  const std::string wait = "cp.async.bulk.wait_group.read 0;", write = "st.shared.u32 [tile], 9;";
  EXPECT_THAT(hazards_of(store("fence.proxy.async.shared::cta;", wait + write), 1), IsEmpty());
  EXPECT_THAT(hazards_of(store("", wait), 1),
              ElementsAre(HasSubstr("no fence.proxy.async behind it")));
  EXPECT_THAT(hazards_of(store("fence.proxy.async;", write + wait), 1),
              ElementsAre(HasSubstr("writes what wgmma or a bulk store may still read")));
}

TEST(Hazards, RegistersBelongToWgmmaUntilItsWait) {
  const auto multiply = [](const std::string& behind) {
    return "mov.b64 %rd1, 4611686293305294848; or.b64 %rd1, %rd1, 64;\n"
           "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%r1,%r2,%r3,%r4}, %rd1, %rd1, 0, "
           "1, 1;"
           "wgmma.commit_group.sync.aligned;\n" +
           behind;
  };
  Launch launch = launch_of(multiply("wgmma.wait_group.sync.aligned 0; add.u32 %r5, %r1, 1;"), 128,
                            1, ".extern .shared .align 1024 .b8 pool[];\n");
  launch.dynamic_shared = 16384;
  launch.hazards = HazardSearch::on;
  EXPECT_THAT(run(launch).hazards, IsEmpty());
  launch.ptx = kernel_text(multiply("add.u32 %r5, %r1, 1; wgmma.wait_group.sync.aligned 0;"),
                           ".extern .shared .align 1024 .b8 pool[];\n");
  EXPECT_THAT(run(launch).hazards,
              ElementsAre(HasSubstr("touches a register of a wgmma under way")));
}

TEST(Hazards, ClustersAreRefused) {
  Launch launch = launch_of("ret;", 32, 1);
  launch.grid = launch.cluster = {2, 1, 1};
  launch.hazards = HazardSearch::on;
  EXPECT_THROW(run(launch), Error);
}

}  // namespace
}  // namespace karat::ptx
