// The oracles against a page-long formula in long double, and the engine against the oracles.
#include "karat/attention/oracle.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "karat/attention/attend.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/recipe/json.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

using video::Extent3;

/// softmax(q k^T / sqrt(d)) v over the keys `keep` allows, textbook style.
std::vector<long double> textbook(const RandomHead& head, std::size_t channels, std::size_t query,
                                  const std::function<bool(std::size_t)>& keep) {
  const std::size_t tokens = head.q.size() / channels;
  std::vector<long double> out(channels, 0), logit(tokens);
  long double maximum = -INFINITY, sum = 0;
  for (std::size_t key = 0; key < tokens; ++key) {
    for (std::size_t j = 0; j < channels; ++j)
      logit[key] +=
          static_cast<long double>(head.q[query * channels + j]) * head.k[key * channels + j];
    logit[key] /= std::sqrt(static_cast<long double>(channels));
    if (keep(key)) maximum = std::max(maximum, logit[key]);
  }
  for (std::size_t key = 0; key < tokens; ++key) {
    if (!keep(key)) continue;
    const long double p = std::exp(logit[key] - maximum);
    sum += p;
    for (std::size_t j = 0; j < channels; ++j) out[j] += p * head.v[key * channels + j];
  }
  for (auto& x : out) x /= sum;
  out.push_back(maximum + std::log(sum));
  return out;
}

TEST(Oracle, EqualsTheTextbookFormula) {
  const recipe::Recipe recipe = recipe::preset("fpsattention");
  for (const Extent3 grid : {Extent3{1, 1, 1}, Extent3{7, 9, 30}, Extent3{2, 20, 9}}) {
    for (const std::size_t channels : {16, 24}) {
      const RandomHead head = random_head(grid, channels, Flavour::normal, 11);
      const layout::Layout layout = layout::make_layout(recipe, grid, channels);
      std::vector<std::int32_t> tokens(grid.volume());
      std::iota(tokens.begin(), tokens.end(), 0);
      for (const OracleMask mask : {OracleMask::dense, OracleMask::sparse}) {
        const auto result = oracle(layout, head.input(), tokens, mask, 2);
        for (std::size_t token = 0; token < tokens.size(); token += 7) {
          const auto expected = textbook(head, channels, token, [&](std::size_t key) {
            return mask == OracleMask::dense || layout.mask->keeps(layout.order.position_of[token],
                                                                   layout.order.position_of[key]);
          });
          for (std::size_t j = 0; j < channels; ++j)
            ASSERT_NEAR(result.o[token * channels + j], static_cast<double>(expected[j]), 1e-13);
          ASSERT_NEAR(result.lse[token], static_cast<double>(expected[channels]), 1e-13);
        }
      }
    }
  }
}

/// One row, one operation after the other, in the order that oracle/oracle_rows.hpp states.
struct PlainRow {
  std::span<const float> q;
  std::size_t channels;
  double m = -INFINITY;
  std::array<double, 8> l{};
  std::vector<double> o = std::vector<double>(channels, 0.0);

  /// Tokens of a chunk of keys; negative: dropped, or no token.
  void absorb(const RandomHead& head, const std::vector<std::int64_t>& keys) {
    std::vector<double> s(keys.size(), -INFINITY);
    for (std::size_t n = 0; n < keys.size(); ++n) {
      if (keys[n] < 0) continue;
      double sum = 0;
      for (std::size_t j = 0; j < channels; ++j)
        sum += double{q[j]} * double{head.k[static_cast<std::size_t>(keys[n]) * channels + j]};
      s[n] = sum * score_scale(channels);
    }
    const double largest = std::max(m, *std::ranges::max_element(s));
    if (largest == -INFINITY) return;
    const double alpha = numerics::exp2_f64(m - largest);
    m = largest;
    for (double& sum : l) sum *= alpha;
    for (double& sum : o) sum *= alpha;
    for (std::size_t n = 0; n < keys.size(); ++n) {
      const double p = numerics::exp2_f64(s[n] - m);
      l[n % 8] += p;
      for (std::size_t j = 0; keys[n] >= 0 && j < channels; ++j)
        o[j] += p * double{head.v[static_cast<std::size_t>(keys[n]) * channels + j]};
    }
  }

  double sum() const { return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7])); }
};

PlainRow plain_row(const RandomHead& head, const layout::Layout& layout, std::size_t token,
                   OracleMask mask) {
  const std::size_t d = layout.channels, tokens = layout.order.position_of.size();
  PlainRow row{.q = std::span(head.q).subspan(token * d, d), .channels = d};
  std::vector<std::int64_t> keys;
  if (mask == OracleMask::dense) {
    for (std::size_t begin = 0; begin < tokens; begin += 256) {
      keys.resize(std::min<std::size_t>(256, tokens - begin));
      std::iota(keys.begin(), keys.end(), begin);
      row.absorb(head, keys);
    }
    return row;
  }
  const std::int64_t position = layout.order.position_of[token];
  for (const video::Range block : layout.blocks.key_blocks) {
    if (layout.mask->cover({position, position + 1}, block) == mask::Cover::none) continue;
    keys.clear();
    for (std::int64_t at = block.begin; at < block.end; ++at)
      keys.push_back(layout.mask->keeps(position, at) ? layout.key_order.token_at[at] : -1);
    row.absorb(head, keys);
  }
  return row;
}

TEST(Oracle, EqualsItsOwnOrderOfOperationsBitForBit) {
  recipe::Recipe holes = recipe::preset("fpsattention");
  holes.mask.window = {1, 3, 1};
  holes.mask.unit = mask::Unit::tokens_exact;
  for (const recipe::Recipe& recipe : {recipe::preset("fpsattention"), holes}) {
    for (const Flavour flavour : {Flavour::normal, Flavour::one_hot, Flavour::tails}) {
      const Extent3 grid{5, 9, 17};
      const std::size_t channels = flavour == Flavour::tails ? 24 : 32;
      const RandomHead head = random_head(grid, channels, flavour, 17);
      const layout::Layout layout = layout::make_layout(recipe, grid, channels);
      std::vector<std::int32_t> tokens(grid.volume());
      std::iota(tokens.begin(), tokens.end(), 0);
      for (const OracleMask mask : {OracleMask::dense, OracleMask::sparse}) {
        const auto result = oracle(layout, head.input(), tokens, mask, 2);
        for (std::size_t token = 0; token < tokens.size(); token += 5) {
          const PlainRow row = plain_row(head, layout, token, mask);
          for (std::size_t j = 0; j < channels; ++j)
            ASSERT_EQ(result.o[token * channels + j], row.o[j] / row.sum());
          ASSERT_EQ(result.lse[token], (row.m + numerics::log2_f64(row.sum())) * std::numbers::ln2);
        }
      }
    }
  }
}

TEST(Oracle, SampledRowsEqualAllRows) {
  const recipe::Recipe recipe = recipe::preset("sta_bf16");
  const Extent3 grid{6, 10, 17};
  const RandomHead head = random_head(grid, 32, Flavour::normal, 12);
  const layout::Layout layout = layout::make_layout(recipe, grid, 32);
  std::vector<std::int32_t> all(grid.volume());
  std::iota(all.begin(), all.end(), 0);
  const std::vector<std::int32_t> some{3, 500, 77, 1019};
  for (const OracleMask mask : {OracleMask::dense, OracleMask::sparse}) {
    const auto whole = oracle(layout, head.input(), all, mask, 2);
    const auto part = oracle(layout, head.input(), some, mask, 1);
    for (std::size_t i = 0; i < some.size(); ++i) {
      EXPECT_EQ(part.lse[i], whole.lse[some[i]]);
      for (std::size_t j = 0; j < 32; ++j) EXPECT_EQ(part.o[i * 32 + j], whole.o[some[i] * 32 + j]);
    }
  }
}

/// ||engine - sparse truth|| / ||truth|| of a preset.
double relative_error(const char* preset) {
  const recipe::Recipe recipe = recipe::preset(preset);
  const Extent3 grid{7, 11, 13};
  const RandomHead head = random_head(grid, 64, Flavour::normal, 13);
  const layout::Layout layout = layout::make_layout(recipe, grid, 64);
  std::vector<std::int32_t> all(grid.volume());
  std::iota(all.begin(), all.end(), 0);
  const auto truth = oracle(layout, head.input(), all, OracleMask::sparse);
  const auto result =
      attend(recipe, layout, quantise_head(recipe, layout, head.input(), numerics::Path::fast));
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < truth.o.size(); ++i) {
    error += std::pow(result.o[i] - truth.o[i], 2);
    norm += std::pow(truth.o[i], 2);
  }
  return std::sqrt(error / norm);
}

TEST(Engine, SmoothingAndRotationChangeNoResultOfExactArithmetic) {
  const Extent3 grid{4, 6, 10};
  const RandomHead head = random_head(grid, 64, Flavour::normal, 14);
  recipe::Recipe plain = recipe::preset("dense_f32");
  recipe::Recipe edited = plain;
  edited.q.smooth = edited.k.smooth = edited.v.smooth = recipe::Smooth::mean;
  edited.q.rotate = edited.k.rotate = recipe::Rotate::hadamard;
  const auto run = [&](const recipe::Recipe& recipe) {
    const layout::Layout layout = layout::make_layout(recipe, grid, 64);
    return attend(recipe, layout,
                  quantise_head(recipe, layout, head.input(), numerics::Path::fast));
  };
  const auto a = run(plain), b = run(edited);
  for (std::size_t i = 0; i < a.o.size(); ++i) ASSERT_NEAR(a.o[i], b.o[i], 2e-5);
  for (std::size_t i = 0; i < a.lse.size(); ++i) ASSERT_NEAR(a.lse[i], b.lse[i], 2e-5);
}

TEST(Engine, ErrorAgainstTheTruthHasTheSizeOfItsFormats) {
  EXPECT_LT(relative_error("dense_f32"), 1e-6);
  EXPECT_LT(relative_error("sta_bf16"), 6e-3);
  EXPECT_GT(relative_error("sta_bf16"), 1e-4);
  EXPECT_LT(relative_error("fpsattention"), 8e-2);
  EXPECT_GT(relative_error("fpsattention"), 5e-3);
}

}  // namespace
}  // namespace karat::attention
