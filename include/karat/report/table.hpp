// Tables in lines of text: aligned for a terminal, or as Markdown.
#pragma once

#include <string>
#include <vector>

namespace karat::report {

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
};

/// A table as data.
struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  ///< a cell for every column
};

enum class TableStyle {
  aligned,   ///< columns as wide as their widest cell, two spaces apart, no spaces at a line's end
  markdown,  ///< GitHub's, an empty line before and behind; "|" in a cell is escaped
};

/// The titles stand above the rows; an aligned table leaves them out where all are empty. Widths
/// count characters, not bytes; a terminal's colours count nothing, and Markdown has none.
std::string to_text(const Table& table, TableStyle style = TableStyle::aligned);

}  // namespace karat::report
