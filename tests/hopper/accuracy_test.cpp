// The model against the measured H100 rows, with the closed form it has to beat as the baseline,
// and a fit / validation split by rows.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "measured.hpp"

namespace karat::hopper {
namespace {

/// iteration = (matrix^p + softmax^p)^(1/p); CTA = c0 + blocks * iteration; waves of CTAs.
double closed_form(const MeasuredRow& row) {
  constexpr double p = 1.9, c0 = 6400, t0 = 5.7, mhz = 0.91 * 1830;
  const bool small = row.shape.head_dim <= 64;
  const double m = 192, n = small ? 192 : 144, d = small ? 64 : 96;
  const double matrix = 4 * m * n * d / 4096, softmax = m * n / 16 + 2.0 * m * n / 128;
  const double iteration = std::pow(std::pow(matrix, p) + std::pow(softmax, p), 1 / p);
  const double tiles = std::ceil(row.shape.queries / m) * row.shape.batch * row.shape.heads;
  const double waves = std::ceil(tiles / 132);
  return t0 + waves * (c0 + std::ceil(row.shape.keys / n) * iteration) / mhz;
}

double predicted_error(const MeasuredRow& row) {
  static const Machine h100 = machine("H100");
  return predicted_us(row, h100, {}) / row.us - 1;
}

class Accuracy : public testing::Test {
 protected:
  void SetUp() override {
    const auto path = std::filesystem::path(KARAT_DATA_DIR) / "cost/h100_fa3_bf16_noncausal.csv";
    if (!exists(path)) GTEST_SKIP() << "no measured rows at " << path << ": skipped";
    rows_ = measured_rows(path);
  }
  std::vector<MeasuredRow> rows_;
};

TEST_F(Accuracy, RowsAboveTwentyMicroseconds) {
  PredictionErrors model, baseline, fit, validation;
  int index = 0;
  for (const MeasuredRow& row : rows_) {
    if (row.splits_keys() || row.us <= 20) continue;
    const double error = predicted_error(row);
    model.add(error);
    baseline.add(closed_form(row) / row.us - 1);
    (index++ % 2 == 0 ? fit : validation).add(error);
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
  PredictionErrors model, baseline;
  for (const MeasuredRow& row : rows_) {
    if (!row.splits_keys()) continue;
    model.add(predicted_error(row));
    baseline.add(closed_form(row) / row.us - 1);
  }
  EXPECT_GT(model.rows, 50);
  EXPECT_LE(model.mean(), 0.15);
  EXPECT_LT(model.mean(), baseline.mean());
  std::printf("split keys: model %.2f %%, closed form %.2f %% (%d rows)\n", 100 * model.mean(),
              100 * baseline.mean(), model.rows);
}

}  // namespace
}  // namespace karat::hopper
