// Predicted masks, rule by rule as the systems state them, and both engines on what they answer.
#include "karat/attention/predict.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "karat/attention/attend.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

using testing::ElementsAre;

recipe::Predict by_mass(float mass, recipe::Crossing crossing, float least = 0) {
  return {.mass = mass, .crossing = crossing, .least = least};
}

TEST(SelectBlocks, TheCrossingBlockIsNotKeptInSpargeAttn) {
  const std::vector<double> weights{1, 4, 2, 1};  // 4/8, 6/8, 7/8, 8/8
  EXPECT_THAT(select_blocks(weights, by_mass(0.8f, recipe::Crossing::dropped)), ElementsAre(1, 2));
  EXPECT_THAT(select_blocks(weights, by_mass(0.75f, recipe::Crossing::dropped)), ElementsAre(1, 2));
  EXPECT_THAT(select_blocks(weights, by_mass(0.7f, recipe::Crossing::dropped)), ElementsAre(1));
}

TEST(SelectBlocks, TheCrossingClusterIsKeptInSparseVideoGen2) {
  const std::vector<double> weights{1, 4, 2, 1};
  EXPECT_THAT(select_blocks(weights, by_mass(0.8f, recipe::Crossing::kept)), ElementsAre(0, 1, 2));
  EXPECT_THAT(select_blocks(weights, by_mass(0.75f, recipe::Crossing::kept)), ElementsAre(1, 2));
}

TEST(SelectBlocks, AtLeastOneBlockStays) {
  EXPECT_THAT(select_blocks(std::vector<double>{3, 5}, by_mass(0.1f, recipe::Crossing::dropped)),
              ElementsAre(1));
}

TEST(SelectBlocks, AtLeastTenPercentOfTheClustersStay) {
  std::vector<double> weights(20, 0.0);
  weights[7] = 1;
  EXPECT_THAT(select_blocks(weights, by_mass(0.9f, recipe::Crossing::kept, 0.1f)),
              ElementsAre(0, 7))
      << "ties: the lower index first";
}

TEST(SelectBlocks, TopKKeepsAShareRoundedDown) {
  const recipe::Predict rule{.select = recipe::Select::share, .share = 0.5f};
  EXPECT_THAT(select_blocks(std::vector<double>{1, 5, 3, 4, 2}, rule), ElementsAre(1, 3));
  EXPECT_THAT(select_blocks(std::vector<double>{1}, rule), ElementsAre(0));
}

TEST(MeanCosine, IsTheMeanOverAllPairsTheDiagonalIncluded) {
  const RandomHead head = random_head({1, 1, 13}, 8, Flavour::normal, 3);
  double sum = 0;
  for (int i = 0; i < 13; ++i)
    for (int j = 0; j < 13; ++j) {
      double xy = 0, xx = 0, yy = 0;
      for (int c = 0; c < 8; ++c) {
        const double x = head.q[i * 8 + c], y = head.q[j * 8 + c];
        xy += x * y, xx += x * x, yy += y * y;
      }
      sum += xy / std::sqrt(xx * yy);
    }
  EXPECT_NEAR(mean_cosine(head.q, 8), sum / 169, 1e-14);
  EXPECT_EQ(mean_cosine(std::vector<float>(16, 0.0f), 8), 0.0);
}

/// Blocks whose rows differ are not trusted: their rows and columns are all kept.
TEST(SpargeAttn, UntrustedRowsAndColumnsAreAllKept) {
  recipe::Recipe recipe = recipe::preset("sparge_sm90");
  recipe.block.q = recipe.q.rows = 4;
  recipe.block.k = recipe.k.rows = 4;
  recipe.k.smooth = recipe::Smooth::none;
  recipe.predict.mass = 0.5f;
  constexpr std::size_t d = 4;
  RandomHead head;
  // Four blocks of equal rows along the axes; the third block's rows cancel out.
  for (int token = 0; token < 16; ++token)
    for (std::size_t c = 0; c < d; ++c) {
      const int block = token / 4;
      const bool mixed = block == 2;
      head.q.push_back(static_cast<int>(c) == block ? (mixed && token % 2 ? -20.0f : 20.0f) : 0.0f);
      head.k.push_back(head.q.back());
      head.v.push_back(1.0f);
    }
  const layout::Layout layout =
      layout_of_head(recipe, {.grid = {1, 1, 16}, .channels = d}, head.input());
  const auto row = [&](int block) {
    std::vector<int> kept;
    for (const auto& entry : layout.blocks.rows[block]) kept.push_back(entry.key_block);
    return kept;
  };
  EXPECT_THAT(row(0), ElementsAre(0, 2)) << "itself, and the untrusted column";
  EXPECT_THAT(row(1), ElementsAre(1, 2));
  EXPECT_THAT(row(2), ElementsAre(0, 1, 2, 3)) << "an untrusted row";
  recipe.predict.sink = recipe::Sink::on;
  const layout::Layout sink =
      layout_of_head(recipe, {.grid = {1, 1, 16}, .channels = d}, head.input());
  EXPECT_EQ(sink.blocks.rows[3].front().key_block, 0);
}

TEST(Clusters, EveryTokenIsInItsNearestClusterOfSeparatedPoints) {
  std::vector<float> rows;
  for (int token = 0; token < 60; ++token)
    for (int c = 0; c < 4; ++c)
      rows.push_back(static_cast<float>(token % 4 == c ? 10 : 0) +
                     0.01f * static_cast<float>(token));
  const Clusters clusters = cluster_tokens(rows, 4, 12, 4, 1, 2);
  for (std::size_t token = 0; token < 60; ++token) {
    const auto distance = [&](std::size_t cluster) {
      double sum = 0;
      for (std::size_t c = 0; c < 4; ++c)
        sum += std::pow(double{rows[token * 4 + c]} - clusters.centres[cluster * 4 + c], 2);
      return sum;
    };
    for (std::size_t c = 0; c < 12; ++c)
      EXPECT_LE(distance(clusters.of_token[token]), distance(c) + 1e-4) << token;
  }
}

/// Spatial heads attend inside a frame, temporal heads to the same place in all frames.
TEST(SparseVideoGen, ProfilingPicksTheMaskOfTheHead) {
  recipe::Recipe recipe = recipe::preset("svg1");
  recipe.mask.band = 0.05f;
  const video::Extent3 grid{8, 12, 12};
  for (const bool temporal : {false, true}) {
    RandomHead head = random_head(grid, 16, Flavour::normal, 5);
    for (std::size_t token = 0; token < 1152; ++token)
      for (std::size_t c = 0; c < 16; ++c) {
        const std::size_t topic = temporal ? token % 144 : token / 144;
        head.q[token * 16 + c] = head.k[token * 16 + c] =
            6 * std::cos(static_cast<float>((topic + 1) * (c + 1) * 37 % 101));
      }
    const layout::Layout layout =
        layout_of_head(recipe, {.grid = grid, .channels = 16}, head.input());
    EXPECT_EQ(layout.order.token_at[1], temporal ? 144 : 1);
  }
}

TEST(Predict, NeedsAHead) {
  EXPECT_THROW(layout::make_layout(recipe::preset("svg2"), {2, 4, 4}, 16), Error);
}

/// The output returns to the order of tokens whatever the clusters: dense when all is kept.
TEST(Predict, ClustersThatKeepEverythingGiveDenseAttention) {
  recipe::Recipe recipe = recipe::preset("dense_f32");
  recipe.block.align = video::Align::tile;
  const RandomHead head = random_head({2, 5, 6}, 16, Flavour::normal, 9);
  const layout::Setting setting{.grid = {2, 5, 6}, .channels = 16};
  const auto run = [&](const recipe::Recipe& r) {
    const layout::Layout layout = layout_of_head(r, setting, head.input());
    return attend(r, layout, quantise_head(r, layout, head.input(), numerics::Path::fast)).o;
  };
  const auto dense = run(recipe);
  recipe.predict = {
      .rule = recipe::PredictRule::clusters, .least = 1, .query_clusters = 5, .key_clusters = 7};
  const auto clustered = run(recipe);
  for (std::size_t i = 0; i < dense.size(); ++i) EXPECT_NEAR(clustered[i], dense[i], 1e-5) << i;
}

TEST(Predict, BothEnginesAgreeOnEveryPredictedPreset) {
  const video::Extent3 grid{3, 9, 7};
  for (const char* name : {"sparge_sm90", "svg1", "svg2", "nabla", "subblock", "vsa", "vsa_h3",
                           "sla", "rainfusion_fp8", "rainfusion_mix"}) {
    recipe::Recipe recipe = recipe::preset(name);
    recipe.predict.query_clusters = 6;
    recipe.predict.key_clusters = 9;
    const RandomHead head = random_head(grid, 64, Flavour::normal, 17);
    const layout::Layout layout =
        layout_of_head(recipe, {.grid = grid, .channels = 64}, head.input());
    std::vector<float> outputs[2];
    for (const auto path : {numerics::Path::scalar, numerics::Path::fast})
      outputs[path == numerics::Path::fast] =
          attend(recipe, layout, quantise_head(recipe, layout, head.input(), path), {.path = path})
              .o;
    EXPECT_EQ(0, std::memcmp(outputs[0].data(), outputs[1].data(), outputs[0].size() * 4)) << name;
  }
}

}  // namespace
}  // namespace karat::attention
