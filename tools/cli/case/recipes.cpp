// karat recipes: the presets, one recipe in full, the difference of two, or a schedule's.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "case/scheduled_recipes.hpp"
#include "karat/recipe/evidence.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

void print_rows(std::vector<report::Column> columns, Rows rows, report::TableStyle style) {
  // Titles are Markdown's alone: a terminal's table needs none.
  if (style == report::TableStyle::aligned) columns.assign(columns.size(), {});
  std::fputs(
      report::to_text({.columns = std::move(columns), .rows = std::move(rows)}, style).c_str(),
      stdout);
}

files::Json json_of(const recipe::Value& value) {
  return files::Json::parse(recipe::to_text(value));
}

void list(bool json, report::TableStyle style) {
  Rows rows;
  files::Json body;
  for (const std::string_view name : recipe::preset_names()) {
    rows.push_back({std::string(name), recipe::preset(name).about});
    body["recipes"].push_back({{"name", rows.back()[0]}, {"about", rows.back()[1]}});
  }
  json ? print_json("recipes", 1, body) : print_rows({{"recipe"}, {"about"}}, rows, style);
}

void show(const recipe::Recipe& recipe, bool json, report::TableStyle style) {
  if (json) {
    std::fputs(to_json(recipe, recipe::JsonStyle::page).c_str(), stdout);
    return;
  }
  Rows rows;
  for (const recipe::Field& field : recipe::fields()) {
    if (field.decides == recipe::Decides::nothing)
      std::printf("%s\n", std::get<std::string>(field.read(recipe)).c_str());
    else
      rows.push_back({field.path, recipe::to_text(field.read(recipe)), std::string(field.meaning)});
  }
  print_rows({{"field"}, {"value"}, {"meaning"}}, rows, style);
  for (const recipe::InstructionEvidence& each : evidence_of(recipe))
    std::printf("evidence %s: %s; %s\n", each.instruction.c_str(),
                std::string(each.evidence).c_str(), std::string(each.note).c_str());
}

void compare(const recipe::Recipe& left, const recipe::Recipe& right, bool json,
             report::TableStyle style) {
  Rows rows;
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
  if (rows.empty())
    std::printf("no field differs\n");
  else
    print_rows({{"field"}, {left.name}, {""}, {right.name}, {"meaning"}}, rows, style);
}

}  // namespace

int run_recipes(int argc, char** argv) {
  CommandLine line(
      "recipes",
      "List the presets, show one recipe, the difference of two, or those of a schedule.",
      {"recipe", "other"});
  line.add({{"recipe", "preset or FILE.json"}, {"other", "preset or FILE.json"}});
  line.add({kMarkdown});
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
  const report::TableStyle style = table_style(*given);
  const auto first = text_of(*given, "recipe"), second = text_of(*given, "other");
  if (second)
    compare(recipe::load_recipe(required(*given, "recipe")), recipe::load_recipe(*second), json,
            style);
  else if (first)
    show(recipe::load_recipe(*first), json, style);
  else
    list(json, style);
  return match;
}

}  // namespace karat::cli
