// Machine files: presets carry the published peaks, bad files are refused with the field.
#include "karat/hopper/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

using testing::HasSubstr;

std::string h20_text() {
  std::ifstream file(KARAT_SOURCE_DIR "/src/hopper/machines/h20.json");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string problem(const std::string& json) {
  try {
    parse_machine(json, "mine.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Machine, PresetsHaveThePublishedPeaks) {
  struct Row {
    const char* name;
    double bf16, fp8;  // dense TFLOPS of the data sheets
  };
  for (const Row& row : {Row{"H100", 989, 1979}, Row{"H100 PCIe", 756, 1513},
                         Row{"H200", 989, 1979}, Row{"H800", 989, 1979}, Row{"H20", 148, 296}}) {
    const Machine m = machine(row.name);
    EXPECT_NEAR(m.bf16_peak_tflops(), row.bf16, 0.015 * row.bf16) << row.name;
    EXPECT_NEAR(m.fp8_peak_tflops(), row.fp8, 0.015 * row.fp8) << row.name;
  }
}

TEST(Machine, NamesIgnoreCaseAndPunctuation) {
  EXPECT_EQ(machine("H100").name, "H100 SXM");
  EXPECT_EQ(machine("h100-sxm").name, "H100 SXM");
  EXPECT_EQ(machine("H100_PCIe").name, "H100 PCIe");
}

TEST(Machine, UnknownNameSuggestsTheNearest) {
  try {
    machine("H2O");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("did you mean H20?"));
  }
}

TEST(Machine, EveryPresetNumberHasUnitAndSource) {
  const auto file = nlohmann::json::parse(h20_text());
  for (const auto& [key, value] : file.items()) {
    if (key == "name" || key == "title") continue;
    EXPECT_FALSE(value["unit"].get<std::string>().empty()) << key;
    EXPECT_FALSE(value["source"].get<std::string>().empty()) << key;
  }
}

TEST(Machine, FilesAreRefusedWithTheField) {
  auto file = nlohmann::json::parse(h20_text());
  EXPECT_EQ(parse_machine(file.dump(), "mine.json").sms, 78);
  auto missing = file;
  missing.erase("mufu_per_clk");
  EXPECT_THAT(problem(missing.dump()), HasSubstr("mine.json: mufu_per_clk: is missing"));
  auto absurd = file;
  absurd["clock_mhz"]["value"] = 1.83;
  EXPECT_THAT(problem(absurd.dump()), HasSubstr("clock_mhz: 1.83 lies outside 100"));
  auto fraction = file;
  fraction["sms"]["value"] = 77.5;
  EXPECT_THAT(problem(fraction.dump()), HasSubstr("sms: 77.5 is not a whole number"));
  auto text = file;
  text["hbm_gb_per_s"]["value"] = "fast";
  EXPECT_THAT(problem(text.dump()), HasSubstr("hbm_gb_per_s: has no number"));
  auto sourceless = file;
  sourceless["tdp_w"].erase("source");
  EXPECT_THAT(problem(sourceless.dump()), HasSubstr("tdp_w: has no unit or no source"));
  auto extra = file;
  extra["mufu_per_clock"] = 16;
  EXPECT_THAT(problem(extra.dump()), HasSubstr("did you mean mufu_per_clk?"));
  auto slow = file;
  slow["short_launch_clock_mhz"]["value"] = 1000;
  EXPECT_THAT(problem(slow.dump()), HasSubstr("lies below clock_mhz"));
  EXPECT_THAT(problem("[]"), HasSubstr("is no JSON object"));
}

TEST(Machine, AUsersFileWorksTheSame) {
  const std::string path = testing::TempDir() + "karat_my_gpu.json";
  std::ofstream(path) << h20_text();
  EXPECT_EQ(load_machine(path).name, "H20");
  EXPECT_THROW(load_machine(testing::TempDir() + "absent.json"), Error);
}

}  // namespace
}  // namespace karat::hopper
