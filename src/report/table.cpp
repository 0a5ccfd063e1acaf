// Implementation of report/table.hpp.
#include "karat/report/table.hpp"

#include <algorithm>
#include <string_view>

namespace karat::report {
namespace {

using Cells = std::vector<std::string>;

/// The text without "\x1b[...m".
std::string colourless(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("\x1b[")) {
      const auto end = text.find('m', i);
      if (end == std::string_view::npos) break;
      i = end;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// Characters of UTF-8 that a terminal shows.
std::size_t shown_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      colourless(text), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Cells titles_of(const Table& table) {
  Cells titles;
  for (const Column& column : table.columns) titles.push_back(column.title);
  return titles;
}

std::string aligned(const Table& table) {
  std::vector<Cells> lines = table.rows;
  const Cells titles = titles_of(table);
  if (!std::ranges::all_of(titles, &std::string::empty)) lines.insert(lines.begin(), titles);
  std::vector<std::size_t> widths(table.columns.size(), 0);
  for (const Cells& line : lines)
    for (std::size_t i = 0; i < widths.size(); ++i)
      widths[i] = std::max(widths[i], shown_width(line.at(i)));
  std::string text;
  for (const Cells& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string space(widths[i] - shown_width(line[i]), ' ');
      const bool right = table.columns[i].align == Align::right;
      row += (i > 0 ? "  " : "") + (right ? space + line[i] : line[i] + space);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

std::string markdown_row(const Cells& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) {
    row += ' ';
    for (const char c : colourless(cell)) row += c == '|' ? "\\|" : std::string(1, c);
    row += " |";
  }
  return row + "\n";
}

std::string markdown(const Table& table) {
  std::string rule = "|";
  for (const Column& column : table.columns)
    rule += column.align == Align::right ? "---:|" : "---|";
  std::string text = "\n" + markdown_row(titles_of(table)) + rule + "\n";
  for (const Cells& row : table.rows) text += markdown_row(row);
  return text + "\n";
}

}  // namespace

std::string to_text(const Table& table, TableStyle style) {
  return style == TableStyle::markdown ? markdown(table) : aligned(table);
}

}  // namespace karat::report
