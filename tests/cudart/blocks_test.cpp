// Blocks of device memory: whose an address is, and that none goes while a launch uses it.
#include "blocks.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <set>

namespace karat::cudart {
namespace {

using std::chrono_literals::operator""ms;

TEST(Blocks, NoBlockGoesWhileALaunchRuns) {
  Blocks all;
  const auto block = all.allocate(4096, Block::Kind::device);
  ASSERT_TRUE(block);
  auto launch = std::make_optional(all.keep());
  auto other_launch = std::make_optional(all.keep());  // launches do not wait for each other
  auto freed = std::async(std::launch::async, [&] { return all.release(block->bytes.data()); });
  EXPECT_EQ(freed.wait_for(50ms), std::future_status::timeout);
  block->bytes[4095] = std::byte{5};  // still there
  EXPECT_TRUE(all.find(block->bytes.data() + 4095));
  launch.reset();
  EXPECT_EQ(freed.wait_for(50ms), std::future_status::timeout);
  other_launch.reset();
  EXPECT_TRUE(freed.get());
  EXPECT_FALSE(all.find(block->bytes.data()));
  EXPECT_EQ(all.used(), 0u);
}

TEST(Blocks, EachAddressIsOneBlocks) {
  Blocks all;
  std::set<std::uint64_t> addresses;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{2} << 20, std::size_t{100}}) {
    const auto block = all.allocate(bytes, Block::Kind::device);
    ASSERT_TRUE(block);
    EXPECT_EQ(all.find(block->bytes.data())->address(), block->address());
    EXPECT_EQ(all.find(block->bytes.data() + bytes - 1)->address(), block->address());
    EXPECT_FALSE(all.find(block->bytes.data() + bytes));
    EXPECT_FALSE(all.find(block->bytes.data() - 1));
    if (bytes > 1) {
      EXPECT_FALSE(all.release(block->bytes.data() + 1));
    }
    EXPECT_TRUE(addresses.insert(block->address()).second);
    EXPECT_TRUE(all.release(block->bytes.data()));
    EXPECT_FALSE(all.release(block->bytes.data()));
  }
  // What was freed is given to nobody else.
  EXPECT_TRUE(addresses.insert(all.allocate(1, Block::Kind::device)->address()).second);
}

TEST(Blocks, VariablesStayAndDeviceMemoryEnds) {
  Blocks all;
  const auto variable = all.allocate(8, Block::Kind::variable, "factor");
  ASSERT_TRUE(variable);
  EXPECT_EQ(all.find(variable->bytes.data() + 7)->name, "factor");
  EXPECT_FALSE(all.release(variable->bytes.data()));
  EXPECT_FALSE(all.allocate(std::size_t{1} << 50, Block::Kind::device));
  EXPECT_EQ(all.list().size(), 1u);
}

}  // namespace
}  // namespace karat::cudart
