// The parallel loop's promises, with forks and OMP_NUM_THREADS among them.
#include "karat/numerics/base/parallel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace karat::numerics {
namespace {

/// Items 0 to count - 1 that a loop ran, in the order of running.
std::vector<std::size_t> items_of_loop(std::size_t count, int threads) {
  std::mutex lock;
  std::vector<std::size_t> items;
  parallel_for(count, threads, [&](std::size_t item, int) {
    const std::lock_guard hold(lock);
    items.push_back(item);
  });
  return items;
}

/// Workers of a loop whose items wait for each other: as many as it really runs on.
std::set<int> workers_of_loop(std::size_t items, int threads) {
  std::mutex lock;
  std::condition_variable all_here;
  std::set<int> workers;
  parallel_for(items, threads, [&](std::size_t, int worker) {
    std::unique_lock hold(lock);
    workers.insert(worker);
    all_here.notify_all();
    all_here.wait_for(hold, std::chrono::seconds(20), [&] { return workers.size() == items; });
  });
  return workers;
}

TEST(Parallel, RunsEveryItemOnce) {
  for (const std::size_t count : {0, 1, 2, 7, 1000})
    for (const int threads : {0, 1, 2, 5}) {
      const auto items = items_of_loop(count, threads);
      EXPECT_EQ(items.size(), count);
      EXPECT_EQ(std::set(items.begin(), items.end()).size(), count);
      EXPECT_THAT(items, testing::Each(testing::Lt(count)));
    }
}

TEST(Parallel, OneThreadGoesInOrder) {
  EXPECT_THAT(items_of_loop(5, 1), testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(Parallel, ObeysTheNumberOfThreads) {
  EXPECT_THAT(workers_of_loop(1, 1), testing::ElementsAre(0));
  EXPECT_THAT(workers_of_loop(3, 3), testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(workers_of_loop(6, 6), testing::ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Parallel, WorkerZeroIsTheCaller) {
  const auto caller = std::this_thread::get_id();
  std::atomic<int> wrong = 0;
  parallel_for(100, 4, [&](std::size_t, int worker) {
    wrong += (worker == 0) != (std::this_thread::get_id() == caller);
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Parallel, AnExceptionStopsTheLoop) {
  int ran = 0;
  const auto body = [&](std::size_t item, int) {
    ++ran;
    if (item == 3) throw std::runtime_error("three");
  };
  EXPECT_THAT([&] { parallel_for(1000, 1, body); },
              testing::ThrowsMessage<std::runtime_error>("three"));
  EXPECT_EQ(ran, 4);
  EXPECT_THROW(parallel_for(8, 4, [](std::size_t, int) { throw std::logic_error("all"); }),
               std::logic_error);
  EXPECT_EQ(items_of_loop(10, 4).size(), 10u) << "after a loop that failed";
}

TEST(Parallel, LoopsNest) {
  std::vector<std::vector<int>> sums(6, std::vector<int>(50));
  parallel_for(sums.size(), 3, [&](std::size_t outer, int) {
    parallel_for(sums[outer].size(), 4, [&](std::size_t inner, int worker) {
      sums[outer][inner] += worker < 4 ? 1 : 100;
    });
  });
  EXPECT_THAT(sums, testing::Each(testing::Each(1)));
}

TEST(Parallel, AnExceptionOfANestedLoopArrives) {
  const auto inner = [](std::size_t item, int) {
    if (item == 2) throw std::out_of_range("inner");
  };
  EXPECT_THROW(parallel_for(4, 2, [&](std::size_t, int) { parallel_for(4, 2, inner); }),
               std::out_of_range);
}

/// Items that wait for others, which other threads must run.
class Meeting {
 public:
  void come() {
    const std::lock_guard hold(lock_);
    ++here_;
    came_.notify_all();
  }
  bool wait_for(int others) {
    std::unique_lock hold(lock_);
    return came_.wait_for(hold, std::chrono::seconds(20), [&] { return here_ >= others; });
  }

 private:
  std::mutex lock_;
  std::condition_variable came_;
  int here_ = 0;
};

TEST(ParallelInOrder, ItemsLeaveInOrderWhoeverIsDoneFirst) {
  Meeting done;
  std::vector<std::size_t> left;
  parallel_in_order(4, 4, [&](std::size_t item, int) -> std::function<void()> {
    EXPECT_TRUE(item != 0 || done.wait_for(3)) << "items 1 to 3 run beside it";
    done.come();
    return [&left, item] { left.push_back(item); };
  });
  EXPECT_THAT(left, testing::ElementsAre(0, 1, 2, 3));
}

TEST(ParallelInOrder, AtMostOneItemAThreadIsUnderWay) {
  for (const int threads : {1, 2, 3, 8}) {
    std::atomic<int> under_way = 0, most = 0;
    std::atomic<int> leaving = 0, most_leaving = 0;
    std::vector<std::size_t> left;
    const auto grown = [](std::atomic<int>& count, std::atomic<int>& largest) {
      const int now = ++count;
      for (int seen = largest; seen < now && !largest.compare_exchange_weak(seen, now);) {
      }
    };
    parallel_in_order(50, threads, [&](std::size_t item, int worker) -> std::function<void()> {
      EXPECT_LT(worker, threads);
      grown(under_way, most);
      if (item % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return [&, item] {
        grown(leaving, most_leaving);
        left.push_back(item);
        --leaving;
        --under_way;
      };
    });
    EXPECT_EQ(left.size(), 50u);
    EXPECT_TRUE(std::ranges::is_sorted(left));
    EXPECT_LE(most, threads);
    EXPECT_EQ(most_leaving, 1);
  }
}

TEST(ParallelInOrder, TheFirstItemsFailureComesOut) {
  for (const bool in_work : {true, false}) {
    Meeting failed;
    std::vector<std::size_t> left;
    const auto work = [&](std::size_t item, int) -> std::function<void()> {
      if (item == 3) {
        failed.come();
        throw std::runtime_error("three, which was first in time");
      }
      if (item == 2) {
        EXPECT_TRUE(failed.wait_for(1));
        if (in_work) throw std::runtime_error("two");
        return [] { throw std::runtime_error("two"); };
      }
      return [&left, item] { left.push_back(item); };
    };
    EXPECT_THAT([&] { parallel_in_order(100, 4, work); },
                testing::ThrowsMessage<std::runtime_error>("two"));
    EXPECT_THAT(left, testing::ElementsAre(0, 1));
  }
}

TEST(ParallelInOrder, InsideALoopItRunsOnItsCallersThread) {
  std::vector<std::vector<std::size_t>> left(3);
  parallel_for(3, 3, [&](std::size_t outer, int) {
    parallel_in_order(5, 4, [&](std::size_t item, int) -> std::function<void()> {
      return [&, item] { left[outer].push_back(item); };
    });
  });
  EXPECT_THAT(left, testing::Each(testing::ElementsAre(0, 1, 2, 3, 4)));
}

TEST(Parallel, BothSidesOfAForkRunLoops) {
  EXPECT_EQ(items_of_loop(100, 4).size(), 100u);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    const bool good = items_of_loop(100, 4).size() == 100 && workers_of_loop(3, 3).size() == 3;
    ::_exit(good ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  EXPECT_EQ(items_of_loop(100, 4).size(), 100u);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// ctest runs this one with OMP_NUM_THREADS=3 as well.
TEST(Parallel, ZeroThreadsMeansTheEnvironments) {
  if (const char* asked = std::getenv("OMP_NUM_THREADS")) {
    EXPECT_EQ(default_threads(), std::atoi(asked));
  }
  const auto threads = static_cast<std::size_t>(default_threads());
  EXPECT_EQ(workers_of_loop(threads, 0).size(), threads);
}

}  // namespace
}  // namespace karat::numerics
