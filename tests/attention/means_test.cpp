// Masks by the scores of means against a count pair by pair, on hundreds of grids; the branches
// against FP64, and both of their engines.
#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <random>

#include "karat/attention/attend.hpp"
#include "karat/attention/branch.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/predict.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

constexpr std::size_t kChannels = 8;

float bf16(double x) {
  auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
  bits += 0x7FFF + (bits >> 16 & 1);
  return std::bit_cast<float>(bits & 0xFFFF0000u);
}

/// Small whole numbers: sums are exact in any order, and equal scores are common.
RandomHead whole_numbers(std::size_t tokens, std::mt19937& dice) {
  std::uniform_int_distribution<int> number(-2, 2);
  RandomHead head;
  for (std::vector<float>* x : {&head.q, &head.k, &head.v})
    for (std::size_t e = 0; e < tokens * kChannels; ++e)
      x->push_back(static_cast<float>(number(dice)));
  return head;
}

/// Tokens of one block, by a number that orders the blocks.
using Blocks = std::map<std::int64_t, std::vector<std::size_t>>;

Blocks by_sequence(std::size_t tokens, std::size_t size) {
  Blocks blocks;
  for (std::size_t token = 0; token < tokens; ++token)
    blocks[static_cast<std::int64_t>(token / size)].push_back(token);
  return blocks;
}

/// Tiles of the video's tokens, text behind them as one more.
Blocks by_tiles(video::Extent3 grid, int text, video::Extent3 tile) {
  Blocks blocks;
  std::size_t token = 0;
  const auto count = [](int extent, int size) { return (extent + size - 1) / size; };
  for (int t = 0; t < grid.t; ++t)
    for (int h = 0; h < grid.h; ++h)
      for (int w = 0; w < grid.w; ++w, ++token) {
        const std::int64_t number =
            (std::int64_t{t / tile.t} * count(grid.h, tile.h) + h / tile.h) *
                count(grid.w, tile.w) +
            w / tile.w;
        blocks[number].push_back(token);
      }
  for (int n = 0; n < text; ++n, ++token) blocks[1 << 30].push_back(token);
  return blocks;
}

std::vector<double> mean(const std::vector<float>& x, const std::vector<std::size_t>& tokens,
                         std::size_t begin, std::size_t end) {
  std::vector<double> sum(kChannels, 0.0);
  for (std::size_t i = begin; i < end; ++i)
    for (std::size_t c = 0; c < kChannels; ++c) sum[c] += x[tokens[i] * kChannels + c];
  for (double& s : sum) s /= static_cast<double>(end - begin);
  return sum;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// kept[i][j] between blocks, from a score of every pair.
using Kept = std::vector<std::vector<char>>;

/// The j-th of a row is kept when fewer than `most` others beat it: a higher score, or an equal one
/// before it.
Kept highest(const std::vector<std::vector<double>>& scores, std::size_t most) {
  Kept kept;
  for (const auto& row : scores) {
    auto& flags = kept.emplace_back();
    for (std::size_t j = 0; j < row.size(); ++j) {
      std::size_t before = 0;
      for (std::size_t other = 0; other < row.size(); ++other)
        before += row[other] > row[j] || (row[other] == row[j] && other < j);
      flags.push_back(before < most);
    }
  }
  return kept;
}

template <class Score>
std::vector<std::vector<double>> all_scores(const Blocks& blocks, const Score& score) {
  std::vector<std::vector<double>> scores;
  for (const auto& [i, queries] : blocks) {
    auto& row = scores.emplace_back();
    for (const auto& [j, keys] : blocks) row.push_back(score(queries, keys));
  }
  return scores;
}

std::size_t share_of(std::size_t count, float share, bool up) {
  const float wanted = share * static_cast<float>(count);
  return std::max<std::size_t>(
      1, static_cast<std::size_t>(up ? std::ceil(wanted) : std::floor(wanted)));
}

/// Every pair of tokens of the predicted mask against the pairs of blocks.
void expect_pairs(const recipe::Recipe& recipe, const layout::Setting& setting,
                  const RandomHead& head, const Blocks& blocks, const Kept& kept) {
  const layout::Layout layout = layout_of_head(recipe, setting, head.input());
  std::vector<std::size_t> block_of(static_cast<std::size_t>(setting.tokens()));
  std::size_t number = 0;
  for (const auto& [key, tokens] : blocks) {
    for (const std::size_t token : tokens) block_of[token] = number;
    ++number;
  }
  for (std::size_t q = 0; q < block_of.size(); ++q)
    for (std::size_t k = 0; k < block_of.size(); ++k)
      ASSERT_EQ(layout.mask->keeps(layout.order.position_of[q], layout.order.position_of[k]),
                kept[block_of[q]][block_of[k]] != 0)
          << recipe.name << ", grid " << video::to_string(setting.grid) << ", text " << setting.text
          << ", query " << q << ", key " << k;
}

video::Extent3 random_grid(std::mt19937& dice) {
  // Tiles of 1, 2, 4 or 8 tokens: means of whole numbers are exact, and so are ties.
  constexpr int kWidths[] = {1, 2, 4, 5, 6, 8};
  std::uniform_int_distribution<int> t(1, 4), h(1, 8), w(0, 5);
  const int first = t(dice), second = h(dice);
  return {first, second, kWidths[w(dice)]};
}

/// A preset whose blocks suit small grids.
recipe::Recipe small(const char* name, int block) {
  recipe::Recipe recipe = recipe::preset(name);
  recipe.block.q = recipe.block.k = block;
  return recipe;
}

constexpr int kGrids = 210;

TEST(MeansMask, SubBlockEqualsBruteForce) {
  std::mt19937 dice(1);
  recipe::Recipe recipe = small("subblock", 8);
  for (int n = 0; n < kGrids; ++n) {
    const layout::Setting setting{.grid = random_grid(dice), .channels = kChannels};
    const auto tokens = static_cast<std::size_t>(setting.tokens());
    // Not whole numbers: a sum of sixteen exponentials has no exact ties.
    const RandomHead head = random_head(setting.grid, kChannels, Flavour::normal, 100 + n);
    const Blocks blocks = by_sequence(tokens, 8);
    const auto scores = all_scores(blocks, [&](const auto& queries, const auto& keys) {
      double sum = 0;
      for (std::size_t a = 0; a < queries.size(); a += 2)
        for (std::size_t b = 0; b < keys.size(); b += 2)
          sum += std::exp(dot(mean(head.q, queries, a, std::min(a + 2, queries.size())),
                              mean(head.k, keys, b, std::min(b + 2, keys.size()))) /
                          std::sqrt(double{kChannels}));
      return std::log(sum);
    });
    expect_pairs(recipe, setting, head, blocks,
                 highest(scores, share_of(blocks.size(), 0.25f, false)));
  }
}

TEST(MeansMask, VsaEqualsBruteForce) {
  std::mt19937 dice(2);
  recipe::Recipe recipe = small("vsa", 8);
  recipe.mask.tile = {2, 2, 2};
  recipe.predict.share = 0.4f;
  for (int n = 0; n < kGrids; ++n) {
    const layout::Setting setting{.grid = random_grid(dice), .channels = kChannels, .text = n % 3};
    const RandomHead head = whole_numbers(static_cast<std::size_t>(setting.tokens()), dice);
    const Blocks blocks = by_tiles(setting.grid, setting.text, recipe.mask.tile);
    const auto rounded = [&](const std::vector<float>& x, const auto& tokens) {
      std::vector<double> values = mean(x, tokens, 0, tokens.size());
      for (double& value : values) value = bf16(static_cast<float>(value));
      return values;
    };
    const auto scores = all_scores(blocks, [&](const auto& queries, const auto& keys) {
      float sum = 0;
      const auto q = rounded(head.q, queries), k = rounded(head.k, keys);
      for (std::size_t c = 0; c < kChannels; ++c)
        sum = std::fma(static_cast<float>(q[c]), static_cast<float>(k[c]), sum);
      return double{bf16(bf16(sum) * static_cast<float>(1 / std::sqrt(double{kChannels})))};
    });
    recipe.predict.text = n % 2 ? recipe::TextBlocks::queries_dense : recipe::TextBlocks::ranked;
    Kept kept = highest(scores, share_of(blocks.size(), 0.4f, true));
    if (n % 2 && setting.text > 0) std::ranges::fill(kept.back(), 1);
    expect_pairs(recipe, setting, head, blocks, kept);
  }
}

TEST(MeansMask, SlaEqualsBruteForce) {
  std::mt19937 dice(3);
  recipe::Recipe recipe = small("sla", 8);
  recipe.predict.share = 0.3f;
  for (int n = 0; n < kGrids; ++n) {
    const layout::Setting setting{.grid = random_grid(dice), .channels = kChannels};
    const auto tokens = static_cast<std::size_t>(setting.tokens());
    const RandomHead head = random_head(setting.grid, kChannels, Flavour::normal, 300 + n);
    std::vector<float> centred = head.k;
    for (std::size_t c = 0; c < kChannels; ++c) {
      double sum = 0;
      for (std::size_t t = 0; t < tokens; ++t) sum += head.k[t * kChannels + c];
      const auto middle = static_cast<float>(sum / static_cast<double>(tokens));
      for (std::size_t t = 0; t < tokens; ++t) centred[t * kChannels + c] -= middle;
    }
    const Blocks blocks = by_sequence(tokens, 8);
    const auto scores = all_scores(blocks, [&](const auto& queries, const auto& keys) {
      return dot(mean(head.q, queries, 0, queries.size()), mean(centred, keys, 0, keys.size()));
    });
    expect_pairs(recipe, setting, head, blocks,
                 highest(scores, share_of(blocks.size(), 0.3f, false)));
  }
}

TEST(MeansMask, NablaEqualsBruteForce) {
  std::mt19937 dice(4);
  recipe::Recipe recipe = small("nabla", 8);
  recipe.mask.tile = {1, 2, 4};
  recipe.mask.window = {3, 1, 1};
  std::size_t short_tiles = 0, dropped = 0;
  for (int n = 0; n < kGrids; ++n) {
    const layout::Setting setting{
        .grid = random_grid(dice), .channels = kChannels, .text = 4 * (n % 3)};
    recipe.predict.tail = 0.05f * static_cast<float>(n % 7);
    const RandomHead head = whole_numbers(static_cast<std::size_t>(setting.tokens()), dice);
    const Blocks blocks = by_tiles(setting.grid, setting.text, recipe.mask.tile);
    const auto scores = all_scores(blocks, [&](const auto& queries, const auto& keys) {
      return dot(mean(head.q, queries, 0, queries.size()), mean(head.k, keys, 0, keys.size())) /
             std::sqrt(double{kChannels});
    });
    Kept kept;
    for (const auto& row : scores) {
      // What stands at or below a block on the way from the lightest: lighter ones, itself, and
      // equal ones behind it.
      const double largest = *std::ranges::max_element(row);
      double total = 0;
      for (const double s : row) total += std::exp(s - largest);
      auto& flags = kept.emplace_back();
      for (std::size_t j = 0; j < row.size(); ++j) {
        double sum = 0;
        for (std::size_t other = 0; other < row.size(); ++other)
          if (row[other] < row[j] || (row[other] == row[j] && other >= j))
            sum += std::exp(row[other] - largest);
        flags.push_back(sum >= double{recipe.predict.tail} * total);
      }
    }
    const int rows = (setting.grid.h + 1) / 2, columns = (setting.grid.w + 3) / 4;
    const std::size_t video = blocks.size() - (setting.text > 0);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      for (std::size_t j = 0; j < blocks.size(); ++j) {
        const auto plane = static_cast<std::size_t>(rows * columns);
        const bool near =
            i < video && j < video && i % plane == j % plane && (i > j ? i - j : j - i) <= plane;
        if (near || i >= video || j >= video) kept[i][j] = 1;
      }
    for (const auto& [number, tokens] : blocks) short_tiles += tokens.size() < 8;
    for (const auto& row : kept) dropped += static_cast<std::size_t>(std::ranges::count(row, 0));
    expect_pairs(recipe, setting, head, blocks, kept);
  }
  EXPECT_GT(short_tiles, 200u) << "tiles at the edges of grids";
  EXPECT_GT(dropped, 200u) << "blocks whose weight stays within the tail";
}

TEST(SelectBlocks, TheTailIsWhatStaysBelowItsShare) {
  recipe::Predict rule{.select = recipe::Select::tail, .tail = 0.25f};
  const std::vector<double> weights{1, 4, 2, 1};  // from the lightest: 1/8, 2/8, 4/8, 8/8
  EXPECT_THAT(select_blocks(weights, rule), testing::ElementsAre(0, 1, 2))
      << "of equal ones the lower index counts as heavier";
  rule.ties = recipe::Ties::higher_first;
  EXPECT_THAT(select_blocks(weights, rule), testing::ElementsAre(1, 2, 3));
  rule.tail = 1;
  EXPECT_THAT(select_blocks(weights, rule), testing::ElementsAre(1));
}

TEST(SelectBlocks, SharesAreRoundedAsTheRuleSays) {
  recipe::Predict rule{.select = recipe::Select::share, .share = 0.5f};
  rule.share_rounding = recipe::ShareRounding::up;
  EXPECT_THAT(select_blocks(std::vector<double>{1, 5, 3, 4, 2}, rule),
              testing::ElementsAre(1, 2, 3));
}

class Branches : public testing::TestWithParam<const char*> {
 protected:
  layout::Setting setting_{.grid = {3, 9, 7}, .channels = 64};
  RandomHead head_ = random_head(setting_.grid, 64, Flavour::normal, 23);
  recipe::Recipe recipe_ = recipe::preset(GetParam());
};

TEST_P(Branches, BothEnginesGiveTheSameBits) {
  const layout::Layout layout = layout_of_head(recipe_, setting_, head_.input());
  const auto slow = branch_of(recipe_, layout, head_.input(), numerics::Path::scalar);
  const auto fast = branch_of(recipe_, layout, head_.input(), numerics::Path::fast);
  ASSERT_EQ(slow.size(), head_.q.size());
  EXPECT_EQ(0, std::memcmp(slow.data(), fast.data(), slow.size() * sizeof(float)));
}

/// The predictor, the branch and the operands: each has loops on threads.
class OnThreads : public testing::TestWithParam<const char*> {};

TEST_P(OnThreads, APredictedHeadHasTheSameBits) {
  const layout::Setting setting{.grid = {6, 12, 16}, .channels = 64};
  const RandomHead head = random_head(setting.grid, 64, Flavour::normal, 29);
  const recipe::Recipe recipe = recipe::preset(GetParam());
  const auto made = [&](int threads) {
    const layout::Layout layout = layout_of_head(recipe, setting, head.input(), threads);
    return std::pair(layout.order.token_at,
                     quantise_head(recipe, layout, head.input(), numerics::Path::fast, threads));
  };
  const auto [order, one] = made(1);
  for (const int threads : {2, 5}) {
    const auto [other_order, other] = made(threads);
    EXPECT_EQ(order, other_order);
    EXPECT_EQ(one.branch, other.branch);
    for (const auto& [a, b] :
         {std::pair{&one.q, &other.q}, {&one.k, &other.k}, {&one.v, &other.v}}) {
      EXPECT_EQ(a->values, b->values);
      EXPECT_EQ(a->scales, b->scales);
    }
    const auto blocks_of = [&](int count) {
      return layout_of_head(recipe, setting, head.input(), count).blocks;
    };
    const auto alone = blocks_of(1), together = blocks_of(threads);
    ASSERT_EQ(alone.rows.size(), together.rows.size());
    for (std::size_t i = 0; i < alone.rows.size(); ++i)
      EXPECT_TRUE(std::ranges::equal(alone.rows[i], together.rows[i], [](auto a, auto b) {
        return a.key_block == b.key_block && a.cover == b.cover;
      })) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Presets, OnThreads,
                         testing::Values("sla", "vsa", "svg2", "sparge_sm90", "nabla",
                                         "rainfusion_fp8", "fa3_fp8_block_hadamard", "sage2_sm90"));

TEST_P(Branches, TheTruthIsWhatFp32ComesCloseTo) {
  recipe_.branch.format = numerics::FormatId::f32;
  recipe_.predict.means = recipe::Means::f64;
  const layout::Layout layout = layout_of_head(recipe_, setting_, head_.input());
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(setting_.tokens()));
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto truth = branch_truth(layout, head_.input(), tokens);
  const auto made = branch_of(recipe_, layout, head_.input(), numerics::Path::fast);
  double largest = 0;
  for (std::size_t e = 0; e < made.size(); ++e) {
    ASSERT_NEAR(made[e], truth[e], 2e-5) << e;
    largest = std::max(largest, std::abs(truth[e]));
  }
  EXPECT_GT(largest, 0.01) << "a branch of zeros would pass";
}

/// The sparse kernel's stored output, plus weight times the branch, rounded once more.
TEST_P(Branches, OutputsAreThoseOfTheSparseKernelPlusTheBranch) {
  recipe_.branch.weight = 0.75f;
  const layout::Layout layout = layout_of_head(recipe_, setting_, head_.input());
  QuantisedHead head = quantise_head(recipe_, layout, head_.input(), numerics::Path::fast);
  const auto whole = attend(recipe_, layout, head);
  const auto slow = attend(recipe_, layout, head, {.path = numerics::Path::scalar});
  EXPECT_EQ(whole.o, slow.o);
  const std::vector<float> branch = head.branch;
  head.branch.clear();
  const auto sparse = attend(recipe_, layout, head);
  for (std::size_t e = 0; e < branch.size(); ++e)
    ASSERT_EQ(whole.o[e], bf16(sparse.o[e] + 0.75f * branch[e])) << e;
}

TEST_P(Branches, SparseTruthHoldsTheBranch) {
  const layout::Layout layout = layout_of_head(recipe_, setting_, head_.input());
  recipe::Recipe without = recipe_;
  without.branch.kind = recipe::BranchKind::none;
  const layout::Layout alone = layout_of_head(without, setting_, head_.input());
  const std::vector<std::int32_t> tokens{0, 5, 188};
  const auto both = oracle(layout, head_.input(), tokens, OracleMask::sparse);
  const auto sparse = oracle(alone, head_.input(), tokens, OracleMask::sparse);
  const auto branch = branch_truth(layout, head_.input(), tokens);
  for (std::size_t e = 0; e < both.o.size(); ++e) EXPECT_EQ(both.o[e], sparse.o[e] + branch[e]);
  EXPECT_EQ(oracle(layout, head_.input(), tokens, OracleMask::dense).o,
            oracle(alone, head_.input(), tokens, OracleMask::dense).o);
}

INSTANTIATE_TEST_SUITE_P(Presets, Branches, testing::Values("sla", "vsa"));

}  // namespace
}  // namespace karat::attention
