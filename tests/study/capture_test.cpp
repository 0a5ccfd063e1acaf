// The user's tensors give the figures that the same values give when generated; broken captures name
// what is broken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

using files::DType;

class Captures : public testing::Test {
 protected:
  std::unique_ptr<Source> generated = generated_source(small_source());
  std::filesystem::path folder = scratch("capture");
  files::Tensors tensors;
  files::Metadata metadata{{"grid", "4,8,12"}, {"steps", "50"}, {"model", "wan2.1-1.3b"},
                           {"tile", "2,4,4"}};

  void SetUp() override {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    for (const Job& job : generated->jobs())
      for (const Branch branch : generated->branches()) {
        const HeadValues values = generated->values(cell_of(job, branch), 1);
        const files::Shape shape{values.q.size() / 32, 32};
        tensors[name(job, branch, "q")] = make_tensor(DType::f32, shape, values.q);
        tensors[name(job, branch, "k")] = make_tensor(DType::f32, shape, values.k);
        tensors[name(job, branch, "v")] = make_tensor(DType::f32, shape, values.v);
      }
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  static std::string name(const Job& job, Branch branch, const std::string& tensor) {
    return "p0" + std::to_string(job.prompt) + ".s" + std::to_string(job.step) + ".l" +
           std::to_string(job.layer) + ".h" + std::to_string(job.head) +
           (branch == Branch::conditional ? ".cond." : ".uncond.") + tensor;
  }
  std::unique_ptr<Source> opened() {
    files::write_safetensors(folder / "all.safetensors", tensors, metadata);
    return capture_source(folder);
  }
  void expect_error(const std::string& words) {
    try {
      const auto source = opened();
      for (const Job& job : source->jobs())
        for (const Branch branch : source->branches()) source->values(cell_of(job, branch), 1);
      FAIL() << "no error about " << words;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
    }
  }
};

TEST_F(Captures, GiveTheFiguresOfTheSameValues) {
  const auto captured = opened();
  EXPECT_EQ(captured->jobs(), generated->jobs());
  EXPECT_EQ(captured->sigma(), generated->sigma());
  const Job job = generated->jobs().front();
  std::vector<JobResult> results;
  for (const Source* source : {captured.get(), generated.get()})
    results.push_back(Workbench(*source, {small_recipe()}, small_options()).measure(job, 1, [] {}));
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Captures, SavedQueryTilesAreEnough) {
  // Keep the queries of tiles 0 and 7 and the largest magnitudes of the others.
  const video::Tiling tiling({4, 8, 12}, {2, 4, 4});
  std::vector<std::int32_t> kept;
  for (std::int32_t token = 0; token < 384; ++token)
    if (const int tile = tiling.tile_of(std::int64_t{token}); tile == 0 || tile == 7)
      kept.push_back(token);
  const Job job = generated->jobs().front();
  for (const Job& each : generated->jobs())
    for (const Branch branch : generated->branches()) {
      const HeadValues values = generated->values(cell_of(each, branch), 1);
      std::vector<float> rows, amax(static_cast<std::size_t>(tiling.tile_count()) * 32, 0.0f);
      for (const std::int32_t token : kept)
        rows.insert(rows.end(), &values.q[token * 32], &values.q[token * 32] + 32);
      for (std::int32_t token = 0; token < 384; ++token)
        for (int j = 0; j < 32; ++j) {
          float& largest = amax[tiling.tile_of(std::int64_t{token}) * 32 + j];
          largest = std::max(largest, std::fabs(values.q[token * 32 + j]));
        }
      tensors[name(each, branch, "q")] = make_tensor(DType::f32, {kept.size(), 32}, rows);
      tensors[name(each, branch, "q_tokens")] = make_tensor(DType::i32, {kept.size()}, kept);
      tensors[name(each, branch, "q_tile_amax")] =
          make_tensor(DType::f32, {amax.size() / 32, 32}, amax);
    }
  const auto captured = opened();
  EXPECT_EQ(captured->query_tokens(job), kept);
  // One scale for all of q: right only because the amax of unsaved tiles came along.
  recipe::Recipe coarse = small_recipe();
  coarse.q.group = quant::Group::tensor;
  const MeasureOptions options{.sample = {.rows = 1000, .draws = 4}, .taken_apart = {}};
  const JobResult few = Workbench(*captured, {coarse}, options).measure(job, 1, [] {});
  const JobResult all = Workbench(*generated, {coarse}, options).measure(job, 1, [] {});
  EXPECT_GT(figure(few, 0, "both"), 0);
  EXPECT_NE(figure(few, 0, "both"), figure(all, 0, "both")) << "other rows were looked at";
  const auto layout = layout::make_layout(coarse, {4, 8, 12}, 32);
  const HeadValues a = captured->values(cell_of(job, Branch::conditional), 1),
                   b = generated->values(cell_of(job, Branch::conditional), 1);
  const auto qa = attention::quantise_head(coarse, layout, a.view(), numerics::Path::fast),
             qb = attention::quantise_head(coarse, layout, b.view(), numerics::Path::fast);
  EXPECT_EQ(qa.q.scales, qb.q.scales);
}

TEST_F(Captures, NameWhatIsMissing) {
  tensors.erase("p01.s40.l1.h2.uncond.k");
  expect_error("lacks p1.s40.l1.h2.uncond.k");
  tensors.erase("p01.s40.l1.h2.uncond.q"), tensors.erase("p01.s40.l1.h2.uncond.v");
  expect_error("lacks p1.s40.l1.h2.uncond.q");
}

TEST_F(Captures, RefuseOtherHeadDimensions) {
  tensors["p01.s40.l1.h2.cond.q"] =
      make_tensor(DType::f32, {384, 64}, std::vector<float>(384 * 64, 1.0f));
  expect_error("64 channels");
}

TEST_F(Captures, RefuseNaN) {
  tensors["p00.s5.l1.h0.cond.v"].as<float>()[3 * 32 + 4] = std::nanf("");
  expect_error("NaN at row 3, channel 4");
}

TEST_F(Captures, RefuseWrongNamesShapesAndMetadata) {
  const auto good = tensors;
  tensors["layer0.q"] = tensors.begin()->second;
  expect_error("is not named");
  tensors = good;
  tensors["p00.s5.l1.h0.cond.z"] = tensors.begin()->second;
  expect_error("none of q, k, v");
  tensors = good;
  tensors["p00.s5.l1.h0.cond.k"] = make_tensor(DType::f32, {10, 32}, std::vector<float>(320));
  expect_error("10 rows");
  tensors = good;
  metadata["steps"] = "20";
  expect_error("past the last");
  metadata["steps"] = "many";
  expect_error("steps");
  metadata.erase("steps");
  expect_error("missing in __metadata__");
  metadata["steps"] = "50";
  metadata["sigma"] = "[1, 0.5]";
  expect_error("2 noise levels for 50 steps");
  metadata.erase("sigma");
  metadata["grid"] = "4,8";
  expect_error("not T,H,W");
  EXPECT_THROW(capture_source(folder / "nowhere"), Error);
  std::filesystem::remove(folder / "all.safetensors");
  EXPECT_THROW(capture_source(folder), Error);
}

}  // namespace
}  // namespace karat::study
