// Rows captured on real GPUs and published by others, read in place through the same path.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "karat/evidence/evidence.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kRows = fs::path(KARAT_DATA_DIR) / "hardware";

TEST(PublishedRows, AreAllEqual) {
  if (!fs::exists(kRows)) GTEST_SKIP() << "no " << kRows << ": hardware rows not compared";
  const Report report = examine(kRows);
  EXPECT_EQ(report.origin, Origin::public_rows);
  EXPECT_EQ(report.findings.size(), 3u);
  for (const Finding& f : report.findings) {
    EXPECT_EQ(f.rows, 5000u) << f.instruction;
    EXPECT_EQ(f.equal, f.rows) << f.first_difference();
  }
}

class TextRows : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  std::string problem(const std::string& text) {
    std::ofstream(folder_ / "rows.txt") << text;
    try {
      examine(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_ = fs::path(::testing::TempDir()) / ("karat_rows_" + std::to_string(getpid()));
  std::string header_ = "# H100 E4M3->fp32 instruction path: wgmma(QGMMA). columns\n";
  std::string zeros_ = std::string(64, '0');
};

TEST_F(TextRows, BadTextNamesTheLine) {
  EXPECT_THAT(problem("# something\n"), HasSubstr("names no known instruction"));
  EXPECT_THAT(problem(header_ + zeros_ + " " + zeros_ + " 00000000 0000000\n"),
              HasSubstr("line 2"));
  EXPECT_THAT(problem(header_ + zeros_ + " " + zeros_ + " 00000000 0000000g\n"),
              HasSubstr("line 2"));
}

TEST_F(TextRows, ADifferenceNamesTheLine) {
  const std::string good = zeros_ + " " + zeros_ + " 00000000 00000000\n";
  EXPECT_EQ(problem(header_ + good + zeros_ + " " + zeros_ + " 00000000 80000000\n"), "");
  const Report report = examine(folder_);
  EXPECT_EQ(report.rows(), 2u);
  EXPECT_EQ(report.equal(), 1u);
  EXPECT_THAT(report.findings.front().first_difference(),
              HasSubstr("line 3: captured 0x80000000, emulated 0x00000000"));
}

}  // namespace
}  // namespace karat::evidence
