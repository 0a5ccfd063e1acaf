// docs/recipe.md and the field table say the same.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "karat/recipe/fields.hpp"

namespace karat::recipe {
namespace {

constexpr const char* kBegin = "<!-- fields: begin -->\n";
constexpr const char* kEnd = "<!-- fields: end -->\n";

std::string section_of(const Field& field) {
  const auto dot = field.path.find('.');
  return dot == std::string::npos ? "top level" : field.path.substr(0, dot);
}

/// q, k and v have the same fields and defaults; the page shows them once.
std::string heading_of(const std::string& section) {
  return section == "q" || section == "k" || section == "v" ? "q, k, v" : section;
}

std::string name_in(const Field& field) {
  const auto dot = field.path.find('.');
  return dot == std::string::npos ? field.path : field.path.substr(dot + 1);
}

std::string values(const Field& field) {
  switch (field.kind) {
    case Kind::choice: {
      std::string text;
      for (const Choice& choice : field.choices) {
        if (!text.empty()) text += "<br>";
        text += "`\"" + std::string(choice.name) + "\"` " + std::string(choice.meaning);
      }
      return text;
    }
    case Kind::integer:
      return "whole number from " + to_text(field.low);
    case Kind::number:
      if (field.path == "p.offset" || field.path == "skip.threshold" ||
          field.path == "predict.similarity")
        return "number";
      if (field.low > 0) return "number above 0";
      return field.low == 0 ? "number from 0" : "number or `\"-inf\"`";
    case Kind::extent:
      return "`[t, h, w]`, each from 1";
    case Kind::instruction:
      return "name of an instruction";
    case Kind::text:
      return "text";
  }
  return {};
}

/// A bar would end the cell, a star would start italics.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '*') out += '\\';
    out += c;
  }
  return out;
}

std::string generated() {
  std::ostringstream page;
  std::string heading;
  for (const Field& field : fields()) {
    const std::string section = section_of(field);
    if (section == "k" || section == "v") continue;
    if (heading_of(section) != heading) {
      heading = heading_of(section);
      page << "\n### " << heading
           << "\n\n| field | meaning | values | default | decides | source |\n"
           << "|---|---|---|---|---|---|\n";
    }
    page << "| `" << name_in(field) << "` | " << escaped(field.meaning) << " | "
         << escaped(values(field)) << " | `" << to_text(field.read(Recipe{})) << "` | "
         << to_text(field.decides) << " | " << escaped(field.source) << " |\n";
  }
  page << '\n';
  return page.str();
}

TEST(RecipePage, ShowsTheFieldTable) {
  std::ifstream file(KARAT_SOURCE_DIR "/docs/recipe.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string page = text.str();
  const auto begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const auto start = begin + std::string(kBegin).size();
  if (page.substr(start, end - start) == generated()) return;
  const auto wanted = std::filesystem::path(testing::TempDir()) / "karat_recipe.md";
  std::ofstream(wanted) << page.substr(0, start) << generated() << page.substr(end);
  FAIL() << "docs/recipe.md differs from the field table; the right page is " << wanted;
}

}  // namespace
}  // namespace karat::recipe
