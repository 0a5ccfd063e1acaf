// A table for a terminal and for Markdown: widths, what is not counted, what is escaped.
#include "karat/report/table.hpp"

#include <gtest/gtest.h>

namespace karat::report {
namespace {

Table small() {
  return {.columns = {{"recipe"}, {"time", Align::right}, {""}},
          .rows = {{"a", "1.0 ms", "best"}, {"long_name", "12 ms", ""}}};
}

TEST(Table, AlignsItsColumnsAndLeavesNoSpaceAtTheEnd) {
  EXPECT_EQ(to_text(small()),
            "recipe       time\n"
            "a          1.0 ms  best\n"
            "long_name   12 ms\n");
}

TEST(Table, LeavesOutTitlesThatAreAllEmpty) {
  EXPECT_EQ(to_text({.columns = {{}, {}}, .rows = {{"a", "b"}, {"cc", "d"}}}), "a   b\ncc  d\n");
}

TEST(Table, CountsCharactersAndNoColours) {
  const Table table{.columns = {{"x"}, {"y"}},
                    .rows = {{"\u03c3", "1"}, {"\x1b[31mbad\x1b[0m", "2"}, {"fair", "3"}}};
  EXPECT_EQ(to_text(table), "x     y\n\u03c3     1\n\x1b[31mbad\x1b[0m   2\nfair  3\n");
}

TEST(Table, IsMarkdownWithItsBarsEscaped) {
  Table table = small();
  table.rows[0][2] = "a | \x1b[31mb\x1b[0m";
  EXPECT_EQ(to_text(table, TableStyle::markdown),
            "\n| recipe | time |  |\n"
            "|---|---:|---|\n"
            "| a | 1.0 ms | a \\| b |\n"
            "| long_name | 12 ms |  |\n\n");
}

}  // namespace
}  // namespace karat::report
