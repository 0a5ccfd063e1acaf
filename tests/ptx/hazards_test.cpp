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
  // A fence shows what was written before it, not what comes with no barrier in between.
  EXPECT_THAT(hazards_of("fence.proxy.async;" + store("", wait), 1),
              ElementsAre(HasSubstr("no fence.proxy.async behind it")));
  EXPECT_THAT(hazards_of(store("fence.proxy.async;", write + wait), 1),
              ElementsAre(HasSubstr("writes what wgmma or a bulk store may still read")));
  // Nor may the CTA's memory go before it was read.
  EXPECT_THAT(hazards_of(store("fence.proxy.async;", ""), 1),
              ElementsAre(HasSubstr("leaves while its bulk store may still read shared memory at "
                                    "shared address 0x400; the other access: k.ptx:")));
}

/// Hazards of one wgmma m64n8k32 with `before` and `behind` it; %r1 to %r4 are its accumulator.
std::vector<std::string> wgmma_hazards(const std::string& before, const std::string& behind) {
  const std::string body =
      "mov.b64 %rd1, 4611686293305294848; or.b64 %rd1, %rd1, 64;\n" + before +
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%r1,%r2,%r3,%r4}, %rd1, %rd1, 0, "
      "1, 1; wgmma.commit_group.sync.aligned;\n" +
      behind;
  Launch launch = launch_of(body, 128, 128, ".extern .shared .align 1024 .b8 pool[];\n");
  launch.dynamic_shared = 16384;
  launch.hazards = HazardSearch::on;
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.hazards;
}

TEST(Hazards, RegistersBelongToWgmmaUntilItsWait) {
  const std::string fence = "wgmma.fence.sync.aligned;", wait = "wgmma.wait_group.sync.aligned 0;";
  EXPECT_THAT(wgmma_hazards(fence, wait + "add.u32 %r5, %r1, 1;"), IsEmpty());
  for (const char* touch : {"add.u32 %r5, %r1, 1;", "st.shared.v2.u32 [pool+8192], {%r5, %r4};",
                            "mov.u32 %r5, %r2;", "mov.b64 %rd2, {%r5, %r3};",
                            "shfl.sync.idx.b32 %r5, %r2, 0, 31, -1;", "ld.global.u32 %r3, [%rd0];"})
    EXPECT_THAT(wgmma_hazards(fence, touch + wait),
                testing::Contains(HasSubstr("touches a register of a wgmma under way")))
        << touch;
}

TEST(Hazards, WgmmasOnOneAccumulatorFollowEachOther) {
  const std::string fence = "wgmma.fence.sync.aligned;", wait = "wgmma.wait_group.sync.aligned 0;";
  const auto another = [](const std::string& d, const std::string& a) {
    return "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {" + d + "}, " + a +
           ", %rd1, 1, 1, 1; wgmma.commit_group.sync.aligned;\n";
  };
  EXPECT_THAT(wgmma_hazards(fence, another("%r1,%r2,%r3,%r4", "%rd1") + wait), IsEmpty());
  EXPECT_THAT(wgmma_hazards(fence, another("%r4,%r5,%r6,%r7", "%rd1") + wait),
              ElementsAre(HasSubstr("wgmma writes a register of a wgmma under way")));
  EXPECT_THAT(wgmma_hazards(fence, another("%r5,%r6,%r7,%r8", "{%r1,%r9,%r9,%r9}") + wait),
              ElementsAre(HasSubstr("wgmma reads a register of a wgmma under way")));
}

TEST(Hazards, AWgmmaNeedsItsFence) {
  const std::string fence = "wgmma.fence.sync.aligned;", wait = "wgmma.wait_group.sync.aligned 0;";
  EXPECT_THAT(wgmma_hazards("", wait), ElementsAre(HasSubstr("wgmma with no wgmma.fence")));
  EXPECT_THAT(wgmma_hazards(fence + "add.u32 %r2, %r0, 1;", wait),
              ElementsAre(HasSubstr("touched with no wgmma.fence behind it")));
  EXPECT_THAT(wgmma_hazards("add.u32 %r2, %r0, 1;" + fence + "mov.u32 %r3, 0;", wait), IsEmpty());
}

TEST(Hazards, AMoveCarriesWhenItsSourceWasComputed) {
  const std::string fence = "wgmma.fence.sync.aligned;", wait = "wgmma.wait_group.sync.aligned 0;";
  const std::string compute = "add.u32 %r9, %r0, 1;", move = "mov.u32 %r8, %r9; mov.b32 %r2, %r8;";
  EXPECT_THAT(wgmma_hazards(compute + fence + move, wait), IsEmpty());
  EXPECT_THAT(wgmma_hazards(fence + compute + move, wait),
              ElementsAre(HasSubstr("computed, and moved to its register, with no wgmma.fence")));
  // What is read later than it is moved is not computed again.
  EXPECT_THAT(wgmma_hazards(compute + fence + move + "add.u32 %r10, %r9, 1;", wait), IsEmpty());
}

TEST(Hazards, AddressesOfTheCtaItselfAreItsOwn) {
  // warp 1 arrives by mapa; its write is ordered before what warp 0 reads
  const std::string body =
      "mov.u32 %r1, tile; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [tile+128], 32; "
      "bar.sync 0; mapa.shared::cluster.u32 %r2, %r1, 0; setp.ge.u32 %p2, %r0, 32; @%p2 bra W;\n"
      "L: mbarrier.try_wait.parity.shared.b64 %p3, [tile+128], 0; @!%p3 bra L; ld.shared.u32 %r3, "
      "[tile]; exit;\n"
      "W: setp.eq.u32 %p4, %r0, 32; @%p4 st.shared::cluster.u32 [%r2], 5; "
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r2+128];";
  EXPECT_THAT(hazards_of(body, 64), IsEmpty());
}

TEST(Hazards, TheClustersBarrierOrders) {
  const auto with = [](const std::string& how) {
    return hazards_of(mirror("barrier.cluster.arrive" + how + "; barrier.cluster.wait;"), 64);
  };
  EXPECT_THAT(with(".release.aligned"), IsEmpty());
  EXPECT_THAT(with(".relaxed"), testing::Contains(HasSubstr("race with a write")));
}

TEST(Hazards, WhoArrivesAtABarrierAgainKnowsThatItsRoundIsOver) {
  // Warp 1 passes twice where warp 0 waits twice; in between they meet elsewhere, or do not.
  const auto pass = [](const std::string& between) {
    return hazards_of("setp.ge.u32 %p1, %r0, 32; @%p1 bra PASS;\nbar.sync 1, 64;\n" + between +
                          "bar.sync 1, 64; exit;\nPASS: bar.arrive 1, 64;\n" + between +
                          "bar.arrive 1, 64;",
                      64);
  };
  EXPECT_THAT(pass("bar.sync 2, 64;"), IsEmpty());
  EXPECT_THAT(pass(""), ElementsAre(HasSubstr("arrives at barrier 1 again with no order behind the "
                                              "end of the round it arrived at before")));
  // A warp that arrives and then waits counts twice in one round, as it means to.
  EXPECT_THAT(hazards_of("setp.ge.u32 %p1, %r0, 32; @%p1 bra BOTH;\nbar.arrive 1, 96; exit;\n"
                         "BOTH: bar.arrive 1, 96; bar.sync 1, 96;",
                         64),
              IsEmpty());
}

TEST(Hazards, ARelaxedArrivalHandsNothingOn) {
  const auto arrive = [](const std::string& how) {
    return hazards_of(
        "mov.u32 %r1, tile; setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [tile+128], 32; "
        "bar.sync 0; setp.ge.u32 %p2, %r0, 32; @%p2 bra W;\n"
        "L: mbarrier.try_wait.parity.shared.b64 %p3, [tile+128], 0; @!%p3 bra L; ld.shared.u32 "
        "%r3, [tile]; exit;\nW: setp.eq.u32 %p4, %r0, 32; @%p4 st.shared.u32 [tile], 5; " +
            how + "shared::cta.b64 _, [tile+128];",
        64);
  };
  EXPECT_THAT(arrive("mbarrier.arrive.release.cta."), IsEmpty());
  EXPECT_THAT(arrive("fence.acq_rel.cta; mbarrier.arrive.relaxed.cta."), IsEmpty());
  EXPECT_THAT(arrive("mbarrier.arrive.relaxed.cta."), ElementsAre(HasSubstr("race with a write")));
}

TEST(Hazards, AFenceOfGlobalMemoryShowsNoSharedOne) {
  const auto store = [](const std::string& fence) {
    return hazards_of("st.shared.v4.u32 [tile], {1, 2, 3, 4};" + fence +
                          "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [tile], 16; "
                          "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;",
                      1);
  };
  EXPECT_THAT(store("fence.proxy.async;"), IsEmpty());
  EXPECT_THAT(store("fence.proxy.async.global;"),
              ElementsAre(HasSubstr("no fence.proxy.async behind it")));
}

TEST(Hazards, AtomicsAreOrderedWithPlainAccessesOnly) {
  EXPECT_THAT(hazards_of("red.shared.add.u32 [tile], 1;", 64), IsEmpty());
  EXPECT_THAT(
      hazards_of("red.shared.add.u32 [tile], 1; bar.sync 0; ld.shared.u32 %r1, [tile];", 64),
      IsEmpty());
  EXPECT_THAT(hazards_of("setp.ge.u32 %p1, %r0, 32; @%p1 red.shared.add.u32 [tile], 1; @!%p1 "
                         "st.shared.u32 [tile], 0;",
                         64),
              testing::Contains(HasSubstr("race with a write")));
  EXPECT_THAT(hazards_of("red.shared.add.u32 [tile], 1; ld.shared.u32 %r1, [tile];", 64),
              testing::Contains(HasSubstr("race with a")));
}

TEST(Hazards, CopiesHandedToAnMbarrierAreThereAfterIt) {
  const auto copy = [](const std::string& wait) {
    return hazards_of(
        "mbarrier.init.shared.b64 [tile+128], 1; cp.async.ca.shared.global [tile], [%rd0], 16; "
        "cp.async.mbarrier.arrive.noinc.shared.b64 [tile+128];\n" +
            wait + "ld.shared.u32 %r1, [tile];",
        1);
  };
  EXPECT_THAT(copy("L: mbarrier.try_wait.parity.shared.b64 %p1, [tile+128], 0; @!%p1 bra L;"),
              IsEmpty());
  EXPECT_THAT(copy(""), ElementsAre(HasSubstr("race with a write")));
}

TEST(Hazards, BytesOfAnMbarrierAreItsOwnUntilItEnds) {
  const auto reuse = [](const std::string& end) {
    return hazards_of("mbarrier.init.shared.b64 [tile], 1; " + end + "st.shared.u32 [tile+4], 1;",
                      1);
  };
  EXPECT_THAT(reuse("mbarrier.inval.shared.b64 [tile];"), IsEmpty());
  EXPECT_THAT(reuse(""), ElementsAre(HasSubstr("writes over an mbarrier")));
}

TEST(Hazards, BulkLoadsOverAGenericWriteNeedAProxyFence) {
  const auto load = [](const std::string& fence) {
    return hazards_of(
        "st.shared.u32 [tile], 5; mbarrier.init.shared.b64 [tile+128], 1; "
        "mbarrier.arrive.expect_tx.shared.b64 _, [tile+128], 16;" +
            fence +
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], "
            "16, [tile+128];\nL: mbarrier.try_wait.parity.shared.b64 %p1, [tile+128], 0; @!%p1 "
            "bra L;",
        1);
  };
  EXPECT_THAT(load("fence.proxy.async.shared::cta;"), IsEmpty());
  EXPECT_THAT(load(""), ElementsAre(HasSubstr("writes over a generic write with no fence")));
}

TEST(Hazards, ABarrierCountsOnceHoweverLanesCome) {
  // Lane 0 comes late to warp 0's barrier: what it wrote in between is ordered all the same.
  const std::string body =
      "mov.u32 %r1, tile; mad.lo.u32 %r2, %r0, 4, %r1; setp.ne.u32 %p1, %r0, 0; @%p1 bra B;\n"
      "st.shared.u32 [%r2], 1; bra J;\nB: st.shared.u32 [%r2], 2;\nJ: bar.sync 0; "
      "sub.u32 %r3, 63, %r0; mad.lo.u32 %r3, %r3, 4, %r1; ld.shared.u32 %r4, [%r3];";
  EXPECT_THAT(hazards_of(body, 64), IsEmpty());
}

/// Warp 0 makes a tensor map in shared memory and copies it out; warp 1 stores a box by it.
std::vector<std::string> map_hazards(const std::string& first, const std::string& second,
                                     const std::string& fence) {
  std::string body =
      "mov.u32 %r1, tile; mad.lo.u32 %r2, %r0, 4, %r1; setp.ge.u32 %p1, %r0, 32; add.u64 %rd3, "
      "%rd0, 128; mov.u32 %r5, 0; @%p1 bra BUILT;\nst.shared.u32 [%r2], %r5;\n" +
      first + "\nsetp.ne.u32 %p2, %r0, 0; @%p2 bra MADE;\n";
  for (const char* each :
       {"global_address.shared::cta.b1024.b64 [%r1], %rd0;", "rank.shared::cta.b1024.b32 [%r1], 0;",
        "box_dim.shared::cta.b1024.b32 [%r1], 0, 4;",
        "global_dim.shared::cta.b1024.b32 [%r1], 0, 4;",
        "element_stride.shared::cta.b1024.b32 [%r1], 0, 1;",
        "elemtype.shared::cta.b1024.b32 [%r1], 2;",
        "interleave_layout.shared::cta.b1024.b32 [%r1], 0;",
        "swizzle_mode.shared::cta.b1024.b32 [%r1], 0;",
        "fill_mode.shared::cta.b1024.b32 [%r1], 0;"})
    body += std::string("tensormap.replace.tile.") + each + "\n";
  body +=
      "MADE: " + second +
      "\ntensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned "
      "[%rd3], [%r1], 128;\n" +
      fence +
      "\nBUILT: bar.sync 0; setp.ne.u32 %p3, %r0, 32; @%p3 exit;\n"
      "fence.proxy.async; cp.async.bulk.tensor.1d.global.shared::cta.tile.bulk_group [%rd3, "
      "{%r5}], [%r1]; cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;";
  return hazards_of(body, 64);
}

TEST(Hazards, TensorMapsAreMadeByLanesThatMeetAndSeenBehindAFence) {
  const std::string meet = "bar.warp.sync -1;",
                    fence = "fence.proxy.tensormap::generic.acquire.gpu [%rd3], 128;";
  EXPECT_THAT(map_hazards(meet, meet, fence), IsEmpty());
  for (const auto& hazards : {map_hazards("", meet, fence), map_hazards(meet, "", fence)})
    EXPECT_THAT(hazards, testing::Contains(HasSubstr("with no bar.warp.sync behind it")));
  EXPECT_THAT(map_hazards(meet, meet, ""),
              ElementsAre(HasSubstr("with no fence.proxy.tensormap behind its writing")));
}

TEST(Hazards, ManyTilesOfWgmmasAreAllRemembered) {
  // 64 tiles in turn, more than have a record at once; the first one is then written unordered.
  const auto body = [](const std::string& wait) {
    return "mov.b64 %rd1, 4611686293305294848; or.b64 %rd1, %rd1, 64; mov.u32 %r20, 0;\n"
           "LOOP: wgmma.fence.sync.aligned;\nwgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 "
           "{%r1,%r2,%r3,%r4}, {%r11,%r12,%r13,%r14}, %rd1, 0, 1, 1; "
           "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n"
           "add.u64 %rd1, %rd1, 64; add.u32 %r20, %r20, 1; setp.lt.u32 %p1, %r20, 64; @%p1 bra "
           "LOOP;\n" +
           wait + "setp.eq.u32 %p2, %r0, 128; @%p2 st.shared.u32 [1024], 5;\n";
  };
  const auto hazards = [&](const std::string& wait) {
    const std::string split = "setp.ge.u32 %p3, %r0, 128; @%p3 bra OTHER;\n";
    Launch launch = launch_of(split + body("") + wait +
                                  "exit;\nOTHER: mov.u32 %r21, 0;\nSPIN: "
                                  "add.u32 %r21, %r21, 1; setp.lt.u32 %p4, %r21, 9000; @%p4 bra "
                                  "SPIN;\n" +
                                  wait +
                                  "setp.eq.u32 %p2, %r0, 128; @%p2 st.shared.u32 "
                                  "[1024], 5;",
                              160, 128, ".extern .shared .align 1024 .b8 pool[];\n");
    launch.dynamic_shared = 64 * 1024 + 1024;
    launch.hazards = HazardSearch::on;
    const Outcome outcome = run(launch);
    EXPECT_EQ(outcome.fault.value_or(""), "");
    return outcome.hazards;
  };
  EXPECT_THAT(hazards("bar.sync 0;"), IsEmpty());
  EXPECT_THAT(hazards(""), testing::Contains(HasSubstr("race with a read")));
}

}  // namespace
}  // namespace karat::ptx
