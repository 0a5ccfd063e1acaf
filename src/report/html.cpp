// Implementation of report/html.hpp.
#include "karat/report/html.hpp"

#include "karat/report/svg.hpp"

namespace karat::report {
namespace {

constexpr std::string_view kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1080px; margin: 32px auto;
  padding: 0 20px; }
h1 { font-size: 26px; margin: 0; }
h2 { font-size: 19px; margin: 36px 0 8px; border-bottom: 1px solid #d8dee4; padding-bottom: 4px; }
.subtitle { color: #57606a; margin: 4px 0 20px; }
.answer { background: #f3f7fb; border-left: 4px solid #0072b2; padding: 10px 16px; }
.answer p { margin: 4px 0; }
.answer.good { border-color: #1a7f37; } .answer.unsure { border-color: #bf8700; }
.answer.bad { border-color: #cf222e; }
td.good { color: #1a7f37; } td.unsure { color: #9a6700; font-weight: 600; }
td.bad { color: #cf222e; font-weight: 600; } td.faint { color: #57606a; }
figure { margin: 16px 0; overflow-x: auto; }
figcaption { color: #57606a; font-size: 13px; }
.side { display: flex; flex-wrap: wrap; gap: 12px; }
.side > div { flex: 1 1 460px; min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 10px 0; }
th { text-align: left; color: #57606a; font-weight: 600; border-bottom: 2px solid #d8dee4; }
th, td { padding: 4px 14px 4px 0; vertical-align: top; }
td { border-bottom: 1px solid #eaeef2; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: #f6f8fa; padding: 10px 14px; overflow-x: auto; font-size: 13px; }
details { margin: 12px 0; } summary { cursor: pointer; color: #0072b2; }
)";

bool is_number(std::string_view cell) {
  return !cell.empty() &&
         (std::string_view("+-.0123456789").find(cell.front()) != std::string_view::npos);
}

std::string_view class_of(Tone tone) {
  switch (tone) {
    case Tone::good:
      return "good";
    case Tone::unsure:
      return "unsure";
    case Tone::bad:
      return "bad";
    case Tone::faint:
      return "faint";
    case Tone::plain:
      break;
  }
  return "";
}

std::string element(std::string_view name, std::string_view text) {
  return "<" + std::string(name) + ">" + escape_xml(text) + "</" + std::string(name) + ">\n";
}

}  // namespace

HtmlPage::HtmlPage(std::string_view title, std::string_view subtitle) : title_(title) {
  body_ = element("h1", title) + "<p class=\"subtitle\">" + escape_xml(subtitle) + "</p>\n";
}

void HtmlPage::heading(std::string_view text) { body_ += element("h2", text); }
void HtmlPage::paragraph(std::string_view text) { body_ += element("p", text); }

void HtmlPage::answer(std::span<const std::string> lines, Tone tone) {
  body_ += "<div class=\"answer" + std::string(tone == Tone::plain ? "" : " ") +
           std::string(class_of(tone)) + "\">\n";
  for (const std::string& line : lines) body_ += element("p", line);
  body_ += "</div>\n";
}

void HtmlPage::bullets(std::span<const std::string> lines) {
  body_ += "<ul>\n";
  for (const std::string& line : lines) body_ += element("li", line);
  body_ += "</ul>\n";
}

void HtmlPage::figure(std::string_view svg, std::string_view caption) {
  body_ += "<figure>\n" + std::string(svg) + element("figcaption", caption) + "</figure>\n";
}

void HtmlPage::figures(std::span<const std::string> svgs, std::string_view caption) {
  body_ += "<figure>\n<div class=\"side\">\n";
  for (const std::string& svg : svgs) body_ += "<div>" + svg + "</div>\n";
  body_ += "</div>\n" + element("figcaption", caption) + "</figure>\n";
}

void HtmlPage::table(std::span<const std::string> header,
                     std::span<const std::vector<std::string>> rows, const ToneColumn& toned) {
  body_ += "<div class=\"wide\"><table>\n<tr>";
  for (const std::string& cell : header) body_ += "<th>" + escape_xml(cell) + "</th>";
  body_ += "</tr>\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    body_ += "<tr>";
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string& cell = rows[r][c];
      const Tone tone = c == toned.column && r < toned.tones.size() ? toned.tones[r] : Tone::plain;
      const std::string_view name = is_number(cell) ? "number" : class_of(tone);
      body_ += (name.empty() ? "<td>" : "<td class=\"" + std::string(name) + "\">") +
               escape_xml(cell) + "</td>";
    }
    body_ += "</tr>\n";
  }
  body_ += "</table></div>\n";
}

void HtmlPage::code(std::string_view text) { body_ += element("pre", text); }

void HtmlPage::begin_fold(std::string_view summary) {
  body_ += "<details>" + element("summary", summary);
}
void HtmlPage::end_fold() { body_ += "</details>\n"; }

std::string HtmlPage::str() const {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width\">\n" +
         element("title", title_) + "<style>" + std::string(kStyle) +
         "</style>\n</head>\n<body>\n" + body_ + "</body>\n</html>\n";
}

}  // namespace karat::report
