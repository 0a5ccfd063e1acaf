// Every name that opens something is the name the report gives it.
#include "karat/bounds/liberties.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"

namespace karat::bounds {
namespace {

std::vector<std::string> names(const Freedom& freedom) {
  std::vector<std::string> list;
  for (const Liberty& liberty : liberties(freedom)) list.push_back(liberty.name);
  return list;
}

TEST(Liberties, ReportsWhatWasAllowed) {
  EXPECT_THAT(names(kNoFreedom), testing::IsEmpty());
  EXPECT_THAT(names({}), testing::ElementsAre("exp2"));
  for (const char* name : {"order", "contraction", "reciprocal"}) {
    Freedom freedom = kNoFreedom;
    allow(freedom, name, "--allow");
    EXPECT_THAT(names(freedom), testing::ElementsAre(name));
  }
}

TEST(Liberties, RefusesOtherNames) {
  Freedom freedom;
  EXPECT_THROW(allow(freedom, "ordr", "--allow"), Error);
  EXPECT_THROW(allow(freedom, "exp2", "--allow"), Error);
}

}  // namespace
}  // namespace karat::bounds
