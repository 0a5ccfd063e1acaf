// One prompt through the sampler: what its cells share, and what they do not.
#include "karat/video/denoising.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "karat/numerics/base/error.hpp"

namespace karat::video {
namespace {

DenoisingSpec small() {
  DenoisingSpec spec;
  spec.grid = {4, 8, 12};
  spec.head_dim = 32;
  spec.layers = 4;
  spec.heads = 3;
  return spec;
}

double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

TEST(Denoising, BitsDependOnTheCellAloneAndFitBf16) {
  const DenoisingCell cell{.prompt = 3, .sigma = 0.8, .layer = 2, .head = 1};
  const Head one = generate_head(small(), cell, 1), two = generate_head(small(), cell, 2);
  EXPECT_EQ(one.q, two.q);
  EXPECT_EQ(one.k, two.k);
  EXPECT_EQ(one.v, two.v);
  for (const auto* values : {&one.q, &one.k, &one.v})
    for (const float x : *values) ASSERT_EQ(std::bit_cast<std::uint32_t>(x) & 0xFFFF, 0u);
}

TEST(Denoising, BranchesDifferByThePromptAlone) {
  DenoisingSpec spec = small();
  DenoisingCell cell{.prompt = 1, .sigma = 0.5};
  const auto branch = [&](Branch guidance) {
    cell.branch = guidance;
    return generate_head(spec, cell, 1).v;
  };
  EXPECT_NE(branch(Branch::conditional), branch(Branch::unconditional));
  EXPECT_GT(correlation(branch(Branch::conditional), branch(Branch::unconditional)), 0.9);
  spec.prompt_gain = 0;
  EXPECT_EQ(branch(Branch::conditional), branch(Branch::unconditional));
}

TEST(Denoising, NoiseIsOneSampleForAllSteps) {
  const auto at = [](double sigma, int prompt) {
    return generate_head(small(), {.prompt = prompt, .sigma = sigma}, 1).v;
  };
  EXPECT_GT(correlation(at(1, 0), at(0.95, 0)), 0.99) << "the next step's latents are a little cleaner";
  EXPECT_LT(correlation(at(1, 0), at(0, 0)), correlation(at(1, 0), at(0.7, 0)));
  EXPECT_LT(correlation(at(1, 0), at(1, 1)), correlation(at(1, 0), at(0.95, 0)));
}

TEST(Denoising, DeepLayersSeeACleanerPicture) {
  // A network of one head seed: layer 0 at 0.7 sigma and the last layer at sigma see the same s.
  DenoisingSpec spec = small();
  spec.head_kind = HeadKind::local;
  EXPECT_EQ(head_kind_of(spec, 3, 2), HeadKind::local);
  spec.depth_share = 0;
  const auto flat = generate_head(spec, {.sigma = 0.9, .layer = 3}, 1).v;
  spec.depth_share = 0.3;
  const auto deep = generate_head(spec, {.sigma = 0.9, .layer = 3}, 1).v;
  spec.depth_share = 0;
  EXPECT_EQ(generate_head(spec, {.sigma = 0.9 * (1 - 0.3), .layer = 3}, 1).v, deep);
  EXPECT_NE(flat, deep);
}

TEST(Denoising, RefusesWhatIsOutOfRange) {
  EXPECT_THROW(generate_head(small(), {.sigma = 1.1}, 1), Error);
  EXPECT_THROW(generate_head(small(), {.layer = 4}, 1), Error);
  EXPECT_THROW(generate_head(small(), {.head = 3}, 1), Error);
  EXPECT_THROW(generate_head(small(), {.prompt = -1}, 1), Error);
  DenoisingSpec spec = small();
  spec.texture = -1;
  EXPECT_THROW(validate(spec), Error);
}

}  // namespace
}  // namespace karat::video
