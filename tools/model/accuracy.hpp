// Errors of the time model by (source, board, kernel), as docs/time-model.md shows them.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "measured.hpp"

namespace karat::hopper {

/// All rows of the given folder. @throws Error(input_output)
inline std::vector<MeasuredRow> all_rows(const std::filesystem::path& folder) {
  std::vector<MeasuredRow> rows = varlen_rows(folder / "h100_fa3_bf16_noncausal.csv");
  for (MeasuredRow& row : published_rows(folder / "hopper_published.csv"))
    rows.push_back(std::move(row));
  return rows;
}

/// The preset of a name in the column "gpu".
inline std::string preset(const std::string& board) {
  return board == "H100-SXM5" ? "H100" : board == "H800-SXM" ? "H800" : board;
}

/// Boards by their name in the rows, and the constants: what a fit changes.
struct Model {
  std::map<std::string, Machine> boards;
  Timing timing;
};
inline Model model_of(const std::vector<MeasuredRow>& rows) {
  Model model;
  for (const MeasuredRow& row : rows) model.boards[row.board] = machine(preset(row.board));
  return model;
}

/// Triton's and ThunderKittens' rows are judged after one factor per board and kernel.
inline bool has_factor(const MeasuredRow& row) {
  return row.request.kernel == Kernel::flex || row.request.kernel == Kernel::sta;
}

/// One line of the table.
struct Group {
  std::string name;
  double factor = 1;     ///< measured / predicted, geometric mean; 1 where none is taken
  double target = 0.06;  ///< of the mean error
  PredictionErrors errors;
};

inline double target_of(const MeasuredRow& row) {
  if (row.source == "fa_1310") return 0.04;
  return row.request.splits == Splits::heuristic && !row.splits_keys() ? 0.045 : 0.06;
}

/// Rows of one line of the table.
inline std::string group_name(const MeasuredRow& row) {
  const std::string kernel = row.request.kernel == Kernel::flex ? "flex" : "thunderkittens";
  return (has_factor(row) ? row.source + ", " + row.board + ", " + kernel : row.group()) +
         (row.splits_keys() ? ", split keys" : "");
}

inline std::vector<Group> groups(const std::vector<MeasuredRow>& rows, const Model& model) {
  struct Answer {
    const MeasuredRow* row;
    double us;
  };
  std::map<std::string, std::vector<Answer>> by_name;
  for (const MeasuredRow& row : rows) {
    if (!row.has_plan) continue;
    by_name[group_name(row)].push_back(
        {&row, predicted_us(row, model.boards.at(row.board), model.timing)});
  }
  std::vector<Group> out;
  for (const auto& [name, answers] : by_name) {
    Group group{.name = name, .target = target_of(*answers.front().row)};
    if (has_factor(*answers.front().row)) {
      double sum = 0;
      for (const Answer& a : answers) sum += std::log(a.row->us / a.us);
      group.factor = std::exp(sum / static_cast<double>(answers.size()));
    }
    for (const Answer& a : answers) group.errors.add(a.us * group.factor, a.row->us);
    out.push_back(std::move(group));
  }
  return out;
}

/// Names of the kernels without a plan.
inline std::set<std::string> left_out(const std::vector<MeasuredRow>& rows) {
  std::set<std::string> out;
  for (const MeasuredRow& row : rows)
    if (!row.has_plan) out.insert(row.kernel);
  return out;
}

inline void print_groups(const std::vector<Group>& groups) {
  std::printf(
      "| source, board, kernel | rows | mean | bias | worst | target | factor |\n"
      "|---|---|---|---|---|---|---|\n");
  for (const Group& g : groups) {
    std::printf("| %s | %d | %.1f %% | %+.1f %% | %.1f %% | %.2g %% | %s |\n", g.name.c_str(),
                g.errors.rows, 100 * g.errors.mean(), 100 * g.errors.bias(), 100 * g.errors.worst,
                100 * g.target, g.factor == 1 ? "" : std::to_string(g.factor).substr(0, 4).c_str());
  }
}

}  // namespace karat::hopper
