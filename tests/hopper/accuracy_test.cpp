// The model against the measured rows, group by group, and the closed form as a cross-check.
#include "accuracy.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <vector>

#include "left_out.hpp"

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

class Accuracy : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = std::filesystem::path(KARAT_DATA_DIR) / "cost";
    if (!exists(folder / "hopper_published.csv"))
      GTEST_SKIP() << "no measured rows in " << folder << ": skipped";
    rows_ = all_rows(folder);
  }
  std::vector<MeasuredRow> rows_;
};

/// Lines of the table of errors in docs/time-model.md, by their names.
std::map<std::string, std::string> lines_of_page() {
  std::ifstream file(std::filesystem::path(KARAT_SOURCE_DIR) / "docs/time-model.md");
  std::map<std::string, std::string> out;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == std::string(kColumns) + kLeftOutColumns) {
      inside = true;
    } else if (!line.starts_with("|")) {
      inside = false;
    } else if (inside && !line.starts_with("|---")) {
      out[line.substr(2, line.find(" |", 2) - 2)] = line;
    }
  }
  return out;
}

TEST_F(Accuracy, EveryGroupOfRows) {
  const std::vector<Group> all = groups(rows_, model_of(rows_));
  print_groups(all);
  for (const std::string& kernel : left_out(rows_))
    std::printf("left out, no plan: %s\n", kernel.c_str());
  EXPECT_GE(all.size(), 15u);
  PredictionErrors varlen;  // of the H100, keys divided or not: one source, board and kernel
  const Model model = model_of(rows_);
  for (const MeasuredRow& row : rows_) {
    if (row.source == "aiconfigurator")
      varlen.add(predicted_us(row, model.boards.at(row.board), model.timing), row.us);
  }
  std::printf("aiconfigurator, H100, all %d varlen rows: %.1f %%\n", varlen.rows,
              100 * varlen.mean());
  EXPECT_EQ(varlen.rows, 400);
  EXPECT_LE(varlen.mean(), 0.045);
  constexpr double kDividedKeys = 0.08;  // nobody set them a target
  for (const Group& group : all)
    EXPECT_LE(group.errors.mean(), group.target > 0 ? group.target : kDividedKeys) << group.name;
  EXPECT_EQ(left_out(rows_), (std::set<std::string>{"cudnn", "cudnn_varlen", "tlx_fa"}));
}

/// The page shows the table that the tool prints. (What left-out fits change is compared where they
/// are made.)
TEST_F(Accuracy, ThePageShowsTheSameErrors) {
  const std::map<std::string, std::string> page = lines_of_page();
  const std::vector<Group> all = groups(rows_, model_of(rows_));
  EXPECT_EQ(page.size(), all.size());
  for (const Group& group : all) {
    ASSERT_TRUE(page.contains(group.name)) << group.name;
    EXPECT_TRUE(page.at(group.name).starts_with(line_of(group)))
        << page.at(group.name) << "\nprint it with time_model left-out: " << line_of(group);
  }
}

/// Numbers of a line, whatever stands between them.
std::vector<double> numbers(std::string line) {
  for (char& c : line)
    if (!std::isdigit(static_cast<unsigned char>(c)) && c != '.') c = ' ';
  std::istringstream text(line);
  return {std::istream_iterator<double>(text), {}};
}

/// No source is predicted more than 1.5 times worse by a fit that never saw it, where an error
/// below the noise counts as the noise.
TEST_F(Accuracy, SourcesThatAFitNeverSaw) {
  if (std::getenv("KARAT_LONG") == nullptr) GTEST_SKIP() << "eight fits; KARAT_LONG=1 runs it";
  const std::map<std::string, std::string> page = lines_of_page();
  for (const LeftOutSource& source : leave_sources_out(rows_)) {
    for (const LeftOutGroup& g : source.groups) {
      const std::string line = line_of(g);
      std::printf("%s\n", line.c_str());
      EXPECT_LE(g.times_noise(), 1.5) << g.with.name;
      ASSERT_TRUE(page.contains(g.with.name)) << g.with.name;
      const std::size_t known = line_of(g.with).size();
      const auto shown = numbers(page.at(g.with.name).substr(known));
      const auto found = numbers(line.substr(known));
      ASSERT_EQ(shown.size(), found.size()) << page.at(g.with.name);
      for (std::size_t i = 0; i < shown.size(); ++i)
        EXPECT_NEAR(shown[i], found[i], 0.11) << page.at(g.with.name) << "\n" << line;
    }
  }
}

TEST_F(Accuracy, BeatsTheClosedForm) {
  PredictionErrors model, baseline;
  const Model boards = model_of(rows_);
  for (const MeasuredRow& row : rows_) {
    if (row.source != "aiconfigurator" || row.splits_keys() || row.us <= 20) continue;
    model.add(predicted_us(row, boards.boards.at(row.board), {}), row.us);
    baseline.add(closed_form(row), row.us);
  }
  EXPECT_GT(model.rows, 300);
  EXPECT_LT(model.mean(), baseline.mean());
  std::printf("mean error: model %.2f %%, closed form %.2f %% (%d rows)\n", 100 * model.mean(),
              100 * baseline.mean(), model.rows);
}

}  // namespace
}  // namespace karat::hopper
