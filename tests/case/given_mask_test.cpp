// A given mask means pairs of tokens, whatever order a recipe computes them in: every form of a
// mask against a softmax written out over the same pairs.
#include "karat/case/given_mask.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>

#include "karat/attention/attend.hpp"
#include "karat/case/case.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/philox.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

using Pairs = std::vector<std::uint8_t>;

constexpr video::Extent3 kGrid{3, 5, 7};  // ragged: tiles of 2 x 4 x 4 stick out on every side
constexpr int kText = 9;
constexpr std::size_t kTokens = 3 * 5 * 7 + kText;
constexpr int kBlock = 16;

/// FP64 products in the order of tiles.
recipe::Recipe tiled(const char* more = "") {
  return recipe::parse_recipe(
      std::string(R"({"base": "dense_f64", "mask": {"kind": "none", "tile": [2, 4, 4]})") + more +
          "}",
      "test");
}

std::shared_ptr<const Inputs> inputs(std::size_t heads = 1) {
  return generated_inputs({.kind = video::WorkloadKind::gaussian,
                           .grid = kGrid,
                           .text = kText,
                           .heads = static_cast<int>(heads),
                           .head_dim = 16},
                          0);
}

/// Pairs without any symmetry; every row keeps itself.
Pairs random_pairs(std::uint64_t seed) {
  Pairs keep(kTokens * kTokens);
  for (std::size_t e = 0; e < keep.size(); ++e)
    keep[e] = numerics::random_bits(seed, 0, e) % 3 == 0 || e / kTokens == e % kTokens;
  return keep;
}

/// Pairs of whole blocks of tokens, block (i, j) kept by chance and on the diagonal.
bool keeps_block(std::size_t i, std::size_t j) {
  return i == j || numerics::random_bits(7, i, j) % 2 == 0;
}

files::Tensor matrix(const Pairs& keep, std::size_t side) {
  return files::make_tensor(files::DType::u8, {side, side}, keep);
}

/// Lists of full blocks, or of partial ones, over `extent` rows.
files::Tensors lists(std::size_t extent, bool partial) {
  const std::size_t n = (extent + kBlock - 1) / kBlock;
  std::vector<std::int32_t> counts(n, 0), indices(n * n, 0), none(n, 0), nothing(n * n, 0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      if (keeps_block(i, j)) indices[i * n + counts[i]++] = static_cast<std::int32_t>(j);
  const auto vector = [&](const auto& x) { return files::make_tensor(files::DType::i32, {n}, x); };
  const auto square = [&](const auto& x) {
    return files::make_tensor(files::DType::i32, {n, n}, x);
  };
  return {{"block_size",
           files::make_tensor(files::DType::i32, {2}, std::vector<std::int32_t>{kBlock, kBlock})},
          {"kv_num_blocks", vector(partial ? counts : none)},
          {"kv_indices", square(partial ? indices : nothing)},
          {"full_kv_num_blocks", vector(partial ? none : counts)},
          {"full_kv_indices", square(partial ? nothing : indices)}};
}

std::shared_ptr<const GivenMask> given(files::Tensors arrays, MaskOrder order) {
  return std::make_shared<GivenMask>(std::move(arrays), "test",
                                     MaskReading{.pairs = order, .blocks = order});
}

std::vector<float> output(const Case& of) {
  std::vector<float> o;
  for_each_head(of, {.threads = 1}, [&](const HeadAtWork& work) {
    const auto made = attention::attend(of.recipe, work.layout, work.operands, {.threads = 1}).o;
    o.insert(o.end(), made.begin(), made.end());
  });
  return o;
}

/// softmax(q k^T / sqrt(d)) v over the pairs, written out.
std::vector<double> softmax(const HeadValues& x, const Pairs& keep) {
  const std::size_t d = x.q.size() / kTokens;
  std::vector<double> o(x.q.size());
  for (std::size_t i = 0; i < kTokens; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < kTokens; ++j) {
      if (keep[i * kTokens + j] == 0) continue;
      double s = 0;
      for (std::size_t c = 0; c < d; ++c) s += double{x.q[i * d + c]} * x.k[j * d + c];
      const double p = std::exp(s / std::sqrt(static_cast<double>(d)));
      sum += p;
      for (std::size_t c = 0; c < d; ++c) o[i * d + c] += p * x.v[j * d + c];
    }
    for (std::size_t c = 0; c < d; ++c) o[i * d + c] /= sum;
  }
  return o;
}

/// Scores below 32 are rounded to f32 and so is their distance to the maximum: weights are within
/// 2^-19 of their own, o within twice that of the largest v.
void expect_softmax(const Case& of, const Pairs& keep) {
  const HeadValues x = of.inputs->values(0, 0, 1);
  const std::vector<double> expected = softmax(x, keep);
  const std::vector<float> o = output(of);
  double largest = 0;
  for (const float v : x.v) largest = std::max(largest, std::abs(double{v}));
  ASSERT_EQ(o.size(), expected.size());
  for (std::size_t e = 0; e < o.size(); ++e)
    ASSERT_NEAR(o[e], expected[e], std::ldexp(largest, -18)) << e;
}

video::TokenOrder order_of(const recipe::Recipe& recipe) {
  return layout::make_order(recipe.mask, {.grid = kGrid, .text = kText});
}

TEST(GivenMask, PairsAreOfTokensInEveryOrder) {
  const Pairs keep = random_pairs(1);
  const auto mask = given({{"mask", matrix(keep, kTokens)}}, MaskOrder::tokens);
  const auto heads = inputs();
  for (const char* more :
       {"", R"(, "block": {"align": "tile"})", R"(, "block": {"align": "tile", "q": 8, "k": 16})"})
    expect_softmax(make_case(tiled(more), heads, mask), keep);
  recipe::Recipe padded = tiled();
  padded.mask.ragged = video::Ragged::pad;
  expect_softmax(make_case(padded, heads, mask), keep);
  recipe::Recipe window = tiled();
  window.mask.kind = recipe::MaskKind::window;
  window.mask.window = {1, 1, 1};
  expect_softmax(make_case(window, heads, mask), keep);  // the mask takes the window's place
}

TEST(GivenMask, PairsByPositionAreTheSamePairs) {
  const Pairs keep = random_pairs(2);
  for (const video::Ragged ragged : {video::Ragged::partial, video::Ragged::pad}) {
    recipe::Recipe recipe = tiled();
    recipe.mask.ragged = ragged;
    const video::TokenOrder order = order_of(recipe);
    const auto n = static_cast<std::size_t>(order.positions());
    Pairs by_position(n * n, 1);  // ones in the padding keep nothing
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        if (order.token_at[i] >= 0 && order.token_at[j] >= 0)
          by_position[i * n + j] = keep[order.token_at[i] * kTokens + order.token_at[j]];
    const Case of = make_case(recipe, inputs(),
                              given({{"mask", matrix(by_position, n)}}, MaskOrder::positions));
    EXPECT_EQ(of.mask->reading().pairs, MaskOrder::tokens);
    EXPECT_EQ(of.mask->arrays().at("mask"), matrix(keep, kTokens));
    expect_softmax(of, keep);
  }
}

TEST(GivenMask, BlocksOfTokens) {
  Pairs keep(kTokens * kTokens);
  for (std::size_t e = 0; e < keep.size(); ++e)
    keep[e] = keeps_block(e / kTokens / kBlock, e % kTokens / kBlock);
  expect_softmax(make_case(tiled(), inputs(), given(lists(kTokens, false), MaskOrder::tokens)),
                 keep);
  const Pairs pairs = random_pairs(3);
  files::Tensors both = lists(kTokens, true);
  both["mask"] = matrix(pairs, kTokens);
  for (std::size_t e = 0; e < keep.size(); ++e) keep[e] = keep[e] && pairs[e];
  expect_softmax(make_case(tiled(), inputs(), given(both, MaskOrder::tokens)), keep);
}

TEST(GivenMask, BlocksOfPositions) {
  for (const video::Ragged ragged : {video::Ragged::partial, video::Ragged::pad}) {
    recipe::Recipe recipe = tiled();
    recipe.mask.ragged = ragged;
    const video::TokenOrder order = order_of(recipe);
    Pairs keep(kTokens * kTokens);
    for (std::size_t i = 0; i < kTokens; ++i)
      for (std::size_t j = 0; j < kTokens; ++j)
        keep[i * kTokens + j] =
            keeps_block(order.position_of[i] / kBlock, order.position_of[j] / kBlock);
    expect_softmax(
        make_case(recipe, inputs(), given(lists(order.positions(), false), MaskOrder::positions)),
        keep);
  }
}

TEST(GivenMask, AMatrixOfBlocksOfEachHead) {
  constexpr std::size_t kRows = (kTokens + 31) / 32, kColumns = (kTokens + 15) / 16;  // 4 x 8
  static_assert(kTokens % 32 != 0 && kTokens % 16 != 0, "the last blocks are short");
  const auto keeps = [](std::size_t head, std::size_t row, std::size_t column) {
    return row == column / 2 || numerics::random_bits(8 + head, row, column) % 3 == 0;
  };
  std::vector<std::int8_t> kept;
  std::array<Pairs, 2> pairs{Pairs(kTokens * kTokens), Pairs(kTokens * kTokens)};
  for (std::size_t head = 0; head < 2; ++head) {
    for (std::size_t i = 0; i < kRows; ++i)
      for (std::size_t j = 0; j < kColumns; ++j) kept.push_back(keeps(head, i, j) ? 1 : 0);
    for (std::size_t e = 0; e < pairs[head].size(); ++e)
      pairs[head][e] = keeps(head, e / kTokens / 32, e % kTokens / 16);
  }
  const files::Tensor size =
      files::make_tensor(files::DType::i32, {2}, std::vector<std::int32_t>{32, 16});
  files::Tensors arrays{
      {"mask_id", files::make_tensor(files::DType::i8, {1, 2, kRows, kColumns}, kept)},
      {"block_size", size}};
  const auto heads = inputs(2);
  const Case of = make_case(tiled(), heads, given(arrays, MaskOrder::tokens));
  const std::vector<float> o = output(of);
  for (std::size_t head = 0; head < 2; ++head) {
    const std::vector<double> expected = softmax(heads->values(0, head, 1), pairs[head]);
    for (std::size_t e = 0; e < expected.size(); ++e)
      ASSERT_NEAR(o[head * expected.size() + e], expected[e], 1e-5) << head;
  }
  // What a golden file keeps reads as the same mask.
  const auto again = given(of.mask->arrays(), MaskOrder::tokens);
  EXPECT_EQ(output(make_case(tiled(), heads, again)), o);
  arrays.erase("block_size");  // of 128 x 64 there are 1 x 2
  EXPECT_THROW(make_case(tiled(), heads, given(arrays, MaskOrder::tokens)), Error);
  arrays["mask"] = matrix(pairs[0], kTokens);
  EXPECT_THROW(given(arrays, MaskOrder::tokens), Error);
}

TEST(GivenMask, ReadsEveryTypeItNames) {
  const Pairs keep = random_pairs(6);
  const auto read = [&](files::DType dtype, auto zero) {
    std::vector<decltype(zero)> values(keep.begin(), keep.end());
    for (auto& value : values) value = static_cast<decltype(zero)>(value * 3);  // nonzero keeps
    const files::Tensor tensor = files::make_tensor(dtype, {kTokens, kTokens}, values);
    expect_softmax(make_case(tiled(), inputs(), given({{"mask", tensor}}, MaskOrder::tokens)),
                   keep);
  };
  read(files::DType::i8, std::int8_t{});
  read(files::DType::i32, std::int32_t{});
  read(files::DType::i64, std::int64_t{});
  try {
    given({{"mask", files::make_tensor(files::DType::f32, {1, 1}, std::vector{1.0f})}},
          MaskOrder::tokens);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "test: mask: is stored as f32; store bool, int8, uint8, int32 or int64");
  }
}

TEST(GivenMask, PartialBlocksNeedTheirPairs) {
  EXPECT_THROW(make_case(tiled(), inputs(), given(lists(kTokens, true), MaskOrder::tokens)), Error);
}

TEST(GivenMask, ListsOfVisitsAreOfTheKernelsOwnBlocks) {
  const auto visits = [](const char* tile) {
    recipe::Recipe recipe = recipe::parse_recipe(
        std::string(R"({"base": "dense_f64", "mask": {"kind": "given", "tile": )") + tile +
            R"(}, "block": {"q": 16, "k": 16, "order": "given"}})",
        "test");
    return make_case(recipe, inputs(), given(lists(kTokens, false), MaskOrder::tokens));
  };
  EXPECT_THROW(output(visits("[2, 4, 4]")), Error);
  EXPECT_FALSE(output(visits("[1, 1, 1]")).empty());
}

TEST(GivenMask, OfEachHeadItsOwn) {
  const Pairs first = random_pairs(4), second = random_pairs(5);
  Pairs both = first;
  both.insert(both.end(), second.begin(), second.end());
  const auto mask =
      given({{"mask", files::make_tensor(files::DType::u8, {2, kTokens, kTokens}, both)}},
            MaskOrder::tokens);
  const auto heads = inputs(2);
  const Case of = make_case(tiled(), heads, mask);
  EXPECT_EQ(layouts_of(of), Layouts::per_head);
  const std::vector<float> o = output(of);
  const std::vector<double> expected = softmax(heads->values(0, 1, 1), second);
  for (std::size_t e = 0; e < expected.size(); ++e)
    ASSERT_NEAR(o[expected.size() + e], expected[e], 1e-5);
  EXPECT_THROW(make_case(tiled(), inputs(3), mask), Error);
}

TEST(MaskOrder, Names) {
  EXPECT_EQ(parse_mask_order("tokens", "test"), MaskOrder::tokens);
  EXPECT_EQ(parse_mask_order("positions", "test"), MaskOrder::positions);
  EXPECT_THROW(parse_mask_order("position", "test"), Error);
}

}  // namespace
}  // namespace karat::cases
