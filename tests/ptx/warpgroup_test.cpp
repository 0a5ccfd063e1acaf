// What a warpgroup's wgmmas read is over for all its warps once one of them has waited, and not
// before.
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kShared =
    ".shared .align 1024 .b8 q[8192];\n.shared .align 1024 .b8 k[1024];\n"
    ".shared .align 8 .b64 full;\n.shared .align 8 .b64 empty;\n";

constexpr const char* kWgmma =
    "wgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 "
    "{%f1,%f2,%f3,%f4}, %rd1, %rd2, 0, 1, 1; wgmma.commit_group.sync.aligned;\n";
constexpr const char* kWait = "wgmma.wait_group.sync.aligned 0;\n";

/// Thread 0 fills k.
constexpr const char* kLoad =
    "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [full], 1024; @%p1 "
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [k], [%rd0], 1024, "
    "[full];\n";

/// %rd1, %rd2: descriptors of q and k; %p1: thread 0. The barriers expect one arrival.
std::string begin() {
  const auto descriptor = [](const std::string& reg, const std::string& array) {
    return "mov.u32 %r10, " + array + "; cvt.u64.u32 " + reg + ", %r10; shr.u64 " + reg + ", " +
           reg + ", 4; or.b64 " + reg + ", " + reg + ", 4611686293305294848;\n";
  };
  return descriptor("%rd1", "q") + descriptor("%rd2", "k") +
         "setp.eq.u32 %p1, %r0, 0; mov.u32 %r1, 0;\n@%p1 mbarrier.init.shared.b64 [full], 1; "
         "@%p1 mbarrier.init.shared.b64 [empty], 1; bar.sync 0;\n";
}

constexpr const char* kWaitFull =
    "and.b32 %r2, %r1, 1;\nF: mbarrier.try_wait.parity.shared.b64 %p2, [full], %r2; @!%p2 bra "
    "F;\n";
constexpr const char* kAgain = "add.u32 %r1, %r1, 1; setp.lt.u32 %p3, %r1, 4; @%p3 bra LOOP;\n";

/// One warpgroup whose thread 0 fills k again as soon as its own warp has waited; in the end all
/// wait for the last copy.
std::string refill(const std::string& wait, const std::string& refill = kLoad) {
  return begin() + kLoad + "LOOP:\n" + kWaitFull + kWgmma + wait + refill + kAgain +
         "and.b32 %r2, %r1, 1;\nG: mbarrier.try_wait.parity.shared.b64 %p2, [full], %r2; @!%p2 bra "
         "G;\n";
}

constexpr const char* kRelease = "@%p1 mbarrier.arrive.shared.b64 _, [empty];\n";

/// Warps 0 to 3 consume what warp 4 loads; `consume` ends with one elected thread's release.
std::string pipeline(const std::string& consume) {
  return begin() + "setp.ge.u32 %p4, %r0, 128; @%p4 bra PRODUCER;\nLOOP:\n" + kWaitFull + consume +
         kAgain + "exit;\nPRODUCER: setp.eq.u32 %p1, %r0, 128;\nMORE:\n" + kLoad +
         "and.b32 %r2, %r1, 1;\nE: mbarrier.try_wait.parity.shared.b64 %p2, [empty], %r2; @!%p2 "
         "bra E;\nadd.u32 %r1, %r1, 1; setp.lt.u32 %p3, %r1, 4; @%p3 bra MORE; exit;\n";
}

Outcome outcome_of(const std::string& body, std::uint32_t threads, Schedule schedule,
                   std::uint64_t seed = 0) {
  Launch launch = launch_of(body, threads, 256, kShared);
  launch.hazards = HazardSearch::on;
  launch.schedule = schedule;
  launch.seed = seed;
  return run(launch);
}

std::vector<std::string> hazards_of(const std::string& body, std::uint32_t threads,
                                    Schedule schedule, std::uint64_t seed = 0) {
  const Outcome outcome = outcome_of(body, threads, schedule, seed);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.hazards;
}

/// Under both schedules and some random ones.
void expect_none(const std::string& body, std::uint32_t threads) {
  EXPECT_THAT(hazards_of(body, threads, Schedule::eager), IsEmpty());
  EXPECT_THAT(hazards_of(body, threads, Schedule::late), IsEmpty());
  for (std::uint64_t seed = 0; seed < 10; ++seed)
    EXPECT_THAT(hazards_of(body, threads, Schedule::random, seed), IsEmpty()) << seed;
}

TEST(Warpgroups, OneWarpThatWaitedKnowsOfAllFour) {
  expect_none(refill(kWait), 128);
  // Without the wait, or with one that leaves the group, it does not.
  for (const char* wait : {"", "wgmma.wait_group.sync.aligned 1;\n"})
    for (const Schedule schedule : {Schedule::eager, Schedule::late})
      EXPECT_THAT(hazards_of(refill(wait), 128, schedule), Contains(HasSubstr("may still read")))
          << wait;
}

TEST(Warpgroups, OneElectedThreadReleasesAStage) {
  expect_none(pipeline(std::string(kWgmma) + kWait + kRelease), 160);
  // Released too early: whoever fills the stage again is in no order with the wgmma's reads. Where
  // that comes two phases early besides, it hangs.
  const std::string early = pipeline(std::string(kWgmma) + kRelease + kWait);
  for (const Schedule schedule : {Schedule::eager, Schedule::late, Schedule::random})
    EXPECT_THAT(outcome_of(early, 160, schedule, 3).hazards,
                Contains(HasSubstr("wgmma.mma_async")));
}

TEST(Warpgroups, AnEarlyReleaseIsReportedThoughTheWgmmaWasOver) {
  // The producer comes when the consumers have long waited: their arrival said nothing of it.
  const std::string body = begin() + "setp.ge.u32 %p4, %r0, 128; @%p4 bra PRODUCER;\n" + kWgmma +
                           "@%p1 mbarrier.arrive.shared.b64 _, [empty];\n" + kWait +
                           "exit;\nPRODUCER: mov.u32 %r5, 0;\nSPIN: add.u32 %r5, %r5, 1; "
                           "setp.lt.u32 %p4, %r5, 2000; @%p4 bra SPIN;\n"
                           "E: mbarrier.try_wait.parity.shared.b64 %p2, [empty], 0; @!%p2 bra E;\n"
                           "setp.eq.u32 %p1, %r0, 128;\n" +
                           kLoad;
  EXPECT_THAT(hazards_of(body, 160, Schedule::eager),
              Contains(AllOf(HasSubstr("race with a read"), HasSubstr("warps 0 to 3"))));
}

TEST(Warpgroups, ABadDescriptorIsTheFaultOfItsWgmma) {
  // The second of two on one accumulator reads far outside shared memory.
  const std::string wgmma =
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%f1,%f2,%f3,%f4}, {%r5,%r6,%r7,%r8}, ";
  const std::string body = "mov.b64 %rd1, 64; mov.b64 %rd2, 16383;\nwgmma.fence.sync.aligned;\n" +
                           wgmma + "%rd1, 0, 1, 1;\n" + wgmma + "%rd2, 1, 1, 1;\n" +
                           "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;";
  for (const Schedule schedule : {Schedule::eager, Schedule::late}) {
    Launch launch = launch_of(body, 128, 64, ".shared .align 1024 .b8 tile[2048];\n");
    launch.schedule = schedule;
    EXPECT_THAT(run(launch).fault.value_or("no fault"),
                testing::StartsWith("k.ptx:11: wgmma.mma_async"));
  }
}

TEST(Warpgroups, PlainReadsOfItsWarpsAreNotTheWgmmas) {
  // Warp 3 reads k itself before the wgmma: warp 0's wait does not order that.
  const std::string read = "setp.ge.u32 %p4, %r0, 96; @%p4 ld.shared.u32 %r4, [k];\n";
  const std::string body =
      begin() + kLoad + "LOOP:\n" + kWaitFull + read + kWgmma + kWait + kLoad + kAgain;
  EXPECT_THAT(hazards_of(body, 128, Schedule::eager),
              Contains(AllOf(HasSubstr("race with a read"), HasSubstr("ld.shared.u32"))));
}

}  // namespace
}  // namespace karat::ptx
