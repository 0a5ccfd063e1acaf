// mbarrier and named barriers: hand-made histories and a model that counts without bounds.
#include <gtest/gtest.h>

#include <cstdlib>

#include "registers.hpp"
#include "units/mbarrier.hpp"
#include "units/named_barrier.hpp"

namespace karat::ptx::units {
namespace {

TEST(PtxMbarrier, FreshBarrierHasCompletedParityOne) {
  Mbarrier barrier;
  EXPECT_EQ(barrier.init(3), BarrierEvent::none);
  EXPECT_TRUE(barrier.test_parity(1));
  EXPECT_FALSE(barrier.test_parity(0));
}

TEST(PtxMbarrier, ArrivalsCompleteAPhase) {
  Mbarrier barrier;
  barrier.init(2);
  EXPECT_EQ(barrier.arrive(), BarrierEvent::none);
  EXPECT_FALSE(barrier.test_parity(0));
  EXPECT_EQ(barrier.arrive(), BarrierEvent::completed);
  EXPECT_TRUE(barrier.test_parity(0));
  EXPECT_FALSE(barrier.test_parity(1));
  EXPECT_EQ(barrier.arrive(2), BarrierEvent::completed);
  EXPECT_TRUE(barrier.test_parity(1));
}

TEST(PtxMbarrier, BytesHoldAPhaseOpen) {
  Mbarrier barrier;
  barrier.init(1);
  EXPECT_EQ(barrier.arrive_expect_tx(4096), BarrierEvent::none);
  EXPECT_EQ(barrier.complete_tx(4000), BarrierEvent::none);
  EXPECT_EQ(barrier.complete_tx(96), BarrierEvent::completed);
  // Data may come before it is expected: the count passes below zero.
  EXPECT_EQ(barrier.complete_tx(64), BarrierEvent::none);
  EXPECT_EQ(barrier.tx, -64);
  EXPECT_EQ(barrier.arrive_expect_tx(64), BarrierEvent::completed);
}

TEST(PtxMbarrier, ErrorsHaveNames) {
  Mbarrier barrier;
  EXPECT_EQ(barrier.init(0), BarrierEvent::bad_count);
  EXPECT_EQ(barrier.init(1u << 20), BarrierEvent::bad_count);
  barrier.init(2);
  EXPECT_EQ(barrier.arrive(3), BarrierEvent::over_arrival);
  barrier.expect_tx(1);
  EXPECT_EQ(barrier.arrive(2), BarrierEvent::none);
  EXPECT_EQ(barrier.arrive(), BarrierEvent::over_arrival);
  EXPECT_EQ(barrier.expect_tx((1u << 20) - 2), BarrierEvent::none);
  EXPECT_EQ(barrier.expect_tx(1), BarrierEvent::tx_overflow);
  EXPECT_EQ(barrier.expect_tx(0xFFFFFFFF), BarrierEvent::tx_overflow);
  barrier.init((1u << 20) - 1);
  EXPECT_EQ(barrier.increment_pending(), BarrierEvent::count_overflow);
  for (const auto event :
       {BarrierEvent::over_arrival, BarrierEvent::tx_overflow, BarrierEvent::bad_count}) {
    EXPECT_TRUE(is_error(event));
    EXPECT_FALSE(barrier_event_meaning(event).empty());
  }
  EXPECT_FALSE(is_error(BarrierEvent::completed));
}

TEST(PtxMbarrier, DropsLowerTheNextPhases) {
  Mbarrier barrier;
  barrier.init(3);
  EXPECT_EQ(barrier.arrive_drop(), BarrierEvent::none);
  EXPECT_EQ(barrier.arrive(2), BarrierEvent::completed);
  EXPECT_EQ(barrier.pending, 2u);
  EXPECT_EQ(barrier.arrive(2), BarrierEvent::completed);
}

// cp.async.mbarrier.arrive without .noinc: the arrival it will make is added first.
TEST(PtxMbarrier, AsynchronousArrivalsMayBringTheirOwnCount) {
  Mbarrier barrier;
  barrier.init(1);
  EXPECT_EQ(barrier.increment_pending(), BarrierEvent::none);
  EXPECT_EQ(barrier.arrive(), BarrierEvent::none);
  EXPECT_EQ(barrier.arrive(), BarrierEvent::completed);
}

TEST(PtxMbarrier, StatesTellPhasesApart) {
  Mbarrier barrier;
  barrier.init(1);
  const std::uint64_t state = barrier.state();
  EXPECT_EQ(pending_count(state), 1u);
  EXPECT_FALSE(barrier.test_state(state));
  barrier.arrive();
  EXPECT_TRUE(barrier.test_state(state));
  barrier.arrive();  // two phases on the parity is the old one, the state is not
  EXPECT_TRUE(barrier.test_state(state));
  EXPECT_FALSE(barrier.test_parity(0));
}

/// Counts without bounds; words come and go with every step.
TEST(PtxMbarrier, RandomHistoriesAgreeWithAModel) {
  Words words(81);
  for (int history = 0; history < 200; ++history) {
    const long long count = 1 + words.below(5);
    long long phases = 0, arrived = 0, bytes = 0;
    Mbarrier barrier;
    barrier.init(static_cast<std::uint32_t>(count));
    for (int step = 0; step < 60; ++step) {
      const auto word = Mbarrier::from_word(barrier.word());
      ASSERT_TRUE(word.has_value());
      barrier = *word;
      const std::uint32_t n = words.below(300);
      BarrierEvent event = BarrierEvent::none;
      bool error = false;
      switch (words.below(4)) {
        case 0:
          event = barrier.expect_tx(n);
          bytes += n;
          break;
        case 1:
          event = barrier.complete_tx(n);
          bytes -= n;
          break;
        case 2:
          event = barrier.complete_tx(bytes > 0 ? static_cast<std::uint32_t>(bytes) : 0);
          if (bytes > 0) bytes = 0;
          break;
        default:
          error = arrived == count;
          event = barrier.arrive();
          if (!error) ++arrived;
      }
      const bool completes = !error && arrived == count && bytes == 0;
      if (completes) ++phases, arrived = 0;
      ASSERT_EQ(event, error       ? BarrierEvent::over_arrival
                       : completes ? BarrierEvent::completed
                                   : BarrierEvent::none);
      ASSERT_EQ(barrier.phase, static_cast<std::uint32_t>(phases % 4));
      ASSERT_EQ(barrier.pending, count - arrived);
      ASSERT_EQ(barrier.tx, bytes);
      ASSERT_EQ(barrier.test_parity(0), phases % 2 == 1);
    }
  }
}

TEST(PtxMbarrier, ForeignWordsAreNoBarriers) {
  EXPECT_FALSE(Mbarrier::from_word(0).has_value());
  EXPECT_FALSE(Mbarrier::from_word(0x7FFFFFFFFFFFFFFF).has_value());
}

TEST(PtxNamedBarrier, CompletesAndIsFreeAgain) {
  NamedBarrier barrier;
  EXPECT_EQ(barrier.arrive(96), NamedBarrierEvent::none);
  EXPECT_EQ(barrier.arrive(96), NamedBarrierEvent::none);
  EXPECT_EQ(barrier.arrive(96), NamedBarrierEvent::completed);
  EXPECT_EQ(barrier.round, 1u);
  EXPECT_EQ(barrier.arrive(32), NamedBarrierEvent::completed);
  EXPECT_EQ(barrier.arrive(64), NamedBarrierEvent::none);
  EXPECT_EQ(barrier.arrive(96), NamedBarrierEvent::count_mismatch);
  EXPECT_EQ(barrier.arrive(64), NamedBarrierEvent::completed);
  EXPECT_EQ(barrier.arrive(0), NamedBarrierEvent::bad_count);
  EXPECT_EQ(barrier.arrive(48), NamedBarrierEvent::bad_count);
}

}  // namespace
}  // namespace karat::ptx::units
