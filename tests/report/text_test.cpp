// Numbers and times at the edges where their form changes.
#include "karat/report/text.hpp"

#include <gtest/gtest.h>

namespace karat::report {
namespace {

TEST(Text, PrintIsPrintf) {
  EXPECT_EQ(print("%5.2f|%s|%03d", 3.14159, "x", 7), " 3.14|x|007");
  EXPECT_EQ(print("%s", std::string(300, 'a').c_str()), std::string(300, 'a'));
}

TEST(Text, ShortNumberKeepsThreeDigits) {
  EXPECT_EQ(short_number(0), "0.00 ");
  EXPECT_EQ(short_number(9.994), "9.99 ");
  EXPECT_EQ(short_number(9.996), "10.0 ");
  EXPECT_EQ(short_number(999.4), "999 ");
  EXPECT_EQ(short_number(999.6), "1.00 k");
  EXPECT_EQ(short_number(85.1e9), "85.1 G");
  EXPECT_EQ(short_number(5e18), "5000 P");
}

TEST(Text, ShortTimeChangesItsUnits) {
  EXPECT_EQ(short_time(0.44), "0.4 s");
  EXPECT_EQ(short_time(9.96), "10 s");
  EXPECT_EQ(short_time(59.4), "59 s");
  EXPECT_EQ(short_time(59.5), "1 min 00 s");
  EXPECT_EQ(short_time(185), "3 min 05 s");
  EXPECT_EQ(short_time(3720), "1 h 02 min");
}

}  // namespace
}  // namespace karat::report
