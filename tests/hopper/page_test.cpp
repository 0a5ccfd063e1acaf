// docs/time-model.md repeats the table of constants; the two must agree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "karat/hopper/timing.hpp"

namespace karat::hopper {
namespace {

TEST(Page, ListsEveryConstantWithItsValueAndSource) {
  std::ifstream file(KARAT_SOURCE_DIR "/docs/time-model.md");
  std::stringstream page;
  page << file.rdbuf();
  const Timing timing;
  for (const TimingConstant& c : timing_constants()) {
    char row[512];
    std::snprintf(row, sizeof row, "| `%s` | %.4g | %s | %s |", std::string(c.name).c_str(),
                  timing.*c.member, std::string(c.unit).c_str(), std::string(c.source).c_str());
    EXPECT_THAT(page.str(), testing::HasSubstr(row)) << "print it with time_model constants";
  }
}

TEST(Page, TheTableCoversTheWholeStruct) {
  EXPECT_EQ(timing_constants().size() * sizeof(double), sizeof(Timing));
}

}  // namespace
}  // namespace karat::hopper
