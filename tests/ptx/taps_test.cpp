// Values inside a kernel as tensors, and the timeline of its warps.
#include <nlohmann/json.hpp>

#include "karat/numerics/base/error.hpp"
#include "kernel.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Two rounds; before line 10 of the text %r1 is 100 * round + thread, %r2 to %r4 that plus 1000,
/// 2000, 3000.
constexpr const char* kRounds =
    "mov.u32 %r5, 0;\nLOOP: mad.lo.u32 %r1, %r5, 100, %r0; add.u32 %r2, %r1, 1000;\n"
    "add.u32 %r3, %r1, 2000; add.u32 %r4, %r1, 3000;\n"
    "add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, 2; @%p1 bra LOOP;";
constexpr std::uint32_t kLine = 10;

Launch tapped(Tap tap, std::uint32_t threads = 64) {
  Launch launch = launch_of(kRounds, threads, 64);
  tap.line = tap.line == 0 ? kLine : tap.line;
  tap.dtype = files::DType::u32;
  launch.taps = {tap};
  return launch;
}

files::Tensor stage_of(const Launch& launch, const std::string& name = "s") {
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome.outputs.at(name);
}

TEST(Taps, AccumulatorsAreTilesAndVisitsColumns) {
  const files::Tensor s = stage_of(tapped(
      {.stage = "s", .registers = {"%r1", "%r2", "%r3", "%r4"}, .layout = TapLayout::accumulator}));
  ASSERT_THAT(s.shape, ElementsAre(32, 16));
  const auto words = s.as<std::uint32_t>();
  for (std::uint32_t row = 0; row < 32; ++row)
    for (std::uint32_t column = 0; column < 16; ++column) {
      const std::uint32_t visit = column / 8, in_tile = column % 8;
      const std::uint32_t thread = row / 16 * 32 + row % 8 * 4 + in_tile / 2;
      const std::uint32_t element = row % 16 / 8 * 2 + in_tile % 2;
      EXPECT_EQ(words[row * 16 + column], 100 * visit + thread + 1000 * element);
    }
}

TEST(Taps, VisitsStackOrReplaceEachOther) {
  Tap tap{.stage = "s", .registers = {"%r1", "%r3"}, .layout = TapLayout::rows};
  tap.visits = TapVisits::stacked;
  const files::Tensor all = stage_of(tapped(tap));
  ASSERT_THAT(all.shape, ElementsAre(2, 32));
  const auto words = all.as<std::uint32_t>();
  for (std::uint32_t visit = 0; visit < 2; ++visit)
    for (std::uint32_t row = 0; row < 32; ++row)  // the last lane of a quad has the last word
      EXPECT_EQ(words[visit * 32 + row],
                100 * visit + row / 16 * 32 + row % 8 * 4 + 3 + (row % 16 < 8 ? 0 : 2000));
  tap.visits = TapVisits::last;
  const files::Tensor last = stage_of(tapped(tap));
  ASSERT_THAT(last.shape, ElementsAre(32));
  EXPECT_EQ(last.as<std::uint32_t>()[0], 103u);
  tap.layout = TapLayout::lanes;
  const files::Tensor lanes = stage_of(tapped(tap));
  ASSERT_THAT(lanes.shape, ElementsAre(64, 2));
  EXPECT_EQ(lanes.as<std::uint32_t>()[2 * 40], 140u);
}

TEST(Taps, WarpsAndCtasAreChosen) {
  Tap tap{.stage = "t.{x}.s", .registers = {"%r1"}, .layout = TapLayout::lanes};
  tap.first_warp = 1;
  tap.warps = 1;
  tap.ctas = {{2}};
  Launch launch = tapped(tap, 96);
  launch.grid = {3, 1, 1};
  const Outcome outcome = run(launch);
  EXPECT_EQ(outcome.outputs.size(), 2u);  // the buffer too
  const files::Tensor& s = outcome.outputs.at("t.2.s");
  ASSERT_THAT(s.shape, ElementsAre(32, 2));
  EXPECT_EQ(s.as<std::uint32_t>()[0], 32u);
}

TEST(Taps, SharedMemoryLosesItsSwizzle) {
  // Thread i of 32 writes word i of the first row of 128 bytes, then of the second.
  Launch launch = launch_of(
      "mov.u32 %r1, tile; mad.lo.u32 %r2, %r0, 4, %r1; st.shared.u32 [%r2], %r0; add.u32 %r3, %r0, "
      "100; xor.b32 %r2, %r2, 16; st.shared.u32 [%r2+128], %r3;\nbar.sync 0;",
      32, 64, ".shared .align 1024 .b8 tile[256];\n");
  Tap tap{.stage = "s", .line = 9, .dtype = files::DType::u32};
  tap.memory = {.address = 1024, .rows = 2, .columns = 32, .swizzle = "128B"};
  launch.taps = {tap};
  const files::Tensor s = stage_of(launch);
  ASSERT_THAT(s.shape, ElementsAre(1, 2, 32));
  for (std::uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(s.as<std::uint32_t>()[i], i);
    EXPECT_EQ(s.as<std::uint32_t>()[32 + i], 100 + i);
  }
}

TEST(Taps, WhatCannotBeIsAnError) {
  const auto error_of = [](Tap tap) {
    try {
      run(tapped(std::move(tap)));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(error_of({.stage = "s", .line = 3, .registers = {"%r1"}}), HasSubstr("line 3"));
  EXPECT_THAT(error_of({.stage = "s", .registers = {"%r99"}}), HasSubstr("%r99"));
  EXPECT_THAT(error_of({.stage = "s", .registers = {"%r1"}}), HasSubstr("layout"));
  EXPECT_THAT(error_of({.stage = "s", .registers = {"%rd0"}}), HasSubstr("32 or 16 bits"));
  EXPECT_THAT(error_of({.stage = "buffer", .registers = {"%r1"}, .layout = TapLayout::lanes}),
              HasSubstr("has this name"));
  Tap nobody{.stage = "s", .registers = {"%r1"}, .layout = TapLayout::lanes};
  nobody.first_warp = 7;
  EXPECT_THAT(error_of(nobody), HasSubstr("no warp came"));
}

TEST(Timeline, AWaitEndsWithWhoeverCameLast) {
  // Warp 1 runs a loop of 100 rounds before the barrier.
  Launch launch = launch_of(
      "setp.lt.u32 %p1, %r0, 32; mov.u32 %r1, 0; @%p1 bra MEET;\nL: add.u32 %r1, %r1, 1; "
      "setp.lt.u32 "
      "%p2, %r1, 100; @%p2 bra L;\nMEET: bar.sync 0;",
      64, 64);
  launch.timeline = Dimensions{0, 0, 0};
  const Outcome outcome = run(launch);
  ASSERT_TRUE(outcome.timeline);
  const Timeline& timeline = *outcome.timeline;
  ASSERT_EQ(timeline.tracks.size(), 2u);
  const auto& early = timeline.tracks[0].slices;
  ASSERT_EQ(early.size(), 3u);
  EXPECT_EQ(early[1].kind, Timeline::Kind::wait);
  EXPECT_THAT(early[1].what, HasSubstr("bar.sync"));
  ASSERT_EQ(timeline.marks.size(), 1u);
  EXPECT_EQ(timeline.marks[0].at, early[1].end);
  EXPECT_GT(early[1].end, 300u);
  ASSERT_EQ(timeline.tracks[1].slices.size(), 1u);  // nobody kept warp 1 waiting
  EXPECT_THAT(to_svg(timeline), HasSubstr("barrier 0"));
  const files::Json trace = to_trace(timeline);
  EXPECT_GT(trace.at("traceEvents").size(), 8u);
}

}  // namespace
}  // namespace karat::ptx
