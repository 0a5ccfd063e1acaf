// The synchronisation of the compiled kernels: intact it gives no report, and each part of it that
// is taken out does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cases.hpp"
#include "removals.hpp"
#include "schedules.hpp"

namespace karat::kernels {
namespace {

using ptx::Unnoticed;

// 10 tiles of 48 tokens, windows of 5 cut off at the edge: short blocks, blocks that straddle
// tiles, full and partial ones, from three visits on, odd and even numbers of them.
constexpr video::Extent3 kGrid{3, 4, 40};
Case small_case(const std::string& preset) {
  return make_case(R"({"base": ")" + preset + R"(", "mask": {"tile": [3, 4, 4],)" +
                       R"( "window": [3, 3, 5], "border": "truncate"},)" +
                       R"( "q": {"tile": [3, 4, 4]}, "k": {"tile": [3, 4, 4]}})",
                   kGrid, 1);
}

ptx::Launch fpsattention() { return fpsattention_launch(small_case("fpsattention")); }
ptx::Launch sta() { return sta_launch(small_case("sta_bf16")); }
ptx::Launch flex() { return flex_launch(small_case("flex_bf16")); }
ptx::Launch delta() {
  const Case of = small_case("flex_bf16");
  return delta_launch(of, expected(of));
}
ptx::Launch gradients(bool dq) {
  const Case of = small_case("flex_bf16");
  const Outputs forward = expected(of);
  const auto delta = expected_gradients(of, forward).delta;
  return dq ? dq_launch(of, forward, delta) : dkv_launch(of, forward, delta);
}

/// Lines with one reason.
struct Reason {
  std::vector<std::size_t> lines;
  const char* why;
};

constexpr const char* kSameBarrier = "another barrier stands between the same accesses";
constexpr const char* kBytesRest = "the bytes are not used again";
constexpr const char* kLaterGroup =
    "a later group takes its copies in, and every wait is for all groups";
constexpr const char* kSameProxyFence =
    "nothing was written to shared memory since the proxy fence before it";
constexpr const char* kSameFence =
    "its registers rest since a fence before it, where need be that of the last round";
constexpr const char* kWholeGroup =
    "what is written next only wgmmas have read, and a wait for a group is for all four warps'";

struct Kernel {
  const char* name;
  ptx::Launch (*launch)();
  std::vector<Reason> reasons;

  std::vector<Unnoticed> unnoticed() const {
    std::vector<Unnoticed> list;
    for (const Reason& reason : reasons)
      for (const std::size_t line : reason.lines) list.push_back({line, reason.why});
    return list;
  }
};

std::vector<Kernel> kernels() {
  return {
      {"FpsAttention",
       fpsattention,
       {{{102, 109, 195, 202, 210, 1892, 1900, 1909}, kSameBarrier},
        {{1956}, "the barrier of line 475 stands behind the last wait on the mbarriers"},
        {{232, 1929}, kLaterGroup},
        {{1955}, "nobody reads the last copies, and their bytes are not used again"},
        {{1960, 1966}, kBytesRest}}},
      {"Sta", sta, {{{488, 2232}, kLaterGroup}, {{1810}, kSameProxyFence}, {{2119}, kWholeGroup}}},
      {"Flex",
       flex,
       {{{136, 137, 208, 209, 288, 289, 366, 367},
         "tensormap.cp_fenceproxy is no bulk copy, the group is empty"},
        {{140, 212, 292, 370}, "warp 0 alone has used shared memory so far"},
        {{388, 394, 473, 480, 491, 1090, 1814, 1820, 1831, 1904, 1910, 1918, 2061, 2461, 2467,
          2478},
         kSameBarrier},
        {{1860, 2497}, "barriers stand behind the last wait on the mbarriers"},
        {{1856}, "steps come in pairs: the copies that follow write the stage it does not read"},
        {{1864, 1870, 2501, 2507}, kBytesRest},
        {{1992}, kSameFence}}},
      {"FlexDelta", delta, {}},
      {"FlexDq",
       [] { return gradients(true); },
       {{{499, 548, 1974, 2023, 2173, 2826}, kLaterGroup},
        {{1602, 1763, 2455, 2617}, kSameProxyFence},
        {{1604, 2290, 2457}, kSameFence},
        {{2044, 2769}, kWholeGroup}}},
      {"FlexDkv",
       [] { return gradients(false); },
       {{{473, 522, 536, 543, 2138, 2187, 2196, 2202, 2353, 2394, 2403, 3167, 3216, 3225},
         kLaterGroup},
        {{1801, 2829}, "the next group takes its products in, and its wait is for all groups"},
        {{2222}, kWholeGroup},
        {{1671, 1802, 1927, 2699, 2830, 2956}, kSameProxyFence},
        {{1803, 2518, 2831}, kSameFence}}},
  };
}

class Synchronisation : public testing::TestWithParam<Kernel> {};

TEST_P(Synchronisation, IntactItGivesNoReportAndTheSameBitsUnderEverySchedule) {
  const ptx::Launch launch = GetParam().launch();
  const ptx::Outcome plain = ptx::run(launch);
  expect_clean_runs(launch, [&](const ptx::Outcome& watched) {
    for (const auto& [name, tensor] : plain.outputs)
      EXPECT_EQ(watched.outputs.at(name), tensor) << name;
  });
}

TEST_P(Synchronisation, EachPartThatIsRemovedIsNoticed) {
  ptx::Launch launch = GetParam().launch();
  launch.limit = 3'000'000;
  const ptx::Search search =
      ptx::search_removals(std::move(launch), GetParam().unnoticed(), ptx::long_tests() ? 1 : 19);
  EXPECT_EQ(search.wrong, "");
  if (ptx::long_tests()) {
    EXPECT_GE(search.share(), 0.9);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Synchronisation, testing::ValuesIn(kernels()),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace karat::kernels
