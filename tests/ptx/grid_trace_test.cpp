// What is kept of a grid's accesses of global memory does not depend on who comes first, whatever
// fits.
#include "hazards/grid_trace.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>

#include "execute/run.hpp"
#include "kernel.hpp"
#include "launch/loaded.hpp"
#include "program/decoder.hpp"

namespace karat::ptx {
namespace {

struct Access {
  std::uint64_t cluster = 0;
  bool writes = false;
  std::uint64_t address = 0, bytes = 0;
  std::uint32_t pc = 0;
};

/// Clusters that each write a line of a page and read half a word of the next one's.
std::vector<Access> accesses() {
  std::vector<Access> list;
  for (std::uint64_t cluster = 0; cluster < 2000; ++cluster) {
    const std::uint64_t page = (cluster + 1) * 4096;
    list.push_back({cluster, true, page, 128, 0});
    list.push_back({cluster, false, page + 4096 + cluster % 64 * 2, 2, 1});
    list.push_back({cluster, false, page + 1024, 4, 2});
  }
  return list;
}

struct Found {
  std::vector<std::string> races;
  std::uint64_t not_looked_at = 0;
  bool operator==(const Found&) const = default;
};

Found found(std::vector<Access> list, std::size_t most_bytes, std::uint32_t seed, int threads) {
  const auto module = load_module(kernel_text("st.global.u32 [%rd0], 1; ld.global.u32 %r1, [%rd0];"
                                              "ld.global.u16 %rs1, [%rd0];"),
                                  "k.ptx");
  const Program program = make_program(module->module, module->module.functions[0], {});
  const GridLaunch launch{.program = &program, .grid = {4000, 1, 1}};
  std::mt19937 random(seed);
  std::ranges::shuffle(list, random);
  GridTrace trace(most_bytes);
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t)
    workers.emplace_back([&, t] {
      for (std::size_t i = static_cast<std::size_t>(t); i < list.size();
           i += static_cast<std::size_t>(threads))
        trace.add(list[i].cluster, list[i].writes, list[i].address, list[i].bytes, list[i].pc);
    });
  for (std::thread& each : workers) each.join();
  return {trace.races(program, launch), trace.not_looked_at()};
}

TEST(GridTrace, WhatIsKeptDoesNotDependOnWhoComesFirst) {
  const std::vector<Access> list = accesses();
  const Found all = found(list, GridTrace::kMostBytes, 1, 1);
  EXPECT_EQ(all.not_looked_at, 0u);
  ASSERT_FALSE(all.races.empty());
  constexpr std::size_t kFew = std::size_t{3} << 20;
  const Found some = found(list, kFew, 1, 1);
  EXPECT_GT(some.not_looked_at, list.size() / 10);
  EXPECT_LT(some.not_looked_at, list.size());
  EXPECT_FALSE(some.races.empty());
  for (std::uint32_t seed = 2; seed < 6; ++seed) {
    EXPECT_EQ(found(list, GridTrace::kMostBytes, seed, 3), all) << seed;
    EXPECT_EQ(found(list, kFew, seed, 1 + static_cast<int>(seed % 3)), some) << seed;
  }
}

TEST(GridTrace, AccessesOfAnyWidthMeet) {
  const auto races = [](const Access& a, const Access& b) {
    return found({a, b}, GridTrace::kMostBytes, 1, 1).races.size();
  };
  const std::uint64_t at = 1 << 20;
  const Access line{1, true, at, 128, 0}, word{2, false, at + 8, 4, 1},
      half{2, false, at + 10, 2, 2};
  EXPECT_EQ(races(line, word), 1u);
  EXPECT_EQ(races(line, half), 1u);
  EXPECT_EQ(races({1, true, at + 8, 4, 0}, half), 1u);
  EXPECT_EQ(races({1, true, at + 8, 2, 0}, half), 0u);
  EXPECT_EQ(races({1, true, at + 12, 4, 0}, half), 0u);
  EXPECT_EQ(races({1, true, at + 128, 128, 0}, word), 0u);
}

}  // namespace
}  // namespace karat::ptx
