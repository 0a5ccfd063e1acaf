// Errors of the time model by (source, board, kernel), as docs/time-model.md shows them.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "karat/report/text.hpp"
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
  double target = 0.06;  ///< of the mean error; 0: none
  double noise = 0;      ///< what measuring once more would change
  PredictionErrors errors;
};

/// Noise of a group of rows. H100, H200 and H800 SXM share one fitted clock, and boards of one name
/// differ by 4 % (sd of FlashAttention-3 at d = 128). An H20's clock is its own: repeated campaigns
/// on one board differ by 3 % at least. (README of the rows.)
inline double noise_of(const MeasuredRow& row) { return row.board == "H20" ? 0.03 : 0.04; }

/// Times that leaving a source out makes its rows worse, seen with the noise: an error below it
/// stands for as much.
inline double times_of_noise(double with, double without, double noise) {
  return without / std::max(with, noise);
}

/// Divided keys have no target of their own: few tiles, FP32 parts, a second kernel.
inline double target_of(const MeasuredRow& row) {
  if (row.splits_keys()) return 0;
  if (row.source == "fa_1310") return 0.04;
  return row.request.splits == Splits::heuristic ? 0.045 : 0.06;
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
    Group group{.name = name,
                .target = target_of(*answers.front().row),
                .noise = noise_of(*answers.front().row)};
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

/// Columns of the table in docs/time-model.md, without and with those of a source left out.
inline constexpr const char* kColumns =
    "| source, board, kernel | rows | mean | bias | worst | target | noise | factor |";

inline std::string line_of(const Group& g) {
  const std::string target = g.target > 0 ? report::print("%.2g %%", 100 * g.target) : "";
  const std::string factor = g.factor == 1 ? "" : report::print("%.2f", g.factor);
  // Where a factor is taken nothing is left of the bias.
  const std::string bias =
      g.factor == 1 ? report::print("%+.1f %%", 100 * g.errors.bias()) : std::string();
  return report::print("| %s | %d | %.1f %% | %s | %.1f %% | %s | %.0f %% | %s |", g.name.c_str(),
                       g.errors.rows, 100 * g.errors.mean(), bias.c_str(), 100 * g.errors.worst,
                       target.c_str(), 100 * g.noise, factor.c_str());
}

inline void print_groups(const std::vector<Group>& groups) {
  std::printf("%s\n|---|---|---|---|---|---|---|---|\n", kColumns);
  for (const Group& g : groups) std::printf("%s\n", line_of(g).c_str());
}

}  // namespace karat::hopper
