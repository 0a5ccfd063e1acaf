// Measured attention times of Hopper boards, row by row, and errors against them. Shared by the
// fit of the time model's constants and by the test of its accuracy.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "karat/hopper/launch.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"

namespace karat::hopper {

/// One measured launch and the plan that stands for its kernel.
struct MeasuredRow {
  std::string source, board, kernel;
  bool has_plan = true;  ///< false: a kernel whose structure is not known
  PlanRequest request;
  Shape shape;
  double density = 1;  ///< kept share of the key blocks, the same for every query tile
  double us = 0;

  /// Several CTAs share the keys of a query tile.
  bool splits_keys() const {
    return has_plan && key_splits(make_plan(request, machine("H100")), shape, 132).taken > 1;
  }
  std::string group() const { return source + ", " + board + ", " + kernel; }
};

namespace measured {

/// What a name in the column "kernel" stands for.
struct Name {
  const char* name;
  Kernel kernel;
  Lengths lengths;
};
/// cudnn, cudnn_varlen and tlx_fa have no plan: their structure is not published.
inline constexpr Name kNames[] = {
    {"fa2", Kernel::fa2, Lengths::fixed},      {"fa3", Kernel::fa3, Lengths::fixed},
    {"flash_v3", Kernel::fa3, Lengths::fixed}, {"fa3_varlen", Kernel::fa3, Lengths::varying},
    {"flex", Kernel::flex, Lengths::fixed},    {"thunderkittens", Kernel::sta, Lengths::fixed}};

inline std::vector<std::vector<std::string>> cells(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file)
    throw Error(ErrorKind::input_output, path.string(), "cannot be read", "name the CSV of rows");
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) rows.push_back(numerics::split(line));
  return rows;
}

}  // namespace measured

/// Rows of h100_fa3_bf16_noncausal.csv: vLLM's varlen wrapper, which lets the kernel split keys.
/// @throws Error(input_output) when the file cannot be read
inline std::vector<MeasuredRow> varlen_rows(const std::filesystem::path& path) {
  std::vector<MeasuredRow> rows;
  for (const auto& cell : measured::cells(path)) {
    const int tokens = std::stoi(cell.at(5)), dim = std::stoi(cell.at(6));
    rows.push_back(
        {.source = "aiconfigurator",
         .board = "H100-SXM5",
         .kernel = "fa3_varlen",
         .request = {.head_dim = dim, .lengths = Lengths::varying, .splits = Splits::heuristic},
         .shape = {.batch = std::stoi(cell[3]),
                   .heads = std::stoi(cell[4]),
                   .queries = tokens,
                   .keys = tokens,
                   .head_dim = dim},
         .us = std::stod(cell.at(8)) * 1e3});
  }
  return rows;
}

/// Rows of hopper_published.csv: dataset, gpu, kernel, dtype, batch, heads_q, heads_kv, seqlen,
/// headdim, causal, density, tflops of the kept pairs, confidence.
/// @throws Error(input_output) when the file cannot be read
inline std::vector<MeasuredRow> published_rows(const std::filesystem::path& path) {
  std::vector<MeasuredRow> rows;
  for (const auto& cell : measured::cells(path)) {
    MeasuredRow row{.source = cell.at(0), .board = cell[1], .kernel = cell[2]};
    const double tokens = std::stod(cell.at(7));
    const bool causal = cell.at(9) == "1";
    row.density = std::stod(cell.at(10));
    row.shape = {.batch = std::stoi(cell[4]),
                 .heads = std::stoi(cell[5]),
                 .queries = std::stoi(cell[7]),
                 .keys = std::stoi(cell[7]),
                 .head_dim = std::stoi(cell[8]),
                 .causality = causal ? Causality::causal : Causality::none};
    const double pairs = tokens * tokens * (causal ? 0.5 : row.density);
    row.us = 4.0 * row.shape.batch * row.shape.heads * row.shape.head_dim * pairs /
             std::stod(cell.at(11)) * 1e-6;
    const auto* name = std::find_if(std::begin(measured::kNames), std::end(measured::kNames),
                                    [&](const measured::Name& n) { return row.kernel == n.name; });
    row.has_plan = name != std::end(measured::kNames);
    if (row.has_plan) {
      row.request = {.kernel = name->kernel,
                     .head_dim = row.shape.head_dim,
                     .causality = row.shape.causality,
                     .lengths = name->lengths};
      // The issue is of November 2024; vLLM's wrapper lets the kernel split.
      if (row.source == "fa_1310" && name->kernel == Kernel::fa3)
        row.request.kernel = Kernel::fa3_2024;
      if (row.source == "aic_vllm_h200") row.request.splits = Splits::heuristic;
      // The block-sparse kernel of flex-block-attn reads which blocks it visits.
      if (row.density < 1) {
        row.request.lists = BlockLists::read;
        row.kernel += " sparse";
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// The time model's answer to a row.
inline double predicted_us(const MeasuredRow& row, const Machine& machine, const Timing& timing) {
  const Plan plan = make_plan(row.request, machine);
  Work work = dense(plan, row.shape);
  if (row.density < 1) {
    work.unique_key_blocks = work.head.front().blocks;
    work.listed = true;
    for (TileRun& run : work.head)
      run.blocks = static_cast<int>(std::lround(run.blocks * row.density));
  }
  return launch_time(machine, timing, plan, row.shape, work).us;
}

/// Errors of predictions, summed up: |ln(predicted / measured)|.
struct PredictionErrors {
  int rows = 0, beyond_20 = 0;
  double absolute = 0, signed_sum = 0, worst = 0;
  void add(double predicted, double measured) {
    const double error = std::log(predicted / measured);
    ++rows;
    absolute += std::abs(error);
    signed_sum += error;
    worst = std::max(worst, std::abs(error));
    beyond_20 += std::abs(error) > 0.2;
  }
  double mean() const { return absolute / rows; }
  double bias() const { return signed_sum / rows; }
};

}  // namespace karat::hopper
