// Clusters of two CTAs: copies into both, each other's shared memory and mbarriers, and the order
// that makes them right.
#include <numeric>

#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kShared =
    ".shared .align 128 .b8 tile[256];\n.shared .align 8 .b64 bar;\n.shared .align 8 .b64 free;\n";
constexpr const char* kMeet =
    "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\n";
/// %r1 the rank, %r2 the mbarrier, %r3 the tile; thread 0 (%p1) begins the mbarrier.
constexpr const char* kBegin =
    "mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, bar; mov.u32 %r3, tile; setp.eq.u32 %p1, %r0, 0;\n"
    "setp.eq.u32 %p4, %r1, 0;\n";
constexpr const char* kWait =
    "{ WAIT: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p3, [%r2], 0; @!%p3 bra "
    "WAIT; }\n";
/// Word `thread` of the tile goes to word 64 + 64 rank + thread of the buffer.
constexpr const char* kWriteTile =
    "mad.lo.u32 %r4, %r0, 4, %r3; ld.shared.u32 %r5, [%r4]; mad.lo.u32 %r6, %r1, 64, 64; add.u32 "
    "%r6, %r6, %r0; mad.wide.u32 %rd2, %r6, 4, %rd0; st.global.u32 [%rd2], %r5;\n";

Launch pair_of(const std::string& body) {
  Launch launch = launch_of(body, 64, 192, kShared);
  launch.grid = launch.cluster = {2, 1, 1};
  auto words = launch.tensors["buffer"].value.as<std::uint32_t>();
  std::iota(words.begin(), words.begin() + 64, 1000u);
  return launch;
}

std::vector<std::string> hazards_of(Launch launch, Schedule schedule = Schedule::eager) {
  launch.hazards = HazardSearch::on;
  launch.schedule = schedule;
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.hazards;
}

constexpr const char* kFence = "@%p1 fence.mbarrier_init.release.cluster;\n";

std::string multicast(const std::string& behind, const std::string& fence = kFence) {
  return std::string(kBegin) + "@%p1 mbarrier.init.shared::cta.b64 [%r2], 1;\n" + fence +
         "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;\n" + kMeet +
         "and.pred %p2, %p1, %p4; mov.u16 %rs1, 3;\n"
         "@%p2 "
         "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
         "[%r3], [%rd0], 256, [%r2], %rs1;\n" +
         behind + kWriteTile + kMeet;
}

TEST(Cluster, AMulticastWritesEveryCtaAndItsMbarrier) {
  for (const Schedule schedule : {Schedule::eager, Schedule::late, Schedule::random}) {
    Launch launch = pair_of(multicast(kWait));
    launch.schedule = schedule;
    const Outcome outcome = run(launch);
    ASSERT_EQ(outcome.fault.value_or(""), "");
    const auto words = words_of(outcome);
    for (std::uint32_t i = 0; i < 128; ++i) EXPECT_EQ(words[64 + i], 1000 + i % 64) << i;
    EXPECT_THAT(hazards_of(launch, schedule), IsEmpty());
  }
  EXPECT_THAT(hazards_of(pair_of(multicast(""))), Contains(HasSubstr("race with a")));
}

/// Every thread of CTA 1 writes a word of CTA 0's tile and arrives at its mbarrier.
std::string remote(const std::string& store, const std::string& arrive, const std::string& wait) {
  return std::string(kBegin) + "@%p1 mbarrier.init.shared::cta.b64 [%r2], 64;\n" + kMeet +
         "mapa.shared::cluster.u32 %r7, %r3, 0; mapa.shared::cluster.u32 %r8, %r2, 0; mad.lo.u32 "
         "%r7, %r0, 4, %r7; add.u32 %r9, %r0, 500;\n"
         "@%p4 bra READ;\n" +
         store + arrive + "bra OUT;\nREAD:\n" + wait + kWriteTile + "OUT:\n" + kMeet;
}
constexpr const char* kStore = "st.shared::cluster.u32 [%r7], %r9;\n";
constexpr const char* kArrive = "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r8];\n";

TEST(Cluster, ArrivalsAtAnotherCtasMbarrierHandItsBytesOver) {
  const Launch launch = pair_of(remote(kStore, kArrive, kWait));
  const auto words = words_of(run(launch));
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(words[64 + i], 500 + i) << i;
  EXPECT_THAT(hazards_of(launch), IsEmpty());
  EXPECT_THAT(hazards_of(launch, Schedule::late), IsEmpty());
}

TEST(Cluster, RemoteAccessesNeedAnOrder) {
  EXPECT_THAT(hazards_of(pair_of(remote(kArrive, kStore, kWait))),
              Contains(HasSubstr("race with a")));
  EXPECT_THAT(hazards_of(pair_of(remote(kStore, kArrive, ""))), Contains(HasSubstr("race with a")));
}

constexpr const char* kMeetRelaxed =
    "barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;\n";

/// Thread 0 of CTA 1 arrives at CTA 0's mbarrier, which was begun before `meet`.
std::string arrival(const std::string& meet, const std::string& first, const std::string& second) {
  return std::string(kBegin) + "@%p1 mbarrier.init.shared::cta.b64 [%r2], 1;\n" + meet +
         "mapa.shared::cluster.u32 %r8, %r2, 0;\n@%p4 bra FIRST;\n" + second +
         "@%p1 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r8];\nexit;\nFIRST:\n" +
         first;
}

TEST(Cluster, AFenceOfInitsReleasesThemToARelaxedBarrier) {
  const std::string meet = kMeetRelaxed;
  EXPECT_THAT(hazards_of(pair_of(arrival(kFence + meet, kWait, ""))), IsEmpty());
  EXPECT_THAT(hazards_of(pair_of(arrival("@%p1 fence.acq_rel.cluster;\n" + meet, kWait, ""))),
              IsEmpty());
  EXPECT_THAT(hazards_of(pair_of(arrival(meet, kWait, ""))),
              Contains(HasSubstr("race with a write")));
  // Of what else the warp wrote it says nothing.
  const auto word = [&](const std::string& fence) {
    return hazards_of(pair_of(std::string(kBegin) + "@%p1 st.shared.u32 [%r3], 7;\n" + fence +
                              kMeetRelaxed + "mapa.shared::cluster.u32 %r7, %r3, 0;\n" +
                              "@!%p4 ld.shared::cluster.u32 %r5, [%r7];\n" + kMeet));
  };
  EXPECT_THAT(word("@%p1 fence.acq_rel.cluster;\n"), IsEmpty());
  EXPECT_THAT(word(kFence), Contains(HasSubstr("race with a write")));
}

TEST(Cluster, AMulticastNeedsTheFenceOfInits) {
  EXPECT_THAT(hazards_of(pair_of(multicast(kWait, ""))),
              testing::ElementsAre(HasSubstr("no fence.mbarrier_init behind its init")));
  EXPECT_THAT(hazards_of(pair_of(multicast(kWait, "@%p1 fence.proxy.async.shared::cta;\n"))),
              IsEmpty());
}

TEST(Cluster, ACtaStaysUntilNobodyNeedsItsSharedMemory) {
  const std::string meet = kMeet;
  EXPECT_THAT(hazards_of(pair_of(arrival(meet, kWait, ""))), IsEmpty());
  EXPECT_THAT(hazards_of(pair_of(arrival(meet, "", ""))),
              Contains(HasSubstr("accesses shared memory of a CTA that may have ended")));
  EXPECT_THAT(hazards_of(pair_of(arrival(meet, "", "")), Schedule::late),
              Contains(HasSubstr("ends its CTA with no order behind another CTA's access")));
  for (const Schedule schedule : {Schedule::eager, Schedule::late}) {
    // Both CTAs wait for the copy, or neither does.
    std::string copied = multicast(kWait);
    copied.resize(copied.size() - meet.size());
    EXPECT_THAT(hazards_of(pair_of(copied), schedule), IsEmpty());
    EXPECT_THAT(hazards_of(pair_of(multicast("exit;\n")), schedule),
                Contains(HasSubstr("ends its CTA while a bulk copy of its shared memory may be")));
  }
}

TEST(Cluster, ACtaIsThereOnceItHasMetAnother) {
  const auto store = [](const std::string& before) {
    return hazards_of(pair_of(std::string(kBegin) + before +
                              "mapa.shared::cluster.u32 %r7, %r3, 0; and.pred %p2, %p1, %p4;\n"
                              "xor.pred %p2, %p1, %p2;\n"
                              "@%p2 st.shared::cluster.u32 [%r7], %r0;\n" +
                              kMeet));
  };
  EXPECT_THAT(store(kMeetRelaxed), IsEmpty());
  EXPECT_THAT(store(""), Contains(HasSubstr("accesses shared memory of CTA 0, which may not have "
                                            "begun")));
}

TEST(Cluster, ACopyBetweenCtasReadsUntilItsMbarrierHasCounted) {
  // CTA 0 copies its tile to CTA 1, which waits; `behind` is what CTA 0 does next.
  const auto copy = [](const std::string& behind) {
    return hazards_of(pair_of(
        std::string(kBegin) +
        "mad.lo.u32 %r4, %r0, 4, %r3; st.shared.u32 [%r4], %r0; fence.proxy.async;\n"
        "@%p1 mbarrier.init.shared::cta.b64 [%r2], 1;\n"
        "@%p1 fence.mbarrier_init.release.cluster;\n"
        "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;\n" +
        kMeet +
        "mapa.shared::cluster.u32 %r7, %r3, 1; mapa.shared::cluster.u32 %r8, %r2, 1;\n"
        "@!%p4 bra TAKE; and.pred %p2, %p1, %p4;\n"
        "@%p2 cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r7], "
        "[%r3], 256, [%r8];\n" +
        behind + "exit;\nTAKE:\n" + kWait + kMeet));
  };
  const std::string meet = kMeet;
  EXPECT_THAT(copy(meet), IsEmpty());
  EXPECT_THAT(copy(meet + "st.shared.u32 [%r4], 1;\n"), IsEmpty());
  EXPECT_THAT(copy("st.shared.u32 [%r4], 1;\n" + meet),
              Contains(HasSubstr("race with a read at shared address")));
  EXPECT_THAT(copy(""), Contains(HasSubstr("ends its CTA while a bulk copy")));
}

TEST(Cluster, AtomicsReachAnotherCtasSharedMemory) {
  const Launch launch = pair_of(
      std::string(kBegin) + "@%p1 st.shared.u32 [%r3], 7;\n" + kMeet +
      "mapa.shared::cluster.u32 %r7, %r3, 0; atom.shared::cluster.add.u32 %r9, [%r7], 1;\n" +
      kMeet +
      "ld.shared::cluster.u32 %r5, [%r7]; mad.lo.u32 %r6, %r1, 64, 64; add.u32 %r6, %r6, %r0; "
      "mad.wide.u32 %rd2, %r6, 4, %rd0; st.global.u32 [%rd2], %r5;\n" +
      kMeet);
  const auto words = words_of(run(launch));
  for (std::uint32_t i = 0; i < 128; ++i) EXPECT_EQ(words[64 + i], 7 + 128u);
  EXPECT_THAT(hazards_of(launch), IsEmpty());
}

/// Each thread of a CTA stores 4 bytes into the other CTA and adds 5 and its number there.
std::string async_stores(const std::string& behind) {
  return std::string(kBegin) +
         "mov.u32 %r20, 0; mad.lo.u32 %r4, %r0, 4, %r3; st.shared.u32 [%r4], %r20;\n"
         "@%p1 mbarrier.init.shared::cta.b64 [%r2], 1;\n"
         "@%p1 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 388;\n" +
         kMeet +
         "xor.b32 %r7, %r1, 1; mapa.shared::cluster.u32 %r8, %r2, %r7; mapa.shared::cluster.u32 "
         "%r9, %r4, %r7; mapa.shared::cluster.u32 %r10, %r3, %r7;\n"
         "add.u32 %r11, %r0, 100; setp.ge.u32 %p5, %r0, 32; setp.lt.u32 %p6, %r0, 31;\n"
         "@%p5 st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r9], %r11, [%r8];\n"
         "@%p6 red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 "
         "[%r10+4], 5, [%r8];\n"
         "@%p6 red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.max.u32 "
         "[%r10+8], %r11, [%r8];\n"
         "@%p1 st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%r10+112], {7, "
         "8}, [%r8];\n"
         "@%p1 red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.or.b32 "
         "[%r10+12], 9, [%r8];\n" +
         behind + kWriteTile + kMeet;
}

TEST(Cluster, AsynchronousStoresCountAtTheOthersMbarrier) {
  for (const Schedule schedule : {Schedule::eager, Schedule::late, Schedule::random}) {
    Launch launch = pair_of(async_stores(kWait));
    launch.schedule = schedule;
    launch.hazards = HazardSearch::on;
    const Outcome outcome = run(launch);
    EXPECT_EQ(outcome.fault.value_or(""), "");
    EXPECT_THAT(outcome.hazards, IsEmpty());
    const auto words = words_of(outcome);
    for (std::size_t rank = 0; rank < 2; ++rank)
      for (std::size_t t = 0; t < 64; ++t)
        EXPECT_EQ(words[64 + 64 * rank + t], t >= 32   ? 100 + t
                                             : t == 1  ? 31 * 5
                                             : t == 2  ? 130
                                             : t == 3  ? 9
                                             : t == 28 ? 7
                                             : t == 29 ? 8
                                                       : 0)
            << rank << " " << t;
  }
}

}  // namespace
}  // namespace karat::ptx
