// Model rows against the published sizes.
#include "karat/video/models.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

using testing::HasSubstr;

template <typename Act>
std::string usage_error(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "accepted";
}

struct Published {
  const char* model;
  const char* resolution;
  Extent3 grid;
  std::int64_t tokens;
};

constexpr Published kPublished[] = {
    {"wan2.1-1.3b", "480p", {21, 30, 52}, 32760},   {"wan2.1-14b", "480p", {21, 30, 52}, 32760},
    {"wan2.1-14b", "720p", {21, 45, 80}, 75600},    {"wan2.1-14b", "768p", {18, 48, 80}, 69120},
    {"hunyuanvideo", "768p", {30, 48, 80}, 115200}, {"hunyuanvideo", "720p", {33, 45, 80}, 118800},
    {"cogvideox-5b", "480p", {13, 30, 45}, 17550},  {"wan2.1-14b", "64x32x5", {2, 2, 4}, 16},
};

TEST(Models, PublishedGrids) {
  for (const auto& row : kPublished) {
    const Model& model = find_model(row.model);
    const Extent3 grid = token_grid(model, find_resolution(model, row.resolution));
    EXPECT_EQ(grid, row.grid) << row.model << " " << row.resolution;
    EXPECT_EQ(grid.volume(), row.tokens);
  }
}

TEST(Models, EveryRowIsWhole) {
  for (const Model& model : models()) {
    EXPECT_EQ(model.width, model.heads * model.head_dim) << model.name;
    EXPECT_GT(model.layers, 0);
    EXPECT_GT(model.ffn, 0);
    EXPECT_GT(model.latent_channels, 0);
    EXPECT_GT(model.text_tokens, 0);
    EXPECT_FALSE(model.source.empty());
    ASSERT_FALSE(model.resolutions.empty());
    for (const auto& r : model.resolutions) {
      EXPECT_EQ(find_resolution(model, r.name), r);
      EXPECT_GT(token_grid(model, r).volume(), 0);
    }
  }
}

TEST(Models, UnknownNamesSuggestTheNearest) {
  EXPECT_EQ(usage_error([] { find_model("wan2.1-14B"); }),
            "model: unknown name 'wan2.1-14B'; did you mean wan2.1-14b?");
  EXPECT_THAT(usage_error([] { find_model("hunyuan"); }), HasSubstr("hunyuanvideo?"));
  EXPECT_EQ(usage_error([] { find_resolution(find_model("wan2.1-14b"), "1080p"); }),
            "resolution: wan2.1-14b has no '1080p'; use 480p, 720p, 768p, or WIDTHxHEIGHTxFRAMES");
  for (const char* bad : {"", "832x480", "832x480x", "832x480x81x", "0x16x1", "-16x16x1", "axbxc"})
    EXPECT_THAT(usage_error([&] { find_resolution(find_model("wan2.1-14b"), bad); }),
                HasSubstr("WIDTHxHEIGHTxFRAMES"));
}

TEST(Models, ClipsThatDoNotDivideAreRefused) {
  const Model& wan = find_model("wan2.1-14b");
  EXPECT_THAT(usage_error([&] { token_grid(wan, {"", 832, 480, 80}); }), HasSubstr("80 frames"));
  EXPECT_THAT(usage_error([&] {
                token_grid(wan, {"", 832, 486, 81});
              }),
              HasSubstr("height 486 is no multiple of 16; use 496"));
}

TEST(Sigma, FollowsTheShiftedSchedule) {
  const Model& wan = find_model("wan2.1-14b");
  EXPECT_NEAR(sigma(wan, 0, 50), 5 * 0.999 / (1 + 4 * 0.999), 1e-15);
  EXPECT_NEAR(sigma(wan, 49, 50), 5 * 0.01998 / (1 + 4 * 0.01998), 1e-15);
  // With shift 5, five sixths of the steps lie above one half.
  int above = 0;
  for (int step = 0; step < 600; ++step) above += sigma(wan, step, 600) > 0.5;
  EXPECT_NEAR(above, 500, 1);
  for (int step = 1; step < 50; ++step) EXPECT_LT(sigma(wan, step, 50), sigma(wan, step - 1, 50));
}

TEST(Sigma, RefusesStepsOutsideAndDiffusionModels) {
  EXPECT_THAT(usage_error([] { sigma(find_model("wan2.1-14b"), 50, 50); }), HasSubstr("0..49"));
  EXPECT_THAT(usage_error([] { sigma(find_model("cogvideox-5b"), 0, 50); }),
              HasSubstr("no flow sigma"));
}

}  // namespace
}  // namespace karat::video
