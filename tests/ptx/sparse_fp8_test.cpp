// An unmodified kernel, compiled by Triton for sm_90a, against the same operations written down
// here: all outputs and all sums, bit for bit.
#include "sparse_fp8.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "karat/numerics/random/normal.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/ptx/run.hpp"
#include "removals.hpp"

namespace karat::ptx {
namespace {

using numerics::FormatId;

std::vector<float> values_of(std::span<const std::uint8_t> codes) {
  std::vector<float> values(codes.size());
  numerics::decode(codes, values, FormatId::e4m3);
  return values;
}

/// The sum of 32 scores of a thread, then of the four threads of a row, as Triton's reduction goes.
float row_sum(const float* p) {
  float of_thread[4];
  for (std::size_t c = 0; c < 4; ++c) {
    float tree[32];
    for (std::size_t i = 0; i < 32; ++i) tree[i] = p[i / 2 * 8 + 2 * c + i % 2];
    for (std::size_t width = 32; width > 1; width /= 2)
      for (std::size_t i = 0; i < width / 2; ++i) tree[i] = tree[2 * i] + tree[2 * i + 1];
    of_thread[c] = tree[0];
  }
  return (of_thread[0] + of_thread[2]) + (of_thread[1] + of_thread[3]);
}

/// CUDA's log2f of a normal number, as LLVM writes it for Triton.
float log2_of(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const auto exponent =
      static_cast<std::int32_t>((static_cast<std::uint32_t>(bits) - 1060439283u) & 0xFF800000u);
  const float whole = static_cast<float>(exponent) * 0x1p-23f;
  const float f = std::bit_cast<float>(bits - exponent) - 1;
  float y = std::bit_cast<float>(0x3DC6B27Fu);
  for (const std::uint32_t coefficient :
       {0xBE2C7F30u, 0x3E2FCF2Au, 0xBE374E43u, 0x3E520BF4u, 0xBE763C8Bu, 0x3E93BF99u, 0xBEB8AA49u,
        0x3EF6384Au, 0xBF38AA3Bu})
    y = std::fma(y, f, std::bit_cast<float>(coefficient));
  return whole + std::fma(f, std::bit_cast<float>(0x3FB8AA3Bu), f * (f * y));
}

float scaled_down(float b) {
  return std::fabs(b) > 0x1p126f ? 0.25f : std::fabs(b) < 0x1p-126f ? 0x1p24f : 1.0f;
}
float div_full(float a, float b) {
  return (a * scaled_down(b)) * numerics::rcp_approx_ftz(b * scaled_down(b));
}

struct Expected {
  std::vector<std::uint16_t> out;
  std::vector<float> lse;
};

enum class Exponent { fused, separate };  ///< of s * scale - m'

Expected compute(const Inputs& in, Exponent exponent) {
  const auto q = values_of(in.q), k = values_of(in.k), vt = values_of(in.vt);
  const numerics::Instruction& wgmma = numerics::instruction("hopper.wgmma.e4m3.f32");
  Expected expected{std::vector<std::uint16_t>(in.heads * in.tokens * kChannels),
                    std::vector<float>(in.heads * in.tokens)};
  const float lowest = -std::numeric_limits<float>::infinity();
  for (std::size_t row = 0; row < in.heads * in.blocks; ++row) {
    const std::size_t head = row / in.blocks, token = head * in.tokens + row % in.blocks * kBlock;
    numerics::RowOperand queries;
    queries.pack(wgmma, numerics::row_major<const float>(&q[token * kChannels], kBlock, kChannels));
    std::vector<float> m(kBlock, lowest), l(kBlock, 0), o(kBlock * kChannels, 0),
        s(kBlock * kBlock), p(s.size());
    const float scale = in.factor * in.q_scale[row];
    for (std::int32_t visit = 0; visit < in.counts[row]; ++visit) {
      const auto block =
          static_cast<std::size_t>(in.indices[row * in.blocks + static_cast<std::size_t>(visit)]);
      const std::size_t key = head * in.tokens + block * kBlock;
      numerics::ColumnOperand keys, values;
      keys.pack(wgmma, numerics::row_major<const float>(&k[key * kChannels], kBlock, kChannels));
      numerics::chain(wgmma, queries, keys, numerics::Start::absent,
                      {s.data(), kBlock, kBlock, kBlock, 1});
      const float f = scale * in.k_scale[head * in.blocks + block];
      for (std::size_t r = 0; r < kBlock; ++r) {
        float* const scores = &s[r * kBlock];
        float highest = lowest;
        for (std::size_t j = 0; j < kBlock; ++j) highest = std::max(highest, scores[j] * f);
        const float next = std::max(m[r], highest);
        const float alpha = numerics::ex2_approx_ftz(m[r] - next);
        for (std::size_t j = 0; j < kBlock; ++j)
          scores[j] = numerics::ex2_approx_ftz(
              exponent == Exponent::fused ? std::fma(scores[j], f, -next) : scores[j] * f - next);
        l[r] = std::fma(l[r], alpha, row_sum(scores));
        m[r] = next;
        for (std::size_t j = 0; j < kBlock; ++j)
          p[r * kBlock + j] =
              numerics::decode(numerics::encode(scores[j] * 448, FormatId::e4m3), FormatId::e4m3);
        for (std::size_t c = 0; c < kChannels; ++c) o[r * kChannels + c] *= alpha;
      }
      numerics::RowOperand weights;
      weights.pack(wgmma, numerics::row_major<const float>(p.data(), kBlock, kBlock));
      values.pack(wgmma, {&vt[head * kChannels * in.tokens + block * kBlock], kChannels, kBlock,
                          in.tokens, 1});
      numerics::chain(wgmma, weights, values, numerics::Start::from_d,
                      {o.data(), kBlock, kChannels, kChannels, 1});
    }
    for (std::size_t r = 0; r < kBlock; ++r) {
      expected.lse[token + r] = m[r] + log2_of(l[r]);
      const float below = l[r] * 448;
      for (std::size_t c = 0; c < kChannels; ++c)
        expected.out[(token + r) * kChannels + c] = static_cast<std::uint16_t>(numerics::encode(
            div_full(o[r * kChannels + c], below) * in.v_scale[head * kChannels + c],
            FormatId::bf16));
    }
  }
  return expected;
}

std::filesystem::path ptx_of(bool maps) { return ptx::ptx_of(KARAT_SOURCE_DIR, maps); }

class SparseFp8 : public testing::TestWithParam<bool> {};

void expect_the_same(bool maps, std::size_t tokens) {
  const Inputs in = make_inputs(2, tokens);
  const Outcome outcome = run(make_launch(in, ptx_of(maps), maps));
  ASSERT_EQ(outcome.fault.value_or(""), "");
  const Expected expected = compute(in, maps ? Exponent::fused : Exponent::separate);
  const auto out = outcome.outputs.at("out").as<std::uint16_t>();
  const auto lse = outcome.outputs.at("lse").as<float>();
  std::size_t differing = 0, sums = 0;
  for (std::size_t i = 0; i < out.size(); ++i) differing += out[i] != expected.out[i];
  for (std::size_t i = 0; i < lse.size(); ++i) sums += lse[i] != expected.lse[i];
  EXPECT_EQ(differing, 0u) << "of " << out.size();
  EXPECT_EQ(sums, 0u) << "of " << lse.size() << ", the first " << lse[0] << " and "
                      << expected.lse[0];
}

TEST_P(SparseFp8, EveryOutputAndEverySumIsTheSame) { expect_the_same(GetParam(), 1024); }

TEST_P(SparseFp8, SoTheyAreOf4096Tokens) {
  if (!long_tests()) GTEST_SKIP() << "two heads of 4096 tokens: KARAT_LONG=1";
  expect_the_same(GetParam(), 4096);
}

TEST_P(SparseFp8, IntactItHasNoHazardAndTheSameBitsUnderEverySchedule) {
  const bool maps = GetParam();
  const std::filesystem::path ptx = ptx_of(maps);
  Launch launch = make_launch(make_inputs(1, 512), ptx, maps);
  const Outcome plain = run(launch);
  launch.hazards = HazardSearch::on;
  const std::uint64_t seeds = long_tests() ? 100 : 2;
  for (std::uint64_t i = 0; i < seeds + 2; ++i) {
    launch.schedule = i == 0 ? Schedule::eager : i == 1 ? Schedule::late : Schedule::random;
    launch.seed = i;
    const Outcome watched = run(launch);
    EXPECT_EQ(watched.fault.value_or(""), "") << i;
    EXPECT_THAT(watched.hazards, testing::IsEmpty()) << i;
    EXPECT_EQ(watched.outputs, plain.outputs) << i;
  }
}

constexpr Unnoticed kOfMaps[] = {
    {89, "warp 0 alone touches the mbarrier up to the barrier of line 98"},
    {98, "only thread 0 has done anything since the barrier of line 89"},
    {181, "the barriers of lines 188 and 196 stand before what it would order"},
    {188, "the barriers of lines 181 and 196 do the same"},
    {196, "the barriers of lines 181 and 188 do the same"},
    {211, "every wait that follows is for all groups"},
    {1289, "the barriers of lines 1297 and 1306 stand before what it would order"},
    {1297, "the barriers of lines 1289 and 1306 do the same"},
    {1306, "the barriers of lines 1289 and 1297 do the same"},
    {1320, "every wait that follows is for all groups"},
    {1339, "nobody reads the last copies"},
    {1340, "what is written next was last read before the barrier of line 1289"},
    {1344, "the bytes are not used again"},
    {1350, "the bytes are not used again"}};
constexpr Unnoticed kOfPointers[] = {
    {241, "the group of line 270 takes its copies in, and the wait covers it"},
    {270, "the group of line 280 takes its copies in, and the wait covers it"},
    {628, "the barrier of line 565 stands behind the last reads of the stages filled next"},
    {1417, "no generic write stands before it: P stays in registers"}};

/// Removes one synchronisation after the other. What is reported need not change a single bit.
TEST_P(SparseFp8, RemovedSynchronisationsAreReported) {
  const bool maps = GetParam();
  const std::filesystem::path ptx = ptx_of(maps);
  Launch launch = make_launch(make_inputs(1, 512), ptx, maps);
  launch.grid = {1, 1, 1};
  launch.limit = 3'000'000;
  const Search search =
      search_removals(std::move(launch), maps ? std::span<const Unnoticed>(kOfMaps) : kOfPointers,
                      long_tests() ? 1 : 5);
  EXPECT_EQ(search.wrong, "");
}

INSTANTIATE_TEST_SUITE_P(Forms, SparseFp8, testing::Values(true, false),
                         [](const auto& each) { return each.param ? "TensorMaps" : "Pointers"; });

}  // namespace
}  // namespace karat::ptx
