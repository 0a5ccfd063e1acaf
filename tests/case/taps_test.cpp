// Which query blocks are tapped.
#include "karat/case/taps.hpp"

#include <gmock/gmock.h>

#include <set>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

using testing::ElementsAre;

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

}  // namespace
}  // namespace karat::cases
