// Broken captures name what is broken.
#include <cmath>

#include "saved.hpp"

namespace karat::capture {
namespace {

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
  EXPECT_THROW(folder_source(folder / "nowhere"), Error);
  std::filesystem::remove(folder / "all.safetensors");
  EXPECT_THROW(folder_source(folder), Error);
}

}  // namespace
}  // namespace karat::capture
