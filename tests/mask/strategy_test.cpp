// FastVideo's mask-strategy JSON: what it says, and what it must not say.
#include "karat/mask/strategy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using testing::HasSubstr;

TEST(WindowStrategy, GivesTheWindowOfAStepLayerAndHead) {
  const auto strategy =
      parse_window_strategy(R"({"0_0_0": [3, 6, 10], "12_39_7": [5, 1, 3]})", "s.json");
  EXPECT_EQ(strategy.windows.size(), 2u);
  EXPECT_EQ(strategy.window(0, 0, 0), (video::Extent3{3, 6, 10}));
  EXPECT_EQ(strategy.window(12, 39, 7), (video::Extent3{5, 1, 3}));
  EXPECT_THROW(strategy.window(0, 0, 1), Error);
}

TEST(WindowStrategy, RefusesEverythingElse) {
  for (const char* text :
       {"", "[]", "{}", "3", R"({"0_0": [1,1,1]})", R"({"0_0_0_0": [1,1,1]})",
        R"({"0_0_": [1,1,1]})", R"({"-1_0_0": [1,1,1]})", R"({"a_0_0": [1,1,1]})",
        R"({"0_0_0": [1,1]})", R"({"0_0_0": [1,1,1,1]})", R"({"0_0_0": 3})",
        R"({"0_0_0": [1,1,0]})", R"({"0_0_0": [1,1,-1]})", R"({"0_0_0": [1,1,1.5]})",
        R"({"0_0_0": [1,1,4294967297]})", R"({"0_0_0": [1,1,"3"]})",
        R"({"0_0_0": [1,1,1], "0_00_0": [1,1,1]})", R"({"0_0_0": [1,1,1], "0_0_0": [1,1,1]})"}) {
    try {
      parse_window_strategy(text, "s.json");
      ADD_FAILURE() << "accepted " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output) << text;
      EXPECT_THAT(error.what(), HasSubstr("s.json"));
    }
  }
}

}  // namespace
}  // namespace karat::mask
