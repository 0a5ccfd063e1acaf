// What a video workload should look like: smooth, moving, with outliers, and with heads that attend
// as their kind says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "karat/video/workload.hpp"

namespace karat::video {
namespace {

constexpr int kDim = 128;
constexpr Extent3 kGrid{12, 24, 32};

const float* row(const std::vector<float>& rows, std::int64_t token) {
  return rows.data() + token * kDim;
}

/// Mean over tokens of the correlation of their V rows with those at an offset, channel means and
/// scales taken out.
double likeness(Head head, Extent3 offset) {
  const std::int64_t tokens = kGrid.volume();
  for (int j = 0; j < kDim; ++j) {
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < tokens; ++i) mean += row(head.v, i)[j] / double(tokens);
    for (std::int64_t i = 0; i < tokens; ++i)
      square += std::pow(row(head.v, i)[j] - mean, 2) / double(tokens);
    for (std::int64_t i = 0; i < tokens; ++i)
      head.v[i * kDim + j] = float((row(head.v, i)[j] - mean) / std::sqrt(square));
  }
  double product = 0, power = 0;
  for (std::int64_t i = 0; i < tokens; ++i) {
    Extent3 c = token_coordinate(kGrid, i);
    c = {c.t + offset.t, c.h + offset.h, c.w + offset.w};
    if (c.t >= kGrid.t || c.h >= kGrid.h || c.w >= kGrid.w) continue;
    const float *a = row(head.v, i), *b = row(head.v, token_index(kGrid, c));
    product += std::inner_product(a, a + kDim, b, 0.0);
    power += std::inner_product(a, a + kDim, a, 0.0);
  }
  return product / power;
}

Head clean_head(WorkloadSpec spec) {
  spec.grid = kGrid;
  return generate_head(spec, 0, 0);
}

TEST(VideoHead, IsSmoothInSpaceAndTime) {
  const Head head = clean_head({.sigma = 0});
  EXPECT_GT(likeness(head, {0, 0, 1}), 0.6);
  EXPECT_GT(likeness(head, {0, 1, 0}), 0.6);
  EXPECT_GT(likeness(head, {1, 0, 0}), 0.6);
  EXPECT_GT(likeness(head, {0, 0, 1}), likeness(head, {0, 0, 6}) + 0.2);
}

TEST(VideoHead, NoiseLevelHidesTheScene) {
  double before = 1;
  for (const double sigma : {0.0, 0.3, 0.6, 1.0}) {
    const double now = likeness(clean_head({.sigma = sigma}), {0, 0, 1});
    EXPECT_LT(now, before);
    before = now;
  }
  EXPECT_NEAR(before, 0, 0.01);
}

TEST(VideoHead, MotionChangesAPlaceOverTime) {
  const auto kept = [](double motion) {
    return likeness(clean_head({.sigma = 0, .motion = motion}), {2, 0, 0});
  };
  EXPECT_GT(kept(0), kept(1) + 0.02);
  EXPECT_GT(kept(1), kept(4) + 0.02);
}

TEST(VideoHead, RowsOfQAndKAreNormalised) {
  const Head head = clean_head({.outlier_channels = 0});
  for (const auto* rows : {&head.q, &head.k}) {
    const double first = std::inner_product(row(*rows, 0), row(*rows, 1), row(*rows, 0), 0.0);
    for (std::int64_t i = 0; i < kGrid.volume(); ++i)
      ASSERT_NEAR(std::inner_product(row(*rows, i), row(*rows, i + 1), row(*rows, i), 0.0) / first,
                  1, 0.01);
  }
}

TEST(VideoHead, HasTheOutlierChannelsAskedFor) {
  for (const int wanted : {0, 2, 5}) {
    const Head head = clean_head({.seed = 3, .outlier_channels = wanted});
    std::vector<double> size(kDim);
    for (std::int64_t i = 0; i < kGrid.volume(); ++i)
      for (int j = 0; j < kDim; ++j) size[j] += std::fabs(row(head.k, i)[j]);
    auto sorted = size;
    std::ranges::sort(sorted);
    const double ordinary = sorted[kDim / 2];
    EXPECT_EQ(std::ranges::count_if(size, [&](double s) { return s > 5 * ordinary; }), wanted);
  }
}

/// Share of attention, over some queries, that falls on keys the predicate accepts.
double mass(HeadKind kind, double sigma, const std::function<bool(Extent3 q, Extent3 k)>& accepts) {
  const Head head = clean_head({.sigma = sigma, .head_kind = kind});
  double inside = 0;
  int queries = 0;
  for (std::int64_t i = 100; i < kGrid.volume(); i += 611, ++queries) {
    std::vector<double> score(kGrid.volume());
    for (std::int64_t j = 0; j < kGrid.volume(); ++j)
      score[j] = std::inner_product(row(head.q, i), row(head.q, i) + kDim, row(head.k, j), 0.0) /
                 std::sqrt(double(kDim));
    const double top = std::ranges::max(score);
    double sum = 0, part = 0;
    for (std::int64_t j = 0; j < kGrid.volume(); ++j) {
      const double p = std::exp(score[j] - top);
      sum += p;
      if (accepts(token_coordinate(kGrid, i), token_coordinate(kGrid, j))) part += p;
    }
    inside += part / sum;
  }
  return inside / queries;
}

bool near(Extent3 q, Extent3 k) {  // 7 x 13 x 13 tokens: at most 13 % of the grid
  return std::abs(q.t - k.t) <= 3 && std::abs(q.h - k.h) <= 6 && std::abs(q.w - k.w) <= 6;
}
bool same_frame(Extent3 q, Extent3 k) { return q.t == k.t; }
bool same_place(Extent3 q, Extent3 k) {  // 25 of 768 places
  return std::abs(q.h - k.h) <= 2 && std::abs(q.w - k.w) <= 2;
}
bool first_tokens(Extent3, Extent3 k) { return token_index(kGrid, k) < 4; }

TEST(VideoHead, LocalHeadsHoldMostMassInAWindow) {
  EXPECT_GT(mass(HeadKind::local, 0.1, near), 0.9);
  EXPECT_GT(mass(HeadKind::local, 0.9, near), 0.8);
  EXPECT_LT(mass(HeadKind::local, 0.9, near), 0.999);  // and a window loses something
}
TEST(VideoHead, SpatialHeadsStayInTheirFrame) {
  EXPECT_GT(mass(HeadKind::spatial, 0.5, same_frame), 0.6);
}
TEST(VideoHead, TemporalHeadsStayAtTheirPlace) {
  EXPECT_GT(mass(HeadKind::temporal, 0.5, same_place), 0.9);
  EXPECT_LT(mass(HeadKind::temporal, 0.5, same_frame), 0.4);
}
TEST(VideoHead, GlobalHeadsLookFurtherThanLocalOnes) {
  EXPECT_LT(mass(HeadKind::global, 0.5, near), mass(HeadKind::local, 0.5, near) - 0.2);
}
TEST(VideoHead, SinkHeadsLookAtTheFirstTokens) {
  EXPECT_GT(mass(HeadKind::sink, 0.5, first_tokens), 0.2);
  EXPECT_LT(mass(HeadKind::local, 0.5, first_tokens), 0.01);
}

}  // namespace
}  // namespace karat::video
