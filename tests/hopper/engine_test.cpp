// The event engine: order of events, units of time, counters, and failures inside processes.
#include "sm/engine.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace karat::hopper {
namespace {

Process note(Engine& engine, double after, int mark, std::vector<int>& seen) {
  co_await engine.delay(after);
  seen.push_back(mark);
}

TEST(Engine, RunsByTimeAndThenByOrderOfScheduling) {
  Engine engine;
  std::vector<int> seen;
  engine.spawn(note(engine, 2, 1, seen));
  engine.spawn(note(engine, 1, 2, seen));
  engine.spawn(note(engine, 2, 3, seen));
  engine.run();
  EXPECT_EQ(seen, (std::vector<int>{2, 1, 3}));
  EXPECT_EQ(engine.now(), 2);
  EXPECT_TRUE(engine.finished());
}

Process wait_for(Engine& engine, Count& count, int n, double& when) {
  co_await count.reaches(n);
  when = engine.now();
}
Process count_up(Engine& engine, Count& count, double every, int times) {
  for (int i = 0; i < times; ++i) {
    co_await engine.delay(every);
    count.add();
  }
}

TEST(Engine, CountsWakeWhoWaitsAtTheRightTime) {
  Engine engine;
  Count count(engine);
  double second = 0, third = 0;
  engine.spawn(wait_for(engine, count, 3, third));
  engine.spawn(wait_for(engine, count, 2, second));
  engine.spawn(count_up(engine, count, 5, 3));
  engine.run();
  EXPECT_EQ(second, 10);
  EXPECT_EQ(third, 15);
}

TEST(Engine, SaysWhenProcessesWaitForever) {
  Engine engine;
  Count count(engine);
  double when = -1;
  engine.spawn(wait_for(engine, count, 1, when));
  engine.run();
  EXPECT_FALSE(engine.finished());
  EXPECT_EQ(when, -1);
}

Process fail(Engine& engine) {
  co_await engine.delay(1);
  throw std::runtime_error("inside");
}

TEST(Engine, PassesOnWhatAProcessThrows) {
  Engine engine;
  engine.spawn(fail(engine));
  EXPECT_THROW(engine.run(), std::runtime_error);
}

}  // namespace
}  // namespace karat::hopper
