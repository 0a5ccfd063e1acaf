// Each adversarial kind does the harm it names.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "karat/numerics/formats/convert.hpp"
#include "karat/video/workload.hpp"

namespace karat::video {
namespace {

using numerics::FormatId;
using numerics::Rounding;

constexpr int kDim = 64;
constexpr Extent3 kGrid{7, 11, 13};
const std::int64_t kTokens = kGrid.volume();

Head make(WorkloadKind kind) {
  return generate_head({.kind = kind, .grid = kGrid, .head_dim = kDim, .tile = {3, 4, 4}}, 0, 0);
}

/// Scores of one query in log2 units.
std::vector<double> scores(const Head& head, std::int64_t query) {
  std::vector<double> s(kTokens);
  const float* q = head.q.data() + query * kDim;
  for (std::int64_t j = 0; j < kTokens; ++j)
    s[j] = std::inner_product(q, q + kDim, head.k.data() + j * kDim, 0.0) * std::numbers::log2e /
           std::sqrt(double(kDim));
  return s;
}

bool odd_tile(std::int64_t token) {
  const Extent3 c = token_coordinate(kGrid, token);
  return (c.t / 3 + c.h / 4 + c.w / 4) % 2 == 1;
}

TEST(Adversarial, GaussianHasUnitVariance) {
  const Head head = make(WorkloadKind::gaussian);
  for (const auto* x : {&head.q, &head.k, &head.v}) {
    const double n = double(x->size());
    EXPECT_NEAR(std::accumulate(x->begin(), x->end(), 0.0) / n, 0, 5 / std::sqrt(n));
    EXPECT_NEAR(std::inner_product(x->begin(), x->end(), x->begin(), 0.0) / n, 1,
                5 * std::sqrt(2 / n));
  }
}

TEST(Adversarial, OutliersAreOneInAThousandAndTenTimesAsLarge) {
  const Head head = make(WorkloadKind::outliers);
  for (const auto* x : {&head.q, &head.k, &head.v}) {
    const double n = double(x->size());
    const auto beyond = std::ranges::count_if(*x, [](float v) { return std::fabs(v) > 6; });
    EXPECT_NEAR(double(beyond), n * 0.001 * 0.55, 5 * std::sqrt(n * 0.00055));  // P(|N(0,101)| > 6)
  }
}

TEST(Adversarial, TiesLieHalfwayBetweenCodesUnderEveryScale) {
  const Head head = make(WorkloadKind::ties);
  for (const auto* x : {&head.q, &head.k, &head.v}) {
    std::vector<float> channel_most(kDim);
    for (std::int64_t i = 0; i < kTokens; ++i) {
      float most = 0;
      for (int j = 0; j < kDim; ++j) {
        const float value = (*x)[i * kDim + j];
        most = std::max(most, std::fabs(value));
        channel_most[j] = std::max(channel_most[j], std::fabs(value));
        if (std::fabs(value) == 3.5f) continue;
        const float scaled = value * 128;
        const float up = decode(encode(scaled, FormatId::e4m3, {Rounding::up}), FormatId::e4m3);
        const float down = decode(encode(scaled, FormatId::e4m3, {Rounding::down}), FormatId::e4m3);
        ASSERT_LT(down, up);
        ASSERT_EQ(scaled, (up + down) / 2);
      }
      ASSERT_EQ(most, 3.5f);
    }
    for (const float most : channel_most) EXPECT_EQ(most, 3.5f);
  }
}

TEST(Adversarial, SaturatingPCreepsUpFromBothEnds) {
  const Head head = make(WorkloadKind::saturating_p);
  const auto s = scores(head, 5);
  EXPECT_LT(s.front(), 1.5);
  EXPECT_LT(s.back(), 1.5);
  EXPECT_GT(std::ranges::max(s), 7.5);
  // Keys tile by tile in either direction, the old maximum kept while the new one is within 4: many
  // P = 2^(s - m) * 2^8 pass 448.
  const Tiling tiling(kGrid, {3, 4, 4});
  std::vector<std::vector<double>> tiles(tiling.tile_count());
  for (std::int64_t i = 0; i < kTokens; ++i) tiles[tiling.tile_of(i)].push_back(s[i]);
  for (const bool descending : {false, true}) {
    double kept = -INFINITY;
    std::int64_t saturated = 0;
    for (const auto& tile : tiles) {
      const double most = std::ranges::max(tile);
      if (most - kept > 4) kept = most;
      saturated +=
          std::ranges::count_if(tile, [&](double x) { return std::exp2(x - kept + 8) > 448; });
    }
    EXPECT_GT(saturated, 100) << descending;
    std::ranges::reverse(tiles);
  }
  EXPECT_GT(*std::ranges::min_element(head.v), -1.0f);
}

TEST(Adversarial, OneHotQueriesSeeTheirOwnKeyAlone) {
  const Head head = make(WorkloadKind::one_hot);
  for (const std::int64_t query : {0, 500, 1000}) {
    const auto s = scores(head, query);
    for (std::int64_t j = 0; j < kTokens; ++j) {
      if (j != query) {
        ASSERT_LT(s[j], s[query] - 30);
      }
    }
  }
}

TEST(Adversarial, ZeroTilesAreZeroAndOthersAreNot) {
  const Head head = make(WorkloadKind::zero_tiles);
  for (const auto* x : {&head.q, &head.k, &head.v})
    for (std::int64_t i = 0; i < kTokens; ++i)
      EXPECT_EQ(odd_tile(i), std::all_of(x->begin() + i * kDim, x->begin() + (i + 1) * kDim,
                                         [](float v) { return v == 0; }));
  for (std::int64_t i = 0; i < kTokens; ++i) EXPECT_EQ(head.v[i * kDim], 0);
}

TEST(Adversarial, SubnormalsInOddTilesAndSubnormalCodesInTheRest) {
  const Head head = make(WorkloadKind::subnormals);
  for (const auto* x : {&head.q, &head.k, &head.v}) {
    for (std::int64_t i = 0; i < kTokens; ++i) {
      for (int j = 0; j < kDim; ++j) {
        const float value = std::fabs((*x)[i * kDim + j]);
        if (odd_tile(i)) {
          ASSERT_TRUE(value > 0 && value < 0x1p-126f);
        } else {
          ASSERT_TRUE(value == 56 || value < 0x1p-6f * 0.125f);  // scale 56 / 448 = 1/8
        }
      }
    }
  }
}

TEST(Adversarial, DynamicRangeSpansTheExponentsInEveryRow) {
  const Head head = make(WorkloadKind::dynamic_range);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    const auto [least, most] =
        std::minmax_element(head.k.begin() + i * kDim, head.k.begin() + (i + 1) * kDim,
                            [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    EXPECT_GT(std::fabs(*most / *least), 0x1p20f);
  }
}

TEST(Adversarial, TinyTailsFlushBelowEveryPeak) {
  const Head head = make(WorkloadKind::tiny_tails);
  for (const std::int64_t query : {0, 1, 2, 3, 4, 5}) {
    const auto s = scores(head, query);
    const auto peaks = std::ranges::count(s, 0.0);
    EXPECT_GE(peaks, 1);
    EXPECT_LT(peaks, kTokens / 64);
    for (const double x : s) EXPECT_TRUE(x == 0 || 448 * std::exp2(x) < 0x1p-10);
  }
}

TEST(Adversarial, EqualKeysAreEqual) {
  const Head head = make(WorkloadKind::equal_keys);
  for (std::int64_t i = 1; i < kTokens; ++i)
    EXPECT_TRUE(std::equal(head.k.begin(), head.k.begin() + kDim, head.k.begin() + i * kDim));
  EXPECT_FALSE(std::equal(head.q.begin(), head.q.begin() + kDim, head.q.begin() + kDim));
}

TEST(Adversarial, ASinkTokenTakesNearlyAllWeightAndHasATinyValue) {
  const Head head = make(WorkloadKind::sink);
  for (const std::int64_t query : {std::int64_t{0}, kTokens - 1}) {
    const auto s = scores(head, query);
    EXPECT_EQ(s[0], 0);
    for (std::size_t j = 1; j < s.size(); ++j) {
      EXPECT_LT(s[j], -13.8);
      EXPECT_GT(s[j], -18.2);
    }
  }
  const auto power = [&](std::int64_t token) {
    const float* v = head.v.data() + token * kDim;
    return std::inner_product(v, v + kDim, v, 0.0);
  };
  EXPECT_LT(power(0) * 1000, power(1));
}

/// The video's rows do not change, the text's are neither zero nor alike.
TEST(Workload, TextStandsBehindTheVideo) {
  for (const WorkloadKind kind : {WorkloadKind::video, WorkloadKind::ties}) {
    const WorkloadSpec plain{.kind = kind, .grid = kGrid, .head_dim = kDim};
    WorkloadSpec with_text = plain;
    with_text.text = 300;
    const Head head = generate_head(plain, 0, 0), more = generate_head(with_text, 0, 0);
    ASSERT_EQ(more.k.size(), static_cast<std::size_t>(kTokens + 300) * kDim);
    EXPECT_TRUE(std::equal(head.k.begin(), head.k.end(), more.k.begin()));
    EXPECT_TRUE(std::equal(head.v.begin(), head.v.end(), more.v.begin()));
    for (const auto* rows : {&more.q, &more.k, &more.v}) {
      double power = 0;
      for (std::size_t i = rows->size() - 300 * kDim; i < rows->size(); ++i)
        power += double{(*rows)[i]} * (*rows)[i];
      EXPECT_GT(power, 0.05 * 300 * kDim);
      EXPECT_FALSE(std::equal(rows->end() - kDim, rows->end(), rows->end() - 2 * kDim));
    }
  }
}

}  // namespace
}  // namespace karat::video
