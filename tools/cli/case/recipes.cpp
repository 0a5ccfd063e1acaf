// karat recipes: the presets, one recipe in full, the difference of two, or a schedule's.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "case/scheduled_recipes.hpp"
#include "command.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cli {
namespace {

using Row = std::vector<std::string>;

/// Columns wide enough for their cells, two spaces apart; the last one is not padded.
void print_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i)
      std::printf("%-*s  ", static_cast<int>(widths[i]), row[i].c_str());
    std::printf("%s\n", row.back().c_str());
  }
}

files::Json json_of(const recipe::Value& value) {
  return files::Json::parse(recipe::to_text(value));
}

void list(bool json) {
  std::vector<Row> rows;
  files::Json body;
  for (const std::string_view name : recipe::preset_names()) {
    rows.push_back({std::string(name), recipe::preset(name).about});
    body["recipes"].push_back({{"name", rows.back()[0]}, {"about", rows.back()[1]}});
  }
  json ? print_json("recipes", 1, body) : print_table(rows);
}

void show(const recipe::Recipe& recipe, bool json) {
  if (json) {
    std::fputs(to_json(recipe, recipe::JsonStyle::page).c_str(), stdout);
    return;
  }
  std::vector<Row> rows;
  for (const recipe::Field& field : recipe::fields()) {
    if (field.decides == recipe::Decides::nothing)
      std::printf("%s\n", std::get<std::string>(field.read(recipe)).c_str());
    else
      rows.push_back({field.path, recipe::to_text(field.read(recipe)), std::string(field.meaning)});
  }
  print_table(rows);
}

void compare(const recipe::Recipe& left, const recipe::Recipe& right, bool json) {
  std::vector<Row> rows;
  files::Json body{{"left", left.name}, {"right", right.name}};
  body["differences"] = files::Json::array();
  for (const recipe::Difference& difference : diff(left, right)) {
    const recipe::Field& field = *difference.field;
    rows.push_back({field.path, recipe::to_text(difference.left), "->",
                    recipe::to_text(difference.right), std::string(field.meaning)});
    body["differences"].push_back({{"field", field.path},
                                   {"left", json_of(difference.left)},
                                   {"right", json_of(difference.right)}});
  }
  if (json) return print_json("recipes.difference", 1, body);
  if (rows.empty()) std::printf("no field differs\n");
  print_table(rows);
}

}  // namespace

int run_recipes(int argc, char** argv) {
  CommandLine line(
      "recipes",
      "List the presets, show one recipe, the difference of two, or those of a schedule.",
      {"recipe", "other"});
  line.add({{"recipe", "preset or FILE.json"}, {"other", "preset or FILE.json"}});
  add_schedule_options(line);
  line.note("--json with one recipe prints it as a file that --recipe takes.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  if (given->count("schedule") > 0) {
    print_schedule(*given);
    return match;
  }
  require_schedule(*given);
  const bool json = given->count("json") > 0;
  const auto first = text_of(*given, "recipe"), second = text_of(*given, "other");
  if (second)
    compare(recipe::load_recipe(required(*given, "recipe")), recipe::load_recipe(*second), json);
  else if (first)
    show(recipe::load_recipe(*first), json);
  else
    list(json);
  return match;
}

}  // namespace karat::cli
