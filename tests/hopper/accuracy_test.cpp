// The model against the measured H100 rows, with the closed form it has to beat as the baseline,
// and a fit / validation split by rows.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {
namespace {

struct Row {
  Shape shape;
  double us;
};

std::vector<Row> measured() {
  std::ifstream file(std::filesystem::path(KARAT_DATA_DIR) / "cost/h100_fa3_bf16_noncausal.csv");
  std::vector<Row> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::stringstream text(line);
    std::vector<std::string> cell;
    for (std::string each; std::getline(text, each, ',');) cell.push_back(each);
    const int batch = std::stoi(cell[3]), heads = std::stoi(cell[4]), tokens = std::stoi(cell[5]);
    rows.push_back({{.batch = batch,
                     .heads = heads,
                     .queries = tokens,
                     .keys = tokens,
                     .head_dim = std::stoi(cell[6])},
                    std::stod(cell[8]) * 1e3});
  }
  return rows;
}

/// iteration = (matrix^p + softmax^p)^(1/p); CTA = c0 + blocks * iteration; waves of CTAs.
double closed_form(const Row& row) {
  constexpr double p = 1.9, c0 = 6400, t0 = 5.7, mhz = 0.91 * 1830;
  const bool small = row.shape.head_dim <= 64;
  const double m = 192, n = small ? 192 : 144, d = small ? 64 : 96;
  const double matrix = 4 * m * n * d / 4096, softmax = m * n / 16 + 2.0 * m * n / 128;
  const double iteration = std::pow(std::pow(matrix, p) + std::pow(softmax, p), 1 / p);
  const double tiles = std::ceil(row.shape.queries / m) * row.shape.batch * row.shape.heads;
  const double waves = std::ceil(tiles / 132);
  return t0 + waves * (c0 + std::ceil(row.shape.keys / n) * iteration) / mhz;
}

double simulated(const Row& row) {
  static const Machine h100 = machine("H100");
  const Plan plan = make_plan({.head_dim = row.shape.head_dim}, h100);
  return launch_time(h100, {}, plan, row.shape, dense(plan, row.shape)).us;
}

struct Errors {
  int rows = 0, beyond_20 = 0;
  double sum = 0;
  void add(double predicted, double us) {
    const double error = std::abs(predicted / us - 1);
    ++rows, sum += error, beyond_20 += error > 0.20;
  }
  double mean() const { return sum / rows; }
};

double tiles(const Row& row) {
  return std::ceil(row.shape.queries / 192.0) * row.shape.batch * row.shape.heads;
}

class Accuracy : public testing::Test {
 protected:
  void SetUp() override {
    rows_ = measured();
    if (rows_.empty()) GTEST_SKIP() << "no measured rows at " << KARAT_DATA_DIR << "/cost: skipped";
  }
  std::vector<Row> rows_;
};

TEST_F(Accuracy, RowsAboveTwentyMicroseconds) {
  Errors model, baseline, fit, validation;
  int index = 0;
  for (const Row& row : rows_) {
    if (tiles(row) < 0.8 * 132 || row.us <= 20) continue;
    const double us = simulated(row);
    model.add(us, row.us);
    baseline.add(closed_form(row), row.us);
    (index++ % 2 == 0 ? fit : validation).add(us, row.us);
  }
  EXPECT_GT(model.rows, 300);
  EXPECT_LE(model.mean(), 0.040);
  EXPECT_LE(model.beyond_20, 0.01 * model.rows);
  EXPECT_LT(model.mean(), baseline.mean());
  EXPECT_LE(validation.mean(), 0.045);
  std::printf(
      "mean absolute error: model %.2f %%, closed form %.2f %% (%d rows); fit half %.2f %%, "
      "validation half %.2f %%; beyond 20 %%: %d\n",
      100 * model.mean(), 100 * baseline.mean(), model.rows, 100 * fit.mean(),
      100 * validation.mean(), model.beyond_20);
}

TEST_F(Accuracy, RowsWithSplitKeys) {
  Errors model, baseline;
  for (const Row& row : rows_) {
    if (tiles(row) >= 0.8 * 132) continue;
    model.add(simulated(row), row.us);
    baseline.add(closed_form(row), row.us);
  }
  EXPECT_GT(model.rows, 50);
  EXPECT_LE(model.mean(), 0.15);
  EXPECT_LT(model.mean(), baseline.mean());
  std::printf("split keys: model %.2f %%, closed form %.2f %% (%d rows)\n", 100 * model.mean(),
              100 * baseline.mean(), model.rows);
}

}  // namespace
}  // namespace karat::hopper
