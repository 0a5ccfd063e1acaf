// When asynchronous work takes effect: at its issue, as late as can be, or at random.
#include <set>

#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kShared = ".shared .align 128 .b8 tile[1024];\n";

Outcome run_under(Schedule schedule, const std::string& body, std::uint32_t threads,
                  std::uint64_t seed = 0, HazardSearch hazards = HazardSearch::off) {
  Launch launch = launch_of(body, threads, 64, kShared);
  const auto words = launch.tensors["buffer"].value.as<std::uint32_t>();
  std::vector<std::uint32_t> initial(words.size(), 9);
  launch.tensors["buffer"].value = files::make_tensor(files::DType::u32, {64}, initial);
  launch.schedule = schedule;
  launch.seed = seed;
  launch.hazards = hazards;
  return run(launch);
}
std::uint32_t first_word(Schedule schedule, const std::string& body) {
  const Outcome outcome = run_under(schedule, body, 1);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return words_of(outcome)[0];
}

TEST(Schedule, CopiesAreLateUntilTheirGroupIsWaitedFor) {
  const auto copy = [](const std::string& wait) {
    return "cp.async.ca.shared.global [tile], [%rd0], 16; cp.async.commit_group;" + wait +
           "ld.shared.u32 %r1, [tile]; st.global.u32 [%rd0], %r1;";
  };
  EXPECT_EQ(first_word(Schedule::eager, copy("")), 9u);
  EXPECT_EQ(first_word(Schedule::late, copy("")), 0u);
  EXPECT_EQ(first_word(Schedule::late, copy("cp.async.wait_group 1;")), 0u);
  EXPECT_EQ(first_word(Schedule::late, copy("cp.async.wait_group 0;")), 9u);
  EXPECT_EQ(first_word(Schedule::late, copy("cp.async.wait_all;")), 9u);
}

/// A bulk load of 16 bytes to tile, its mbarrier at tile + 128.
std::string bulk_load(const std::string& wait, const std::string& expected = "16") {
  return "mbarrier.init.shared.b64 [tile+128], 1; mbarrier.arrive.expect_tx.shared.b64 _, "
         "[tile+128], " +
         expected +
         "; cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
         "[tile+128];\n" +
         wait + "ld.shared.u32 %r1, [tile]; st.global.u32 [%rd0], %r1;";
}
const std::string kWait = "L: mbarrier.try_wait.parity.shared.b64 %p1, [tile+128], 0; @!%p1 bra L;";

TEST(Schedule, BulkLoadsAreLateUntilEverybodyWaits) {
  EXPECT_EQ(first_word(Schedule::eager, bulk_load("")), 9u);
  EXPECT_EQ(first_word(Schedule::late, bulk_load("")), 0u);
  EXPECT_EQ(first_word(Schedule::late, bulk_load(kWait)), 9u);
  // One look is no wait.
  EXPECT_EQ(first_word(Schedule::late,
                       bulk_load("mbarrier.try_wait.parity.shared.b64 %p1, [tile+128], 0;")),
            0u);
}

TEST(Schedule, LateDataShowsAPhaseThatExpectsTooLittle) {
  // The phase is over at once, as it expects nothing: data that is there early hides it.
  const std::string body =
      "mbarrier.init.shared.b64 [tile+128], 1; "
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
      "[tile+128]; mbarrier.expect_tx.shared.b64 [tile+128], 16; mbarrier.arrive.shared.b64 _, "
      "[tile+128];" +
      kWait + "ld.shared.u32 %r1, [tile];";
  const std::string wrong =
      "mbarrier.init.shared.b64 [tile+128], 1; mbarrier.arrive.shared.b64 _, "
      "[tile+128]; cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], "
      "[%rd0], 16, [tile+128];" +
      kWait + "ld.shared.u32 %r1, [tile];";
  for (const Schedule each : {Schedule::eager, Schedule::late})
    EXPECT_THAT(run_under(each, body, 1, 0, HazardSearch::on).hazards, testing::IsEmpty());
  EXPECT_THAT(run_under(Schedule::late, wrong, 1, 0, HazardSearch::on).hazards,
              ElementsAre(HasSubstr("race with a write"), HasSubstr("ends its CTA while a bulk")));
}

TEST(Schedule, StoresReadLateAndAreDoneAtTheEnd) {
  const std::string store =
      "st.shared.v4.u32 [tile], {1, 2, 3, 4}; fence.proxy.async; "
      "cp.async.bulk.global.shared::cta.bulk_group [%rd0], [tile], 16; "
      "cp.async.bulk.commit_group;";
  const std::string overwrite = "st.shared.u32 [tile], 7;";
  EXPECT_EQ(first_word(Schedule::eager, store + overwrite), 1u);
  EXPECT_EQ(first_word(Schedule::late, store + overwrite), 7u);
  EXPECT_EQ(first_word(Schedule::late, store + "cp.async.bulk.wait_group.read 0;" + overwrite), 1u);
}

TEST(Schedule, AFaultOfLateWorkNamesItsInstruction) {
  const Outcome outcome = run_under(
      Schedule::late,
      "mbarrier.init.shared.b64 [tile+128], 1; mbarrier.arrive.expect_tx.shared.b64 _, "
      "[tile+128], 16; add.u64 %rd0, %rd0, 4096;\n"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%rd0], 16, "
      "[tile+128];\n" +
          kWait,
      1);
  EXPECT_THAT(outcome.fault.value_or(""), testing::StartsWith("k.ptx:9: cp.async.bulk"));
}

TEST(Schedule, RandomOrdersAreRepeatedBySeed) {
  // Each warp adds its number to what it found: without a barrier the order shows.
  const std::string body =
      "shr.u32 %r1, %r0, 5; mov.u32 %r3, 0; L: ld.shared.u32 %r2, [tile]; mad.lo.u32 %r2, %r2, 5, "
      "%r1; st.shared.u32 [tile], %r2; add.u32 %r3, %r3, 1; setp.lt.u32 %p1, %r3, 60; @%p1 bra "
      "L;\nst.global.u32 [%rd0], %r2;";
  std::set<std::uint32_t> seen;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const auto once = words_of(run_under(Schedule::random, body, 128, seed));
    EXPECT_EQ(once, words_of(run_under(Schedule::random, body, 128, seed)));
    seen.insert(once[0]);
  }
  EXPECT_GT(seen.size(), 1u);
}

TEST(Schedule, WhatArrivesWhileAllWaitIsSeen) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Outcome outcome = run_under(Schedule::random, bulk_load(kWait), 1, seed);
    EXPECT_EQ(outcome.fault.value_or(""), "") << seed;
    EXPECT_EQ(words_of(outcome)[0], 9u) << seed;
  }
}

// No barrier holds the last warp to meet: it is at its second wgmma before the others have waited
// for the first.
TEST(Schedule, WarpsOfAWarpgroupMayRunAheadOfEachOther) {
  const std::string step =
      "wgmma.fence.sync.aligned;\n"
      "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 {%r1,%r2,%r3,%r4}, %rd1, %rd1, 0, 1, "
      "1;\n"
      "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n";
  Launch launch =
      launch_of("mov.b64 %rd1, 4611686293305294848; or.b64 %rd1, %rd1, 64;\n" + step + step + step,
                128, 128, ".extern .shared .align 1024 .b8 pool[];\n");
  launch.dynamic_shared = 16384;
  for (const Schedule schedule : {Schedule::eager, Schedule::late, Schedule::random}) {
    launch.schedule = schedule;
    for (launch.seed = 0; launch.seed < 5; ++launch.seed)
      EXPECT_EQ(run(launch).fault.value_or(""), "") << static_cast<int>(schedule);
  }
}

}  // namespace
}  // namespace karat::ptx
