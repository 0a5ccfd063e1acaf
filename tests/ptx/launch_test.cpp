// Launch files, and launches a kernel cannot take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/ptx/run.hpp"

namespace karat::ptx {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kKernel =
    ".version 8.0\n.target sm_90a\n.visible .entry add(.param .u64 out, .param .u64 in, .param "
    ".u32 n,\n"
    ".param .align 8 .b8 pair[16]) .reqntid 32 {\n.reg .b32 %r<9>; .reg .b64 %d<9>; .reg .pred "
    "%p;\n"
    "ld.param.u64 %d1, [out]; ld.param.u64 %d2, [in]; ld.param.u32 %r1, [n]; ld.param.u64 %d3, "
    "[pair+8];\n"
    "mov.u32 %r2, %tid.x; mad.wide.u32 %d2, %r2, 4, %d2; mad.wide.u32 %d1, %r2, 4, %d1;\n"
    "setp.ge.u32 %p, %r2, 3; @%p exit; ld.global.u32 %r3, [%d2]; ld.global.u32 %r4, [%d3];\n"
    "add.u32 %r3, %r3, %r1; add.u32 %r3, %r3, %r4; st.global.u32 [%d1], %r3; }\n";

class LaunchFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("karat_launch_" + std::to_string(::getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    write("add.ptx", kKernel);
    files::Tensors inputs;
    inputs["in"] =
        files::make_tensor(files::DType::i32, {3}, std::vector<std::int32_t>{10, 20, 30});
    files::write_safetensors(folder_ / "inputs.safetensors", inputs);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    files::AtomicFile file(folder_ / name);
    file.write(std::string_view(text));
    file.commit();
  }

  /// The file that runs, with some of its text replaced.
  Launch read(const std::string& from = "", const std::string& to = "") {
    std::string text = R"({"schema": "karat.launch", "version": 1, "ptx": "add.ptx", "block": [32],
      "tensors": {"in": {"file": "inputs.safetensors"},
                  "out": {"dtype": "i32", "shape": [3], "fill": "ones", "output": true}},
      "parameters": [{"pointer": "out"}, {"pointer": "in"}, {"i32": -4},
                     {"bytes": "00000000000000000000000000000000",
                      "patches": [{"at": 8, "pointer": "in", "offset": 4}]}]})";
    if (!from.empty()) text.replace(text.find(from), from.size(), to);
    write("launch.json", text);
    return read_launch(folder_ / "launch.json");
  }

  std::string problem(const std::string& from, const std::string& to) {
    try {
      run(read(from, to));
    } catch (const Error& error) {
      std::string text = error.what();
      const std::string where = folder_.string() + "/";
      for (std::size_t at; (at = text.find(where)) != std::string::npos;)
        text.erase(at, where.size());
      return text;
    }
    return "accepted";
  }

  std::filesystem::path folder_;
};

TEST_F(LaunchFile, RunsWithTensorsScalarsAndPatchedBytes) {
  const Outcome outcome = run(read());
  EXPECT_EQ(outcome.fault.value_or(""), "");
  ASSERT_EQ(outcome.outputs.size(), 1u);
  EXPECT_THAT(outcome.outputs.at("out").as<std::int32_t>(), ElementsAre(26, 36, 46));
  EXPECT_EQ(outcome.ground(), Ground::definition);
}

TEST_F(LaunchFile, CountsWhatRan) {
  const Outcome outcome = run(read());
  const auto row = std::ranges::find(outcome.instructions, "add.u32", &InstructionCount::opcode);
  ASSERT_NE(row, outcome.instructions.end());
  EXPECT_EQ(row->places, 2u);
  EXPECT_EQ(row->warps, 2u);
  EXPECT_EQ(to_json(outcome)["fault"], nullptr);
  EXPECT_THAT(to_text(outcome), HasSubstr("by definition"));
}

TEST_F(LaunchFile, EveryMistakeIsOneLine) {
  EXPECT_EQ(problem("\"block\"", "\"blok\""),
            "launch.json: \"blok\" is no field; did you mean block?");
  EXPECT_EQ(problem("\"ptx\": \"add.ptx\",", ""), "launch.json: \"ptx\" is missing");
  EXPECT_EQ(problem("\"version\": 1", "\"version\": 2"), "launch.json: version: only 1 is known");
  EXPECT_EQ(problem("\"fill\": \"ones\"", "\"fill\": 1"),
            "launch.json: tensors.out: fill: a text is expected");
  EXPECT_EQ(problem("{\"i32\": -4}", "{\"i32\": 4.5}"),
            "launch.json: parameters[2]: i32: no whole number of this type");
  EXPECT_EQ(problem("{\"i32\": -4}", "{\"u32\": -4}"),
            "launch.json: parameters[2]: u32: no whole number of this type");
  EXPECT_EQ(problem("{\"i32\": -4}", "{\"i64\": -4}"),
            "parameters[2]: n has 4 bytes, the launch gives 8");
  EXPECT_EQ(problem("{\"i32\": -4},", ""), "parameters: add takes 4, the launch gives 3");
  EXPECT_EQ(problem("{\"pointer\": \"out\"}", "{\"pointer\": \"o\"}"),
            "\"o\": the launch has no tensor of this name");
  EXPECT_EQ(problem("\"fill\": \"ones\"", "\"fill\": \"ones\", \"address\": 0"),
            "out: address 0x0 is not where global memory can lie");
  EXPECT_EQ(problem("\"at\": 8", "\"at\": 9"),
            "patch at byte 9: it ends behind the argument's 16 bytes");
  EXPECT_EQ(problem("[32]", "[64]"), "block: add requires 32 x 1 x 1 threads");
  EXPECT_EQ(problem("\"block\": [32]", "\"block\": [32], \"kernel\": \"sub\""),
            "kernel: \"sub\" is none of the module's: add");
  EXPECT_EQ(problem("\"block\": [32]", "\"block\": [32], \"dynamic_shared\": 999999"),
            "dynamic_shared: shared memory of a CTA exceeds 227 KiB");
}

TEST_F(LaunchFile, TensorMapsCountTheContiguousDimensionLast) {
  write("add.ptx",
        ".version 8.0\n.target sm_90a\n.shared .align 128 .b8 tile[1024];\n"
        ".entry copy(.param .align 64 .b8 map[128], .param .u64 out) {\n.reg .b32 %r<9>; .reg .b64 "
        "%d<9>; .reg .pred %p;\n"
        "mov.b64 %d1, map; cvta.param.u64 %d1, %d1; ld.param.u64 %d2, [out];\n"
        "mbarrier.init.shared.b64 [tile+512], 1; mbarrier.arrive.expect_tx.shared.b64 _, "
        "[tile+512], 32;\n"
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [tile], "
        "[%d1, {4, 1}], [tile+512];\n"
        "L: mbarrier.try_wait.parity.shared.b64 %p, [tile+512], 0; @!%p bra L;\n"
        "ld.shared.v4.u32 {%r1,%r2,%r3,%r4}, [tile]; st.global.v4.u32 [%d2], {%r1,%r2,%r3,%r4};\n"
        "ld.shared.v4.u32 {%r1,%r2,%r3,%r4}, [tile+16]; st.global.v4.u32 [%d2+16], "
        "{%r1,%r2,%r3,%r4}; }");
  std::vector<std::int32_t> values(24);
  for (int i = 0; i < 24; ++i) values[static_cast<std::size_t>(i)] = i;
  files::Tensors inputs;
  inputs["in"] = files::make_tensor(files::DType::i32, {3, 8}, values);
  files::write_safetensors(folder_ / "inputs.safetensors", inputs);
  write("launch.json", R"({"schema": "karat.launch", "version": 1, "ptx": "add.ptx",
      "tensors": {"in": {"file": "inputs.safetensors"},
                  "out": {"dtype": "i32", "shape": [8], "output": true}},
      "parameters": [{"tensor_map": {"tensor": "in", "box": [2, 4]}}, {"pointer": "out"}]})");
  const Outcome outcome = run(read_launch(folder_ / "launch.json"));
  EXPECT_EQ(outcome.fault.value_or(""), "");
  EXPECT_THAT(outcome.outputs.at("out").as<std::int32_t>(),
              ElementsAre(12, 13, 14, 15, 20, 21, 22, 23));
}

}  // namespace
}  // namespace karat::ptx
