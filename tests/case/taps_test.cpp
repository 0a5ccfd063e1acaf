// Which query blocks are tapped.
#include "karat/case/taps.hpp"

#include <gmock/gmock.h>

#include <set>

#include "karat/attention/backward.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

layout::Layout layout_of(video::Extent3 grid) {
  return layout::make_layout(recipe::preset("fpsattention"), grid, 32);
}

TEST(Taps, DefaultHasEndsAndEveryRaggedSize) {
  const layout::Layout layout = layout_of({12, 17, 16});
  const auto& blocks = layout.blocks.query_blocks;
  std::set<std::int64_t> all_sizes, tapped_sizes;
  for (const video::Range block : blocks) all_sizes.insert(block.size());
  ASSERT_LE(all_sizes.size(), 6u);
  for (std::uint64_t seed : {0, 1, 2}) {
    const std::vector<int> taps = choose_taps(layout, seed);
    EXPECT_EQ(taps.size(), 8u);
    EXPECT_TRUE(std::is_sorted(taps.begin(), taps.end()));
    EXPECT_EQ(taps.front(), 0);
    EXPECT_EQ(taps.back(), std::ssize(blocks) - 1);
    tapped_sizes.clear();
    for (const int tap : taps) tapped_sizes.insert(blocks[tap].size());
    EXPECT_EQ(tapped_sizes, all_sizes);
  }
  EXPECT_EQ(choose_taps(layout, 5), choose_taps(layout, 5));
}

TEST(Taps, FewBlocksAreAllTapped) {
  EXPECT_THAT(choose_taps(layout_of({1, 1, 1}), 0), ElementsAre(0));
}

TEST(Taps, ListsAndWords) {
  const layout::Layout layout = layout_of({7, 11, 13});
  EXPECT_TRUE(parse_taps("none", layout, 0).empty());
  EXPECT_EQ(parse_taps("all", layout, 0).size(), layout.blocks.query_blocks.size());
  EXPECT_THAT(parse_taps("5,0,5", layout, 0), ElementsAre(0, 5));
  EXPECT_EQ(parse_taps("", layout, 3), choose_taps(layout, 3));
  for (const char* bad : {"x", "0,", "-1", "99999", "1;2"})
    EXPECT_THROW(parse_taps(bad, layout, 0), Error) << bad;
}

std::string refused(const TapWords& words, const mask::BlockMap& blocks) {
  try {
    parse_backward_taps(words, blocks, 0);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

// The forward and the backward cut their blocks apart: 128 and 64 queries of cuDNN's.
TEST(Taps, OfABackwardHaveListsOfTheirOwn) {
  const recipe::Recipe recipe = recipe::preset("cudnn_fp8_hopper");
  const layout::Layout layout = layout::make_layout(recipe, {2, 16, 16}, 32);
  const mask::BlockMap blocks = attention::backward_blocks(recipe, layout);
  ASSERT_EQ(layout.blocks.query_blocks.size(), 4u);
  ASSERT_EQ(blocks.query_blocks.size(), 8u);
  const auto taps = [&](const TapWords& words) { return parse_backward_taps(words, blocks, 0); };
  EXPECT_THAT(taps({.forward = "3"}).queries, ElementsAre(3));
  EXPECT_EQ(taps({.forward = "3"}).keys.size(), 4u);
  EXPECT_TRUE(taps({.forward = "none"}).queries.empty());
  EXPECT_TRUE(taps({.forward = "none"}).keys.empty());
  const BackwardTaps own = taps({.forward = "3", .dq = "7,5", .dkv = "2"});
  EXPECT_THAT(own.queries, ElementsAre(5, 7));
  EXPECT_THAT(own.keys, ElementsAre(2));
  EXPECT_THAT(taps({.forward = "none", .dq = {}, .dkv = "1"}).keys, ElementsAre(1));
  EXPECT_TRUE(taps({.forward = "all", .dq = "none"}).queries.empty());
  EXPECT_EQ(taps({.forward = "all", .dq = "none"}).keys.size(), 4u);
  EXPECT_THAT(refused({.forward = "8"}, blocks),
              HasSubstr("--tap: \"8\" is no query block of the"));
  EXPECT_THAT(refused({.forward = "", .dq = "8"}, blocks), HasSubstr("--dq-tap: \"8\""));
  EXPECT_THAT(refused({.forward = "", .dq = {}, .dkv = "4"}, blocks),
              HasSubstr("--dkv-tap: \"4\" is no key block of the backward; there are 4"));
}

}  // namespace
}  // namespace karat::cases
