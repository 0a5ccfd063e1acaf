// Instructions that the assembler takes or refuses (lines.txt), held against what karat says.
// lines_test.py holds the file against ptxas.
#include <filesystem>
#include <sstream>

#include "karat/files/paths.hpp"
#include "kernel.hpp"
#include "program/decoder.hpp"

namespace karat::ptx {
namespace {

/// The text around each line: declared once, here and in lines_test.py, in lines_head.txt.
const std::string& head() {
  static const std::string text = files::read_text(std::filesystem::path(KARAT_SOURCE_DIR) /
                                                   "tests" / "ptx" / "lines_head.txt");
  return text;
}

bool taken(const std::string& line) {
  try {
    const Module module = parse(head() + line + "\nret;\n}\n", "k.ptx");
    make_program(module, module.functions[0], VariableAddresses(module.variables.size(), 0x1000));
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output) << line << ": " << error.what();
    EXPECT_THAT(error.what(), testing::StartsWith("k.ptx:")) << line;
    return false;
  }
}

TEST(Lines, AreTakenOrRefusedAsTheFileSays) {
  std::istringstream file(
      files::read_text(std::filesystem::path(KARAT_SOURCE_DIR) / "tests" / "ptx" / "lines.txt"));
  std::size_t both = 0, neither = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const bool wanted = line[0] == '+' || line[0] == '>';
    EXPECT_EQ(taken(line.substr(2)), wanted) << line;
    both += line[0] == '+';
    neither += line[0] == '-';
  }
  EXPECT_GT(both, 700u);
  EXPECT_GT(neither, 500u);
}

}  // namespace
}  // namespace karat::ptx
