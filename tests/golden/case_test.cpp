// A golden file from a small case: deterministic, readable, checkable against itself.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>

#include "karat/case/stages.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/check.hpp"
#include "karat/golden/make.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::golden {
namespace {

namespace fs = std::filesystem;

class Case : public testing::Test {
 protected:
  Case() : folder_(fs::path(testing::TempDir()) / ("karat_case_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~Case() override { fs::remove_all(folder_); }

  fs::path make_file(const std::string& name, const recipe::Recipe& recipe, int threads,
                     int batch = 1, int heads = 1) {
    video::WorkloadSpec spec{.grid = {5, 9, 11}, .batch = batch, .heads = heads, .head_dim = 32};
    const fs::path path = folder_ / name;
    make(cases::make_case(recipe, cases::generated_inputs(spec, 0)), {.threads = threads}, path);
    return path;
  }
  static std::string bytes(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_;
};

TEST_F(Case, SameCaseSameBytesForAnyThreads) {
  for (const char* name : {"fpsattention", "sta_bf16", "dense_f32"}) {
    const recipe::Recipe recipe = recipe::preset(name);
    EXPECT_EQ(bytes(make_file("one.h5", recipe, 1)), bytes(make_file("two.h5", recipe, 2))) << name;
  }
}

/// Many small heads, with what the progress said of them.
struct ManyHeads {
  std::string bytes;
  MakeSummary summary;
  std::size_t together = 0;  ///< calls of heads side by side
};

TEST_F(Case, SmallHeadsSideBySideGiveTheSameBytes) {
  const auto many = [&](const cases::Case& of, int threads, const std::string& taps) {
    ManyHeads made;
    std::mutex mutex;
    MakeOptions options{.seed = 3, .taps = taps, .threads = threads};
    options.progress = [&](Phase phase, std::size_t head, std::size_t done, std::size_t total) {
      const std::lock_guard lock(mutex);
      if (phase != Phase::side_by_side) return;
      ++made.together;
      EXPECT_EQ(head, 0u);
      EXPECT_LE(done, total);
    };
    made.summary = make(of, options, folder_ / "many.h5");
    made.bytes = bytes(folder_ / "many.h5");
    return made;
  };
  const video::WorkloadSpec spec{.grid = {2, 8, 8}, .batch = 2, .heads = 4, .head_dim = 32};
  struct Row {
    const char* recipe;
    std::size_t kv_heads;
    const char* taps;
  };
  // Scales of each head and of all heads, a mask predicted from each, one beside a second branch.
  for (const auto& [name, kv_heads, taps] : {Row{"fpsattention", 4, "all"},
                                             {"fpsattention", 2, ""},
                                             {"xdit_flash3_fp8", 4, "none"},
                                             {"svg2", 2, ""},
                                             {"sla", 4, ""}}) {
    const cases::Case of =
        cases::make_case(recipe::preset(name), cases::generated_inputs(spec, 0, kv_heads));
    const ManyHeads one = many(of, 1, taps);
    EXPECT_EQ(one.together, 0u);
    for (const int threads : {2, 3, 8}) {
      const ManyHeads other = many(of, threads, taps);
      EXPECT_TRUE(other.bytes == one.bytes) << name << " " << kv_heads << " " << threads;
      EXPECT_GT(other.together, 0u) << "were they side by side?";
      EXPECT_EQ(other.summary.seal.sha256, one.summary.seal.sha256);
      EXPECT_EQ(other.summary.multiply_adds, one.summary.multiply_adds);
      EXPECT_EQ(other.summary.truth_multiply_adds, one.summary.truth_multiply_adds);
      EXPECT_EQ(other.summary.saturated_p_codes, one.summary.saturated_p_codes);
      EXPECT_GT(other.summary.truth_seconds, 0);
    }
  }
}

TEST_F(Case, AHeadThatFailsAmongOthersLeavesNoFile) {
  const video::WorkloadSpec spec{.grid = {2, 8, 8}, .heads = 12, .head_dim = 32};
  const cases::Case of =
      cases::make_case(recipe::preset("fpsattention"), cases::generated_inputs(spec, 0));
  for (const int threads : {1, 2, 8}) {
    const MakeOptions options{
        .threads = threads,
        .progress = [](Phase phase, std::size_t head, std::size_t, std::size_t) {
          if (phase == Phase::inputs && (head == 5 || head == 6))
            throw std::runtime_error("head " + std::to_string(head));
        }};
    try {
      make(of, options, folder_ / "g.h5");
      ADD_FAILURE() << "no failure";
    } catch (const std::runtime_error& failure) {
      EXPECT_STREQ(failure.what(), "head 5") << threads;
    }
    EXPECT_TRUE(fs::is_empty(folder_));
  }
}

TEST_F(Case, SeveralHeadsAndBatchesComeBackByName) {
  const GoldenFile golden(make_file("g.h5", recipe::preset("fpsattention"), 0, 2, 3));
  EXPECT_EQ(golden.shape(),
            (cases::HeadShape{.batch = 2, .heads = 3, .rows = 495, .channels = 32}));
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t h = 0; h < 3; ++h) {
      const attention::HeadResult again = attention::attend(
          golden.recipe(), golden.layout(), golden.operands(b, h), {.tapped = golden.tapped(b, h)});
      EXPECT_EQ(again.o, golden.values("o", cases::Extents::matrix, b, h));
      EXPECT_EQ(again.lse, golden.values("lse", cases::Extents::vector, b, h));
      ASSERT_FALSE(again.taps.empty());
      for (const attention::BlockTap& tap : again.taps) {
        const attention::BlockTap stored = golden.tap(b, h, tap.query_block);
        EXPECT_EQ(stored.s, tap.s);
        EXPECT_EQ(stored.p, tap.p);
        EXPECT_EQ(stored.o, tap.o);
        EXPECT_EQ(stored.key_position, tap.key_position);
      }
    }
  EXPECT_NE(golden.values("o", cases::Extents::matrix, 0, 0),
            golden.values("o", cases::Extents::matrix, 0, 1));
}

TEST_F(Case, TheGoldenFileMatchesItself) {
  const fs::path path = make_file("g.h5", recipe::preset("fpsattention"), 0, 1, 2);
  const CheckReport report = check(GoldenFile(path), *cases::TensorSource::open(path));
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.stages.size(), 19u);
  for (const StageReport& stage : report.stages) EXPECT_EQ(stage.verdict, Verdict::equal);
}

// P truncated: P is wrong given its own scores, O is right given its own P; the table says so.
TEST_F(Case, StagesAreJudgedByTheCandidatesOwnInputsToo) {
  const GoldenFile golden(make_file("g.h5", recipe::preset("fpsattention"), 0));
  const auto candidate = [&](const recipe::Recipe& recipe, const char* name) {
    const attention::HeadResult result = attention::attend(
        recipe, golden.layout(0, 0), golden.operands(0, 0), {.tapped = golden.tapped(0, 0)});
    files::Tensors tensors;
    for (const attention::BlockTap& tap : result.taps)
      for (auto& [stage, tensor] : cases::tap_tensors(recipe, golden.layout(0, 0), tap))
        tensors[cases::tap_name(0, 0, tap.query_block, stage)] = std::move(tensor);
    files::write_safetensors(folder_ / name, tensors);
    return check(golden, *cases::TensorSource::open(folder_ / name));
  };
  const auto stage = [](const CheckReport& report, std::string_view name) {
    return *std::find_if(report.stages.begin(), report.stages.end(),
                         [&](const StageReport& s) { return s.stage == name; });
  };
  recipe::Recipe truncated = golden.recipe();
  truncated.p.rounding = numerics::Rounding::toward_zero;
  const CheckReport p = candidate(truncated, "p.safetensors");
  EXPECT_GT(stage(p, "p_codes").forced->outside, 0);
  EXPECT_GT(stage(p, "o by block").outside, 0);
  EXPECT_EQ(stage(p, "o by block").forced->outside, 0);
  EXPECT_FALSE(stage(p, "s").forced);

  recipe::Recipe lazy = golden.recipe();
  lazy.softmax.rescale_threshold = 4;
  const CheckReport m = candidate(lazy, "m.safetensors");
  EXPECT_GT(stage(m, "m by block").forced->outside, 0);
  EXPECT_GT(stage(m, "p_codes").outside, 0);
  EXPECT_EQ(stage(m, "p_codes").forced->outside, 0);
  EXPECT_EQ(stage(m, "l by block").forced->outside, 0);
  EXPECT_EQ(stage(m, "o by block").forced->outside, 0);
}

TEST_F(Case, AStoppedRunLeavesNothingBehind) {
  video::WorkloadSpec spec{.grid = {5, 9, 11}, .head_dim = 32};
  struct Stop {};
  for (const Phase phase : {Phase::inputs, Phase::attention, Phase::truth_dense}) {
    const MakeOptions options{.progress = [&](Phase now, std::size_t, std::size_t, std::size_t) {
      if (now == phase) throw Stop{};
    }};
    EXPECT_THROW(
        make(cases::make_case(recipe::preset("fpsattention"), cases::generated_inputs(spec, 0)),
             options, folder_ / "g.h5"),
        Stop);
    EXPECT_TRUE(fs::is_empty(folder_));
  }
}

TEST_F(Case, AnotherFileIsNoGoldenFile) {
  std::ofstream(folder_ / "x.h5") << "hello";
  EXPECT_THROW(GoldenFile(folder_ / "x.h5"), Error);
}

}  // namespace
}  // namespace karat::golden
