// A report as one HTML file: text, figures and tables, styled inside; nothing is loaded from
// anywhere.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/report/text.hpp"

namespace karat::report {

/// What made a page.
struct Provenance {
  std::string command;  ///< as it was typed
  std::string version;  ///< of karat
};

/// One column of a table whose words have a tone, row by row.
struct ToneColumn {
  std::size_t column = 0;
  std::vector<Tone> tones;  ///< empty: all are plain
};

/// Pieces stand in the order of the calls. Texts are escaped, SVG goes in as it is.
class HtmlPage {
 public:
  HtmlPage(std::string_view title, std::string_view subtitle);

  void heading(std::string_view text);
  void paragraph(std::string_view text);
  /// The page's answer: lines in a box.
  void answer(std::span<const std::string> lines, Tone tone = Tone::plain);
  void bullets(std::span<const std::string> lines);
  void figure(std::string_view svg, std::string_view caption);
  /// Figures side by side where the window is wide enough.
  void figures(std::span<const std::string> svgs, std::string_view caption);
  /// Cells that begin with a digit, sign or dot are kept on one line, digits below digits.
  void table(std::span<const std::string> header, std::span<const std::vector<std::string>> rows,
             const ToneColumn& toned = {});
  void code(std::string_view text);
  /// What follows is folded away under a line, until end_fold().
  void begin_fold(std::string_view summary);
  void end_fold();

  std::string str() const;

 private:
  std::string title_, body_;
};

}  // namespace karat::report
