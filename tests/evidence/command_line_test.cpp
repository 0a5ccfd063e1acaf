// karat evidence as people run it: exit codes, the JSON list, the page, the tables.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "karat/evidence/evidence.hpp"
#include "karat/files/json_file.hpp"

namespace karat::evidence {
namespace {

namespace fs = std::filesystem;

class CommandLine : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directory(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// Exit code; stdout goes to out().
  int karat(const std::string& arguments) const {
    const int status = std::system((std::string(KARAT_BINARY) + " evidence " + arguments + " > " +
                                    out().string() + " 2> /dev/null")
                                       .c_str());
    return WEXITSTATUS(status);
  }
  fs::path out() const { return folder_ / "out"; }

  fs::path folder_ =
      fs::path(::testing::TempDir()) / ("karat_evidence_" + std::to_string(getpid()));
};

TEST_F(CommandLine, ComparesACapture) {
  const fs::path capture = folder_ / "capture";
  emulate_capture(capture, {.seed = 1, .only = {"octave_ex2.approx.ftz.f32", "f16_conversion"}});
  EXPECT_EQ(karat(capture.string() + " --json --html " + (folder_ / "page.html").string() +
                  " --tables " + (folder_ / "tables").string()),
            0);
  const files::Json list = files::read_json(out());
  ASSERT_TRUE(list.is_array());
  EXPECT_EQ(list.at(0).at("instruction"), "ex2.approx.ftz.f32");
  EXPECT_EQ(list.at(0).at("rows"), 1 << 23);
  EXPECT_EQ(list.at(0).at("equal"), 1 << 23);
  EXPECT_TRUE(fs::exists(folder_ / "page.html"));
  EXPECT_EQ(table_from_json(files::read_json(folder_ / "tables" / "ex2.json"), "ex2.json"),
            synthetic_ex2_table());
  EXPECT_FALSE(fs::exists(folder_ / "tables" / "rcp.json"));
}

TEST_F(CommandLine, EmulatesOne) {
  EXPECT_EQ(karat("--emulate " + (folder_ / "x").string() + " --tiles 0"), 2);
  EXPECT_EQ(karat("--emulate /proc/none"), 3);
}

TEST_F(CommandLine, ExitCodes) {
  EXPECT_EQ(karat("--help"), 0);
  EXPECT_EQ(karat(""), 2);
  EXPECT_EQ(karat((folder_ / "absent").string()), 3);
  const fs::path rows = folder_ / "rows";
  fs::create_directory(rows);
  const std::string zeros(64, '0');
  std::ofstream(rows / "a.txt") << "# H100 E4M3->fp32 wgmma(QGMMA)\n"
                                << zeros << " " << zeros << " 00000000 00000001\n";
  EXPECT_EQ(karat(rows.string()), 1);
  EXPECT_EQ(karat(rows.string() + " --tables " + (folder_ / "tables").string()), 3);
}

}  // namespace
}  // namespace karat::evidence
