// Measured FlashAttention-3 times of an H100, row by row, and errors against them. Shared by the
// fit of the time model's constants and by the test of its accuracy.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "karat/hopper/launch.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"

namespace karat::hopper {

/// One row of h100_fa3_bf16_noncausal.csv.
struct MeasuredRow {
  Shape shape;
  double us = 0;

  double query_tiles() const {
    return std::ceil(static_cast<double>(shape.queries) / 192.0) * shape.batch * shape.heads;
  }
  /// Keys are split over several CTAs where query tiles fill less than 0.8 of the 132 SMs.
  bool splits_keys() const { return query_tiles() < 0.8 * 132; }
};

/// @throws Error(input_output) when the file cannot be read
inline std::vector<MeasuredRow> measured_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file)
    throw Error(ErrorKind::input_output, path.string(), "cannot be read", "name the CSV of rows");
  std::vector<MeasuredRow> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    const std::vector<std::string> cell = numerics::split(line);
    const int tokens = std::stoi(cell.at(5));
    rows.push_back({{.batch = std::stoi(cell[3]),
                     .heads = std::stoi(cell[4]),
                     .queries = tokens,
                     .keys = tokens,
                     .head_dim = std::stoi(cell.at(6))},
                    std::stod(cell.at(8)) * 1e3});
  }
  return rows;
}

/// The time model's answer to a row.
inline double predicted_us(const MeasuredRow& row, const Machine& machine, const Timing& timing) {
  const Plan plan = make_plan({.head_dim = row.shape.head_dim}, machine);
  return launch_time(machine, timing, plan, row.shape, dense(plan, row.shape)).us;
}

/// Relative errors of predictions, summed up.
struct PredictionErrors {
  int rows = 0, beyond_20 = 0;
  double absolute = 0, signed_sum = 0;
  void add(double error) {
    ++rows;
    absolute += std::abs(error);
    signed_sum += error;
    beyond_20 += std::abs(error) > 0.2;
  }
  double mean() const { return absolute / rows; }
};

}  // namespace karat::hopper
