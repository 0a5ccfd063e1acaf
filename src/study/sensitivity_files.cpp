// The sensitivity table as CSV, as JSON and inside HDF5, and reading whichever a user gives.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "columns.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/study/loop.hpp"
#include "karat/study/sensitivity.hpp"

namespace karat::study {
namespace {

const std::string kGroup = "sensitivity";

using capture::Cell;
constexpr Column<Sensitivity> kColumns[] = {column<&Sensitivity::cell, &Cell::prompt>("prompt"),
                                            column<&Sensitivity::cell, &Cell::step>("step"),
                                            column<&Sensitivity::cell, &Cell::layer>("layer"),
                                            column<&Sensitivity::cell, &Cell::head>("head"),
                                            column<&Sensitivity::cell, &Cell::branch>("branch"),
                                            column<&Sensitivity::recipe>("recipe"),
                                            column<&Sensitivity::error>("error"),
                                            column<&Sensitivity::sampling_error>("sampling_error"),
                                            column<&Sensitivity::guided_error>("guided_error")};
enum : std::size_t { kStep = 1, kBranch = 4, kRecipe = 5, kGuided = 8 };

/// CSV has steps and sigma behind the step, so that every line is complete in itself.
std::string heading() {
  std::string text;
  for (const auto& column : kColumns) {
    text += (text.empty() ? "" : ",") + std::string(column.name);
    if (&column == &kColumns[kStep]) text += ",steps,sigma";
  }
  return text;
}
constexpr std::size_t cell_of_column(std::size_t column) {
  return column > kStep ? column + 2 : column;
}

/// Reads the cells of one line; errors name the line.
class Line {
 public:
  Line(std::string_view text, std::string subject)
      : cells_(numerics::split(text)), subject_(std::move(subject)) {
    const std::size_t wanted = cell_of_column(std::size(kColumns));
    if (cells_.size() != wanted)
      fail("has " + std::to_string(cells_.size()) + " cells instead of " + std::to_string(wanted));
  }
  const std::string& text(std::size_t cell) const { return cells_[cell]; }
  template <class T>
  T number(std::size_t cell) const {
    const std::string& word = text(cell);
    T value{};
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size())
      fail("\"" + word + "\" in column " + std::to_string(cell + 1) + " is no number");
    return value;
  }
  double number_or_nan(std::size_t cell) const {
    return text(cell).empty() ? std::nan("") : number<double>(cell);
  }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorKind::input_output, subject_, problem, "columns are " + heading());
  }

 private:
  std::vector<std::string> cells_;
  std::string subject_;
};

/// The row of a line; a recipe that is new joins the table's.
Sensitivity row_of_line(const Line& line, SensitivityTable& table) {
  Sensitivity row;
  for (std::size_t i = 0; i < std::size(kColumns); ++i) {
    const std::size_t cell = cell_of_column(i);
    const std::string& word = line.text(cell);
    if (i == kBranch) {
      if (word != to_string(video::Branch::conditional) &&
          word != to_string(video::Branch::unconditional))
        line.fail("\"" + word + "\" is no branch");
      row.cell.branch = video::parse_branch(word);
    } else if (i == kRecipe) {
      const auto known = std::ranges::find(table.recipes, word);
      row.recipe = static_cast<std::int32_t>(known - table.recipes.begin());
      if (known == table.recipes.end()) table.recipes.push_back(word);
    } else if (kColumns[i].dtype == files::DType::i32) {
      kColumns[i].set(row, line.number<std::int32_t>(cell));
    } else {
      kColumns[i].set(row, i == kGuided ? line.number_or_nan(cell) : line.number<double>(cell));
    }
  }
  return row;
}

/// Sorts the rows. @throws as validate()
SensitivityTable in_order(SensitivityTable table, const std::string& subject) {
  std::ranges::stable_sort(table.rows, {},
                           [](const Sensitivity& row) { return std::tie(row.cell, row.recipe); });
  validate(table, subject);
  return table;
}

}  // namespace

std::string sensitivity_csv(const SensitivityTable& table) {
  std::string text = heading() + "\n";
  for (const Sensitivity& row : table.rows)
    for (std::size_t i = 0; i < std::size(kColumns); ++i) {
      const double value = kColumns[i].get(row);
      text += i == kBranch   ? std::string(to_string(row.cell.branch))
              : i == kRecipe ? table.recipes[row.recipe]
              : kColumns[i].dtype == files::DType::f64
                  ? csv_decimal(value)
                  : std::to_string(static_cast<std::int64_t>(value));
      if (i == kStep)
        text += "," + std::to_string(table.steps) + "," + csv_decimal(table.sigma[row.cell.step]);
      text += i + 1 < std::size(kColumns) ? "," : "\n";
    }
  return text;
}

SensitivityTable parse_sensitivity_csv(std::string_view text, const std::string& subject) {
  SensitivityTable table{.origin = subject, .steps = 0};
  std::size_t number = 0;
  for (std::string& line : numerics::split(text, '\n')) {
    if (line.ends_with('\r')) line.pop_back();
    const std::string where = subject + ", line " + std::to_string(++number);
    if (number == 1 && line != heading())
      throw Error(ErrorKind::input_output, where, "is not the heading of a sensitivity table",
                  "columns are " + heading());
    if (number == 1 || line.empty()) continue;
    const Line cells(line, where);
    const int steps = cells.number<int>(kStep + 1);
    if (steps < 1 || steps > 1'000'000 || (table.steps != 0 && steps != table.steps))
      cells.fail("\"" + cells.text(kStep + 1) + "\" steps where others say " +
                 std::to_string(table.steps));
    table.steps = steps;
    table.sigma.resize(steps, std::nan(""));
    table.rows.push_back(row_of_line(cells, table));
    const int step = table.rows.back().cell.step;
    if (step < 0 || step >= steps) cells.fail("has a step past the last one");
    table.sigma[step] = cells.number_or_nan(kStep + 2);
  }
  return in_order(std::move(table), subject);
}

files::Json sensitivity_json(const SensitivityTable& table) {
  files::Json json{{"schema", "karat.sensitivity"},   {"version", 1},
                   {"origin", table.origin},          {"steps", table.steps},
                   {"sigma", files::Json::array()},   {"recipes", table.recipes},
                   {"columns", files::Json::array()}, {"rows", files::Json::array()}};
  for (const double sigma : table.sigma) json["sigma"].push_back(json_number(sigma));
  for (const auto& column : kColumns) json["columns"].push_back(column.name);
  for (const Sensitivity& row : table.rows) {
    json["rows"].push_back(json_row(row, kColumns));
    json["rows"].back()[kBranch] = to_string(row.cell.branch);
  }
  return json;
}

SensitivityTable parse_sensitivity_json(const files::Json& json, const std::string& subject) {
  try {
    if (json.at("schema") != "karat.sensitivity" || json.at("version") != 1)
      throw Error(ErrorKind::input_output, subject, "is no karat.sensitivity of version 1",
                  "give what karat study wrote");
    SensitivityTable table{
        .origin = json.at("origin"), .steps = json.at("steps"), .recipes = json.at("recipes")};
    for (const auto& sigma : json.at("sigma")) table.sigma.push_back(number_of(sigma));
    for (files::Json row : json.at("rows")) {
      row.at(kBranch) = static_cast<int>(video::parse_branch(row.at(kBranch).get<std::string>()));
      table.rows.push_back(row_of<Sensitivity>(row, kColumns));
    }
    return in_order(std::move(table), subject);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::input_output, subject, "is no sensitivity table",
                "see docs/study.md for its fields");
  }
}

void write_sensitivity(files::Hdf5Writer& file, const SensitivityTable& table) {
  file.group(kGroup);
  write_columns(file, kGroup, table.rows, kColumns);
  file.write(kGroup + "/sigma",
             files::make_tensor(files::DType::f64, {table.sigma.size()}, table.sigma));
  file.set_attributes(kGroup, {{"origin", table.origin},
                               {"steps", std::int64_t{table.steps}},
                               {"recipes", files::Json(table.recipes).dump()},
                               {"branches", "0 conditional, 1 unconditional"}});
}

SensitivityTable read_sensitivity(const files::Hdf5Reader& file, const std::string& subject) {
  if (!file.contains(kGroup + "/error"))
    throw Error(ErrorKind::input_output, subject, "holds no sensitivity table",
                "give what karat study wrote");
  const files::Tensor sigma = file.read(kGroup + "/sigma");
  const auto levels = sigma.as<double>();
  return in_order({.origin = file.text(kGroup, "origin"),
                   .steps = static_cast<int>(file.integer(kGroup, "steps")),
                   .sigma = {levels.begin(), levels.end()},
                   .recipes = files::parse_json(file.text(kGroup, "recipes"), subject),
                   .rows = read_columns<Sensitivity>(file, kGroup, kColumns, subject)},
                  subject);
}

SensitivityTable read_sensitivity(const std::filesystem::path& path) {
  const std::string text = files::read_text(path), subject = path.string();
  if (text.empty())
    throw Error(ErrorKind::input_output, subject, "is missing or empty",
                "give what karat study wrote");
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    const files::Json json = files::parse_json(text, subject);
    if (json.contains("schema") && json["schema"] == "karat.loop")
      return sensitivity(parse_loop(json, subject), subject);
    return parse_sensitivity_json(json, subject);
  }
  if (text.starts_with("prompt,")) return parse_sensitivity_csv(text, subject);
  return read_sensitivity(files::Hdf5Reader(path), subject);
}

}  // namespace karat::study
