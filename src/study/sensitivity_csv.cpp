// The sensitivity table as CSV: one line a row, every line complete in itself.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "csv.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/study/sensitivity.hpp"
#include "table_order.hpp"

namespace karat::study {
namespace {

enum class Column : std::size_t {
  prompt,
  step,
  steps,
  sigma,
  layer,
  head,
  branch,
  recipe,
  error,
  sampling_error,
  guided_error,
};
/// Their names, in order.
constexpr std::string_view kHeader =
    "prompt,step,steps,sigma,layer,head,branch,recipe,error,sampling_error,guided_error";
constexpr std::size_t kColumns = static_cast<std::size_t>(Column::guided_error) + 1;

/// Reads the cells of one line; errors name the line.
class Line {
 public:
  Line(std::string_view text, std::string subject)
      : cells_(numerics::split(text)), subject_(std::move(subject)) {
    if (cells_.size() != kColumns)
      fail("has " + std::to_string(cells_.size()) + " cells instead of " +
           std::to_string(kColumns));
  }
  std::string_view text(Column column) const { return cells_[static_cast<std::size_t>(column)]; }
  double number(Column column) const { return parsed<double>(column); }
  double number_or_nan(Column column) const {
    return text(column).empty() ? std::numeric_limits<double>::quiet_NaN() : number(column);
  }
  std::int32_t integer(Column column) const { return parsed<std::int32_t>(column); }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorKind::input_output, subject_, problem, "columns are " + std::string(kHeader));
  }

 private:
  template <class T>
  T parsed(Column column) const {
    const std::string_view cell = text(column);
    T value{};
    const auto [end, failure] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (failure != std::errc{} || end != cell.data() + cell.size())
      fail("\"" + std::string(cell) + "\" in column " +
           std::to_string(static_cast<std::size_t>(column) + 1) + " is no number");
    return value;
  }
  std::vector<std::string> cells_;
  std::string subject_;
};

}  // namespace

std::string sensitivity_csv(const SensitivityTable& table) {
  std::string text = std::string(kHeader) + "\n";
  for (const Sensitivity& row : table.rows) {
    const capture::Cell& c = row.cell;
    for (const std::string& cell :
         {std::to_string(c.prompt), std::to_string(c.step), std::to_string(table.steps),
          csv_decimal(table.sigma[c.step]), std::to_string(c.layer), std::to_string(c.head),
          std::string(to_string(c.branch)), table.recipes[row.recipe], csv_decimal(row.error),
          csv_decimal(row.sampling_error)})
      text += cell + ",";
    text += csv_decimal(row.guided_error) + "\n";
  }
  return text;
}

SensitivityTable parse_sensitivity_csv(std::string_view text, const std::string& subject) {
  SensitivityTable table{.origin = subject, .steps = 0};
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string where = subject + ", line " + std::to_string(++number);
    if (number == 1) {
      if (line != kHeader)
        throw Error(ErrorKind::input_output, where, "is not the heading of a sensitivity table",
                    "columns are " + std::string(kHeader));
      continue;
    }
    if (line.empty()) continue;
    const Line cells(line, where);
    const int steps = cells.integer(Column::steps);
    if (steps < 1 || steps > 1'000'000 || (table.steps != 0 && steps != table.steps))
      cells.fail("\"" + std::string(cells.text(Column::steps)) + "\" steps where others say " +
                 std::to_string(table.steps));
    table.steps = steps;
    table.sigma.resize(steps, std::numeric_limits<double>::quiet_NaN());
    Sensitivity row{.cell = {.prompt = cells.integer(Column::prompt),
                             .step = cells.integer(Column::step),
                             .layer = cells.integer(Column::layer),
                             .head = cells.integer(Column::head)},
                    .error = cells.number(Column::error),
                    .sampling_error = cells.number(Column::sampling_error),
                    .guided_error = cells.number_or_nan(Column::guided_error)};
    if (row.cell.step < 0 || row.cell.step >= steps) cells.fail("has a step past the last one");
    if (cells.text(Column::branch) != to_string(video::Branch::conditional) &&
        cells.text(Column::branch) != to_string(video::Branch::unconditional))
      cells.fail("\"" + std::string(cells.text(Column::branch)) + "\" is no branch");
    row.cell.branch = video::parse_branch(cells.text(Column::branch));
    table.sigma[row.cell.step] = cells.number_or_nan(Column::sigma);
    const std::string recipe(cells.text(Column::recipe));
    const auto known = std::find(table.recipes.begin(), table.recipes.end(), recipe);
    row.recipe = static_cast<std::int32_t>(known - table.recipes.begin());
    if (known == table.recipes.end()) table.recipes.push_back(recipe);
    table.rows.push_back(row);
  }
  sort_rows(table);
  validate(table, subject);
  return table;
}

}  // namespace karat::study
