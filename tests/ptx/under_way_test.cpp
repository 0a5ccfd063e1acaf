// Work that nothing waits for: it ends in a fault, not in memory; groups that hold nothing cost
// nothing.
#include <sys/resource.h>

#include "execute/numbered_groups.hpp"
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::HasSubstr;

/// The fault of an endless loop that may run for long.
std::string fault_of_loop(const std::string& body, std::uint32_t threads, HazardSearch hazards,
                          Schedule schedule, std::uint64_t limit) {
  Launch launch = launch_of("L:\n" + body + "bra L;\n", threads, 64,
                            ".shared .align 1024 .b8 tile[16384];\n.shared .align 8 .b64 bar;\n");
  launch.hazards = hazards;
  launch.schedule = schedule;
  launch.limit = limit;
  return run(launch).fault.value_or("no fault");
}

TEST(UnderWay, EmptyGroupsTakeNoMemory) {
  NumberedGroups<int> groups;
  for (int i = 0; i < 1000; ++i) groups.commit();
  EXPECT_EQ(groups.items(), 0u);
  groups.add(5);
  groups.commit();
  EXPECT_FALSE(groups.take_before(groups.end(1)));
  EXPECT_EQ(groups.take_before(groups.end(0))->number, 1000u);

  for (const char* commit :
       {"cp.async.commit_group;", "cp.async.bulk.commit_group;", "cp.async.wait_all;"})
    for (const Schedule schedule : {Schedule::eager, Schedule::late})
      EXPECT_THAT(fault_of_loop(commit, 32, HazardSearch::on, schedule, 100'000),
                  HasSubstr("the limit of"));
}

TEST(UnderWay, WhatNothingWaitsForIsAFault) {
  const std::string wgmma =
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%f1,%f2,%f3,%f4}, %rd1, %rd1, 0, 1, "
      "1;";
  const std::string copy = "cp.async.ca.shared.global [tile], [%rd0], 16;";
  const std::string store = "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [tile], 16;";
  const std::string load =
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
      "[bar];";
  constexpr const char* kText = "are under way that nothing";
  EXPECT_THAT(fault_of_loop(wgmma, 128, HazardSearch::off, Schedule::eager, 1'000'000),
              HasSubstr(kText));
  for (const std::string& each : {copy, copy + "cp.async.commit_group;", store})
    EXPECT_THAT(fault_of_loop(each, 32, HazardSearch::off, Schedule::late, 1'000'000),
                HasSubstr(kText))
        << each;
  EXPECT_THAT(fault_of_loop("mbarrier.init.shared.b64 [bar], 1;" + load, 1, HazardSearch::off,
                            Schedule::late, 2'000'000),
              HasSubstr(kText));
  EXPECT_THAT(fault_of_loop(copy, 32, HazardSearch::on, Schedule::eager, 1'000'000),
              HasSubstr("that the warp does not wait for"));
}

TEST(UnderWay, CopiesHandedToAnMbarrierAreWalkedOnce) {
  // A producer that never waits for a group: a round's work does not grow with the rounds before.
  const auto seconds = [](int rounds) {
    Launch launch = launch_of(
        "setp.eq.u32 %p1, %r0, 0; @%p1 mbarrier.init.shared.b64 [bar], 32; bar.sync 0;\n"
        "mov.u32 %r1, 0; mov.u32 %r4, tile; mad.lo.u32 %r4, %r0, 16, %r4;\nLOOP: and.b32 %r2, "
        "%r1, 1; cp.async.ca.shared.global [%r4], [%rd0], 16; "
        "cp.async.mbarrier.arrive.noinc.shared.b64 [bar];\nW: mbarrier.try_wait.parity.shared.b64 "
        "%p2, [bar], %r2; @!%p2 bra W;\nadd.u32 %r1, %r1, 1; setp.lt.u32 %p3, %r1, " +
            std::to_string(rounds) + "; @%p3 bra LOOP;",
        32, 64, ".shared .align 128 .b8 tile[1024];\n.shared .align 8 .b64 bar;\n");
    launch.hazards = HazardSearch::on;
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    const Outcome outcome = run(launch);
    getrusage(RUSAGE_SELF, &after);
    EXPECT_EQ(outcome.fault.value_or(""), "");
    EXPECT_THAT(outcome.hazards, testing::IsEmpty());
    const auto of = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return of(after.ru_utime) - of(before.ru_utime);
  };
  // Nor is a phase reported as seen too late that ends by copies issued behind the wait.
  // 500 rounds took 3 s when each walked all before.
  EXPECT_LT(seconds(5000), 3);
}

}  // namespace
}  // namespace karat::ptx
