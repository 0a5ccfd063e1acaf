// A synthetic capture is all equal; every kind of damage to it is found and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "comparison.hpp"
#include "karat/evidence/evidence.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path fresh_folder() {
  static int number = 0;
  return fs::path(::testing::TempDir()) /
         ("karat_capture_" + std::to_string(getpid()) + "_" + std::to_string(number++));
}

EmulateOptions small(std::vector<std::string> only = {}) {
  return {.seed = 7,
          .tiles = 2,
          .chain_tiles = 1,
          .sweep_step = 1024,
          .threads = 0,
          .only = std::move(only)};
}

/// Some files of a synthetic capture that can be damaged; the manifest follows.
class Copy {
 public:
  explicit Copy(const std::vector<std::string>& names) : folder_(fresh_folder()) {
    emulate_capture(folder_, small(names));
    for (const std::string& name : names) names_.push_back(name + ".safetensors");
    write_manifest();
  }
  ~Copy() { fs::remove_all(folder_); }

  const fs::path& folder() const { return folder_; }
  fs::path file(std::size_t i = 0) const { return folder_ / names_[i]; }

  /// Edits the i-th file and keeps the manifest true.
  template <typename Edit>
  void edit(const Edit& change, std::size_t i = 0) {
    files::TensorFile content = files::read_safetensors(file(i));
    change(content);
    files::write_safetensors(file(i), content.tensors, content.metadata);
    write_manifest();
  }
  /// Flips the lowest bit of one element.
  void flip(const std::string& tensor, std::size_t element, std::size_t i = 0) {
    edit(
        [&](files::TensorFile& content) {
          files::Tensor& t = content.tensors.at(tensor);
          t.bytes.at(element * files::info(t.dtype).size) ^= std::byte{1};
        },
        i);
  }
  void write_manifest(const std::string& schema = "karat-capture/1") const {
    files::Json json{{"schema", schema}, {"origin", "hardware"}, {"gpu", "none"}};
    for (const std::string& name : names_)
      json["files"].push_back({{"name", name}, {"sha256", files::sha256_file(folder_ / name)}});
    files::write_json(folder_ / "manifest.json", json);
  }

 private:
  fs::path folder_;
  std::vector<std::string> names_;
};

const Finding& finding(const Report& report, const std::string& instruction) {
  for (const Finding& f : report.findings)
    if (f.instruction == instruction) return f;
  throw std::runtime_error("no finding " + instruction);
}

std::string problem(const fs::path& folder) {
  try {
    examine(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input_output);
    return error.what();
  }
  return "";
}

TEST(Capture, SyntheticIsEqualThroughout) {
  const fs::path folder = fresh_folder();
  emulate_capture(folder, small());
  const Report report = examine(folder);
  fs::remove_all(folder);
  EXPECT_EQ(report.origin, Origin::emulator);
  EXPECT_TRUE(report.all_equal());
  EXPECT_EQ(report.findings.size(), 31u);
  for (const Finding& f : report.findings) {
    EXPECT_GT(f.rows, 0u) << f.instruction;
    EXPECT_EQ(f.first_difference(), "") << f.instruction;
  }
  // 2 tiles of single steps, 1 tile of chains at six lengths, and the deciders.
  EXPECT_GE(finding(report, "hopper.wgmma.e4m3.f32").rows, 2 * 512u + 6 * 512u + 20u);
  EXPECT_EQ(finding(report, "cvt.rn.satfinite.e4m3x2.f16x2").rows, 65536u);
  ASSERT_TRUE(report.ex2 && report.rcp);
  EXPECT_EQ(*report.ex2, synthetic_ex2_table());
}

TEST(Capture, JsonIsAListOfInstructions) {
  Copy copy({"f16_conversion", "rows_hopper.wgmma.s8.s32"});
  copy.flip("codes", 5);
  const nlohmann::ordered_json json = to_json(examine(copy.folder()));
  ASSERT_TRUE(json.is_array());
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0].at("instruction"), "hopper.wgmma.s8.s32");
  EXPECT_EQ(json[0].at("rows"), json[0].at("equal"));
  EXPECT_FALSE(json[0].contains("first_difference"));
  EXPECT_EQ(json[1].at("instruction"), "cvt.rn.satfinite.e4m3x2.f16x2");
  EXPECT_EQ(json[1].at("rows"), 65536);
  EXPECT_EQ(json[1].at("equal"), 65535);
  EXPECT_THAT(json[1].at("first_difference").get<std::string>(), HasSubstr("f16 0x0005"));
}

TEST(Capture, PageIsSelfContainedAndEscaped) {
  Report report = examine(Copy({"f16_conversion"}).folder());
  report.machine.emplace_back("gpu", "<script>");
  const std::string page = to_html(report);
  EXPECT_THAT(page, HasSubstr("cvt.rn.satfinite.e4m3x2.f16x2"));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  for (const char* outside : {"http:", "https:", "src=", "href=", "<script"})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
}

TEST(Sabotage, ASampledStep) {
  Copy copy({"steps_hopper.wgmma.e4m3.f32"});
  copy.flip("d", 3);
  const Report report = examine(copy.folder());
  EXPECT_EQ(report.rows() - report.equal(), 1u);
  EXPECT_THAT(report.findings.front().first_difference(), HasSubstr("captured 0x"));
}

TEST(Sabotage, AHashAlone) {
  Copy copy({"steps_hopper.wgmma.s8.s32"});
  copy.flip("hashes", 1);
  const Report report = examine(copy.folder());
  EXPECT_EQ(report.rows() - report.equal(), 512u);
  EXPECT_THAT(report.findings.front().first_difference(), HasSubstr("tile 1, cases 512 on"));
}

TEST(Sabotage, AChainAtOneLength) {
  Copy copy({"chains_hopper.wgmma.bf16.f32"});
  copy.flip("d", 3 * 512 + 5);
  const Report report = examine(copy.folder());
  EXPECT_EQ(report.rows() - report.equal(), 1u);
  EXPECT_THAT(report.findings.front().first_difference(), HasSubstr("chains of 16"));
}

TEST(Sabotage, ADeciderNamesItsQuestion) {
  Copy copy({"rows_hopper.wgmma.e4m3.f32"});
  copy.flip("d", 0);
  EXPECT_THAT(examine(copy.folder()).findings.front().first_difference(), HasSubstr("\"1 * 1\""));
}

TEST(Sabotage, ASweptBlock) {
  Copy copy({"sweep_cvt.rn.satfinite.e4m3x2.f32"});
  copy.flip("samples", 8 + 2);
  const Report sample = examine(copy.folder());
  EXPECT_EQ(sample.rows() - sample.equal(), 1u);
  EXPECT_THAT(sample.findings.front().first_difference(), HasSubstr("input 0x4003ff4a"));
  copy.flip("samples", 8 + 2);
  copy.flip("hashes", 1);
  const Report hash = examine(copy.folder());
  EXPECT_EQ(hash.rows() - hash.equal(), 1u << 20);
  EXPECT_THAT(hash.findings.front().first_difference(), HasSubstr("inputs from 0x40000000 on"));
}

TEST(Sabotage, AnF16Code) {
  Copy copy({"f16_conversion"});
  copy.flip("codes", 0x3C00);
  EXPECT_THAT(examine(copy.folder()).findings.front().first_difference(),
              HasSubstr("f16 0x3c00: captured 0x39, emulated 0x38"));
}

TEST(Sabotage, AnOctaveThatNoTableReproduces) {
  Copy copy({"octave_ex2.approx.ftz.f32", "sweep_ex2.approx.ftz.f32"});
  copy.flip("symbols", (std::size_t{5} << 15) + 99);  // within segment 5, and all values after it
  const Report report = examine(copy.folder());
  const Finding& f = finding(report, "ex2.approx.ftz.f32");
  EXPECT_EQ(f.equal, 0u);
  EXPECT_FALSE(report.ex2);
  EXPECT_THAT(f.first_difference(), HasSubstr("refuse: 5"));
}

TEST(Sabotage, SweepWithoutATableIsOpen) {
  const Report report = examine(Copy({"sweep_rcp.approx.ftz.f32"}).folder());
  EXPECT_EQ(report.rows(), 0u);
  EXPECT_THAT(report.findings.front().note, HasSubstr("no coefficient table"));
}

TEST(Sabotage, EveryStageOfTheAttentionKernel) {
  Copy copy({"attention"});
  Context tables{.threads = 0, .ex2 = synthetic_ex2_table(), .rcp = synthetic_rcp_table()};
  const auto differing = [&](const std::string& stage) {
    for (const Compared& c : compare_attention(CaptureReader(copy.file()), tables))
      if (c.instruction == "kernel.attention." + stage) return c.part;
    throw std::runtime_error(stage);
  };
  for (const char* stage : {"scales", "q_codes", "k_codes", "v_codes", "a", "s", "m", "alpha", "p",
                            "p_codes", "l", "r", "o", "out"}) {
    copy.flip(stage, 1);
    const Part part = differing(stage);
    EXPECT_LT(part.equal, part.rows) << stage;
    EXPECT_THAT(part.difference, HasSubstr("captured 0x")) << stage;
    copy.flip(stage, 1);
  }
  EXPECT_EQ(differing("out").difference, "");
}

TEST(Sabotage, OperandsThatAreNotTheSeeds) {
  Copy copy({"steps_hopper.wgmma.e4m3.f32"});
  copy.flip("a", 40);
  EXPECT_THAT(problem(copy.folder()), HasSubstr("its operands are not those of seed 7"));
}

TEST(Damage, FilesAndManifest) {
  Copy copy({"steps_hopper.wgmma.e4m3.f32"});
  std::ofstream(copy.file(), std::ios::app) << "x";
  EXPECT_THAT(problem(copy.folder()), HasSubstr("SHA-256"));
  copy.write_manifest("other/1");
  EXPECT_THAT(problem(copy.folder()), HasSubstr("is not karat-capture/1"));
  fs::remove(copy.file());
  std::ofstream(copy.folder() / "manifest.json") << "{}";
  EXPECT_THAT(problem(copy.folder()), HasSubstr("\"schema\" is missing"));
  fs::remove(copy.folder() / "manifest.json");
  EXPECT_THAT(problem(copy.folder()), HasSubstr("neither a manifest.json nor rows"));
  EXPECT_THAT(problem(copy.folder() / "absent"), HasSubstr("does not exist"));
}

TEST(Damage, FieldsOfAFile) {
  Copy copy({"steps_hopper.wgmma.e4m3.f32"});
  const auto with = [&](const std::string& key, const std::string& text) {
    std::string before;
    copy.edit([&](files::TensorFile& f) {
      before = f.metadata[key];
      f.metadata[key] = text;
    });
    const std::string what = problem(copy.folder());
    copy.edit([&](files::TensorFile& f) { f.metadata[key] = before; });
    return what;
  };
  EXPECT_THAT(with("tiles", "999999999999"), HasSubstr("absurd"));
  EXPECT_THAT(with("tiles", "3"), HasSubstr("hashes"));
  EXPECT_THAT(with("seed", "x7"), HasSubstr("no whole number"));
  EXPECT_THAT(with("program", "surprise"), HasSubstr("\"surprise\" is unknown"));
  copy.edit([](files::TensorFile& f) { f.tensors.erase("d"); });
  EXPECT_THAT(problem(copy.folder()), HasSubstr("d: missing"));
}

TEST(Damage, AnInstructionWithoutModelIsNamed) {
  Copy copy({"steps_hopper.wgmma.e4m3.f32"});
  copy.edit([](files::TensorFile& f) { f.metadata["instruction"] = "hopper.wgmma.u8.s32"; });
  const Report report = examine(copy.folder());
  EXPECT_EQ(report.findings.front().instruction, "hopper.wgmma.u8.s32");
  EXPECT_EQ(report.findings.front().rows, 0u);
  EXPECT_THAT(report.findings.front().note, HasSubstr("no such instruction"));
}

/// Captures committed to the project, once a GPU has written one.
TEST(Committed, HopperSampleIsEqual) {
  const fs::path folder = fs::path(KARAT_SOURCE_DIR) / "tests" / "data" / "hopper";
  if (!fs::exists(folder / "manifest.json"))
    GTEST_SKIP() << "no capture of our own yet: tests/data/hopper has no manifest.json";
  const Report report = examine(folder);
  EXPECT_EQ(report.origin, Origin::hardware);
  for (const Finding& f : report.findings)
    EXPECT_EQ(f.equal, f.rows) << f.instruction << ": " << f.first_difference();
}

}  // namespace
}  // namespace karat::evidence
