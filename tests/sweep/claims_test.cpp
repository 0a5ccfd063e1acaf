// Claims: one winner, leases that no clock decides.
#include "karat/sweep/claims.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "folder.hpp"

namespace karat::sweep {
namespace {

using Seconds = std::chrono::duration<double>;
using Look = Claims::Look;

/// A node whose wall clock is off, on a file system that stamps files by the writer's clock; its
/// steady clock is moved by the test.
struct Node {
  double wall = 0;    ///< seconds its wall clock is ahead
  double steady = 0;  ///< what its steady clock shows
  int beats = 0;
  RunnerClock clock() {
    return {.steady = [this] { return Seconds(steady); },
            .touch =
                [this](const std::filesystem::path& path) {
                  ++beats;
                  const timespec time{.tv_sec = 1'700'000'000 + static_cast<time_t>(wall) + beats,
                                      .tv_nsec = 0};
                  const timespec times[2] = {time, time};
                  ::utimensat(AT_FDCWD, path.c_str(), times, 0);
                }};
  }
};

class ClaimsTest : public ::testing::Test {
 protected:
  ClaimsTest() {
    for (const char* name : {"claims", "taken"}) std::filesystem::create_directory(folder / name);
  }
  Claims claims(Node& node, const std::filesystem::path& at) {
    return Claims(at, this_runner(), Seconds(60), node.clock());
  }
  Folder folder;
};

TEST_F(ClaimsTest, OneOfManyWins) {
  constexpr int kRunners = 8, kShards = 50;
  std::atomic<int> won = 0;
  std::vector<std::thread> threads;
  std::vector<std::unique_ptr<Claims>> all;
  for (int i = 0; i < kRunners; ++i)
    all.push_back(std::make_unique<Claims>(folder / "", this_runner(), Seconds(60)));
  for (auto& claims : all)
    threads.emplace_back([&] {
      for (std::size_t shard = 0; shard < kShards; ++shard) won += claims->claim(shard);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(won, kShards);
  EXPECT_FALSE(all[0]->claim(7) && all[1]->claim(7));
}

TEST_F(ClaimsTest, AreGivenBack) {
  Node node;
  {
    Claims first = claims(node, folder / "");
    EXPECT_TRUE(first.claim(3));
    EXPECT_FALSE(first.claim(3)) << "nobody claims twice";
    first.release(3);
    EXPECT_TRUE(first.claim(3));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "claims"));
}

/// Two names of one folder, as two nodes have; clocks an hour apart in both directions.
TEST_F(ClaimsTest, LivingRunnersKeepTheirShardsWhateverTheClocksSay) {
  std::filesystem::create_directory_symlink(folder / "", folder / "mount");
  for (const double hours : {-1.0, 0.0, 1.0}) {
    Node holder{.wall = hours * 3600, .steady = 500}, observer{.wall = 0, .steady = 9e6};
    Claims held = claims(holder, folder / ""), other = claims(observer, folder / "mount");
    ASSERT_TRUE(held.claim(1));
    EXPECT_FALSE(other.claim(1));
    EXPECT_EQ(other.look(1), Look::unknown);
    for (int minute = 0; minute < 10; ++minute) {
      for (int beat = 0; beat < 4; ++beat) held.beat();
      observer.steady += 59;
      EXPECT_EQ(other.look(1), Look::alive) << hours << " h, minute " << minute;
    }
    // It dies: after a lease of the observer's own clock, and not before, its shard is taken.
    observer.steady += 59;
    EXPECT_EQ(other.look(1), Look::alive);
    observer.steady += 2;
    EXPECT_EQ(other.look(1), Look::silent) << hours << " h";
    EXPECT_TRUE(other.take_over(1));
    EXPECT_EQ(other.taken(1), 1);
    held.release(1);  // it was not dead: what is not its own any more stays
    EXPECT_EQ(held.look(1), Look::unknown);
    other.release(1);
    EXPECT_EQ(held.look(1), Look::free);
    std::filesystem::remove_all(folder / "taken");
    std::filesystem::create_directory(folder / "taken");
  }
}

/// Rates: a holder whose beats take twice as long still lives, one of eight times does not.
TEST_F(ClaimsTest, RatesMayDifferByTwo) {
  for (const double slower : {2.0, 8.0}) {
    Node holder, observer;
    Claims held = claims(holder, folder / ""), other = claims(observer, folder / "");
    ASSERT_TRUE(held.claim(1));
    other.look(1);
    bool taken = false;
    for (double second = 0; second < 600; ++second) {
      if (static_cast<int>(second) % static_cast<int>(15 * slower) == 0) held.beat();
      observer.steady = second;
      taken |= other.look(1) == Look::silent;
    }
    EXPECT_EQ(taken, slower > 4) << slower;
  }
}

TEST_F(ClaimsTest, OneOfTwoThievesWins) {
  Node holder, one, two;
  auto dead = std::make_unique<Claims>(folder / "", this_runner(), Seconds(60), holder.clock());
  Claims first = claims(one, folder / ""), second = claims(two, folder / "");
  ASSERT_TRUE(dead->claim(1));
  first.look(1), second.look(1);
  one.steady = two.steady = 61;
  EXPECT_EQ(first.look(1), Look::silent);
  EXPECT_EQ(second.look(1), Look::silent);
  EXPECT_TRUE(first.take_over(1));
  EXPECT_FALSE(second.take_over(1)) << "it is a living runner's by now";
  EXPECT_FALSE(second.claim(1)) << "and stays it";
  const auto list = list_claims(folder / "");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].runner, first.runner().id);
}

}  // namespace
}  // namespace karat::sweep
