// Forward and backward of one run in one golden file: what it holds, and what it refuses to hold.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "diagnose_case.hpp"
#include "file/schema.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/export.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

constexpr std::size_t kHeads = 4, kKvHeads = 2, kChannels = 32;

struct Made {
  std::filesystem::path folder, path, forward;
  std::optional<GoldenFile> golden;
};

class BackwardFile : public testing::Test {
 protected:
  static cases::Case of() {
    recipe::Recipe recipe = small("fps_qat_fp8");
    return cases::make_case(
        recipe, cases::generated_inputs({.grid = {3, 5, 7}, .heads = kHeads, .head_dim = kChannels},
                                        0, kKvHeads));
  }
  static void SetUpTestSuite() {
    made_ = new Made;
    made_->folder =
        std::filesystem::path(testing::TempDir()) / ("karat_bfile_" + std::to_string(getpid()));
    std::filesystem::create_directories(made_->folder);
    made_->path = made_->folder / "g.h5";
    made_->forward = made_->folder / "f.h5";
    make(of(), {.threads = 2, .passes = Passes::forward_and_backward}, made_->path);
    make(of(), {.threads = 2}, made_->forward);
    made_->golden.emplace(made_->path);
  }
  static void TearDownTestSuite() {
    std::filesystem::remove_all(made_->folder);
    delete made_;
  }
  static const GoldenFile& golden() { return *made_->golden; }
  static std::string bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string refusal(const std::vector<files::TensorInfo>& list) {
    try {
      require_schema(list,
                     {.recipe = golden().recipe(),
                      .tokens = golden().shape().rows,
                      .layout = &golden().layout()},
                     "g.h5");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output);
      return error.what();
    }
    return "accepted";
  }

  static inline Made* made_ = nullptr;
};

TEST_F(BackwardFile, SameCaseSameBytesForAnyThreads) {
  make(of(), {.threads = 1, .passes = Passes::forward_and_backward}, made_->folder / "one.h5");
  EXPECT_EQ(bytes(made_->folder / "one.h5"), bytes(made_->path));
}

TEST_F(BackwardFile, AForwardAloneSaysNothingOfABackward) {
  const GoldenFile forward(made_->forward);
  EXPECT_FALSE(forward.has_backward());
  EXPECT_TRUE(golden().has_backward());
  for (const files::TensorInfo& tensor : forward.source().list())
    EXPECT_EQ(forward.source().read(tensor.name).bytes, golden().source().read(tensor.name).bytes)
        << tensor.name;
}

TEST_F(BackwardFile, HoldsTheGradientsOfItsOwnOperandsAndOutputs) {
  const recipe::Recipe& recipe = golden().recipe();
  const cases::Case opened = golden().opened_case();
  for (std::size_t g = 0; g < kKvHeads; ++g) {
    std::vector<attention::QuantisedHead> operands;
    std::vector<std::vector<float>> rows;
    std::vector<attention::BackwardHead> heads;
    for (std::size_t h = 2 * g; h < 2 * g + 2; ++h) operands.push_back(golden().operands(0, h));
    for (std::size_t h = 2 * g; h < 2 * g + 2; ++h)
      for (const char* name : {"o", "lse", "do", "o_unquantised_p"})
        rows.push_back(golden().values(
            name, name == std::string_view("lse") ? cases::Extents::vector : cases::Extents::matrix,
            0, h));
    for (std::size_t i = 0; i < 2; ++i)
      heads.push_back({.head = &operands[i],
                       .input = {},
                       .o = rows[4 * i],
                       .lse = rows[4 * i + 1],
                       .d_o = rows[4 * i + 2],
                       .o_unquantised_p = rows[4 * i + 3]});
    EXPECT_EQ(rows[2], opened.inputs->output_gradient(0, 2 * g));
    EXPECT_EQ(rows[3], attention::unquantised_p_output(recipe, golden().layout(), operands[0],
                                                       numerics::Path::scalar, 1));
    const auto tapped = golden().dq_tapped(0, 2 * g), tapped_keys = golden().dkv_tapped(0, g);
    ASSERT_EQ(tapped.size(), 4u);
    ASSERT_EQ(tapped_keys.size(), 4u);
    const auto again = attention::attend_backward(
        recipe, golden().layout(), heads,
        {.path = numerics::Path::scalar, .tapped_queries = tapped, .tapped_keys = tapped_keys});
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(golden().values("dq", cases::Extents::matrix, 0, 2 * g + i), again.dq[i]);
      EXPECT_EQ(golden().values("delta", cases::Extents::vector, 0, 2 * g + i), again.delta[i]);
    }
    EXPECT_EQ(golden().values("dk", cases::Extents::matrix, 0, 2 * g), again.dk);
    EXPECT_EQ(golden().values("dv", cases::Extents::matrix, 0, 2 * g + 1), again.dv);
    files::Tensors taps;
    cases::add_backward_taps(taps, recipe, golden().layout(),
                             {.batch = 0, .kv_head = g, .group = 2}, again);
    EXPECT_EQ(taps.size(), 4u * 11 + 4u * 4);
    for (const auto& [name, tensor] : taps) {
      const auto stored = golden().source().find(name);
      ASSERT_TRUE(stored) << name;
      EXPECT_EQ(golden().source().read(*stored).bytes, tensor.bytes) << name;
    }
  }
}

// FP8 with one scale a tile: the gradients point where the exact ones do.
TEST_F(BackwardFile, TheTruthIsNear) {
  const auto rows = golden().source().read("truth/gradient_rows");
  ASSERT_EQ(rows.as<std::int32_t>().size(), golden().shape().rows);
  for (const char* name : {"dq", "dk", "dv"}) {
    const auto exact =
        golden().source().head(std::string("truth/sparse_") + name, cases::Extents::matrix,
                               cases::TensorLayout::bhsd, 0, 0);
    const auto truth = exact.as<double>();
    const std::vector<float> made = golden().values(name, cases::Extents::matrix, 0, 0);
    ASSERT_EQ(truth.size(), made.size());
    double dot = 0, left = 0, right = 0;
    for (std::size_t e = 0; e < made.size(); ++e) {
      dot += truth[e] * made[e];
      left += truth[e] * truth[e];
      right += static_cast<double>(made[e]) * made[e];
    }
    EXPECT_GT(dot / std::sqrt(left * right), 0.98) << name;
    EXPECT_NEAR(std::sqrt(right / left), 1, 0.05) << name;
  }
}

TEST_F(BackwardFile, ExportsComeBackAsInputs) {
  const files::Tensors inputs = exported_inputs(golden());
  EXPECT_TRUE(inputs.contains("do"));
  const files::Tensors stages = exported_stages(golden());
  for (const char* name : {"delta", "dq", "dk", "dv", "o_unquantised_p"})
    EXPECT_TRUE(stages.contains(name)) << name;
  EXPECT_TRUE(stages.contains(cases::dq_tap_name(0, 0, golden().dq_tapped(0, 0)[0], "ds_codes")));
  EXPECT_TRUE(stages.contains(cases::dkv_tap_name(0, 1, golden().dkv_tapped(0, 1)[0], "dk")));
}

TEST_F(BackwardFile, EveryDatasetBelongsThereAsItIs) {
  const std::vector<files::TensorInfo> right = golden().source().list();
  EXPECT_EQ(refusal(right), "accepted");
  std::size_t of_backward = 0;
  const GoldenFile forward(made_->forward);
  for (std::size_t i = 0; i < right.size(); ++i) {
    if (std::ranges::find(forward.source().list(), right[i].name, &files::TensorInfo::name) !=
        forward.source().list().end())
      continue;
    ++of_backward;
    auto list = right;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_NE(refusal(list), "accepted") << right[i].name;
    for (const files::DType type : {files::DType::f64, files::DType::f8_e5m2}) {
      list = right;
      if (list[i].dtype == type) continue;
      list[i].dtype = type;
      EXPECT_NE(refusal(list), "accepted") << right[i].name;
    }
    for (std::size_t d = 0; d < right[i].shape.size(); ++d) {
      list = right;
      ++list[i].shape[d];
      EXPECT_NE(refusal(list), "accepted") << right[i].name << " " << d;
    }
  }
  EXPECT_EQ(of_backward, 13u + kKvHeads * (4 * 11 + 4 * 4));
}

TEST_F(BackwardFile, BlocksOfItsOwnAreTapped) {
  recipe::Recipe recipe = small("fps_ste_bf16");
  recipe.backward.block_q = 8;
  recipe.backward.block_k = 16;
  make(cases::make_case(recipe,
                        cases::generated_inputs({.grid = {3, 5, 7}, .head_dim = kChannels}, 0)),
       {.taps = "all", .passes = Passes::forward_and_backward}, made_->folder / "own.h5");
  const GoldenFile own(made_->folder / "own.h5");
  const mask::BlockMap blocks = attention::backward_blocks(recipe, own.layout());
  EXPECT_GT(blocks.query_blocks.size(), own.layout().blocks.query_blocks.size());
  EXPECT_EQ(own.dq_tapped(0, 0).size(), blocks.query_blocks.size());
  EXPECT_EQ(own.dkv_tapped(0, 0).size(), blocks.key_blocks.size());
  EXPECT_FALSE(own.has("o_unquantised_p"));
}

TEST_F(BackwardFile, ARecipeWithoutABackwardIsRefusedBeforeAnythingIsWritten) {
  const cases::Case plain =
      cases::make_case(small("fpsattention"),
                       cases::generated_inputs({.grid = {3, 5, 7}, .head_dim = kChannels}, 0));
  EXPECT_THROW(make(plain, {.passes = Passes::forward_and_backward}, made_->folder / "none.h5"),
               Error);
  EXPECT_FALSE(std::filesystem::exists(made_->folder / "none.h5"));
}

}  // namespace
}  // namespace karat::golden
