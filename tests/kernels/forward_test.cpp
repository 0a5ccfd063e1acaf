// A warp-specialised kernel with the structure of FlashAttention-3's BF16 forward
// (tests/data/kernels/fa3_forward.cu), compiled by nvcc, against fa3_bf16.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cases.hpp"
#include "karat/files/paths.hpp"
#include "kernel_case.hpp"
#include "removals.hpp"

namespace karat::kernels {
namespace {

constexpr std::size_t kHeads = 2, kStages = 2, kKeys = 176;
constexpr std::uint64_t kHalf = 64;

/// Three blocks of keys, the last one short; of two pairs of tiles the last one ends early.
constexpr video::Extent3 kGrid{1, 20, 21};
const Case& plain_case() {
  static const Case made = make_case("fa3_bf16", kGrid, kHeads);
  return made;
}

/// [heads, tokens, channels] as the kernel has it: [tokens, heads, channels].
ptx::LaunchTensor interleaved(const Case& of, quant::Quantised attention::QuantisedHead::*operand) {
  std::vector<float> all(of.positions() * kHeads * kChannels);
  for (std::size_t h = 0; h < kHeads; ++h) {
    const std::vector<float>& values = (of.heads[h].*operand).values;
    for (std::size_t p = 0; p < of.positions(); ++p)
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(p * kChannels), kChannels,
                  all.begin() + static_cast<std::ptrdiff_t>((p * kHeads + h) * kChannels));
  }
  return bf16({of.positions(), kHeads, kChannels}, all);
}

ptx::TensorMapArgument map_of(const std::string& name, std::uint64_t tokens, std::uint32_t rows,
                              std::uint32_t halves) {
  const std::uint64_t row = kHeads * kChannels * 2;
  return {.tensor = name,
          .shape = {1, kHeads, 2, tokens, kHalf},
          .strides = {tokens * row, kChannels * 2, kHalf * 2, row},
          .box = {1, 1, halves, rows, kHalf},
          .swizzle = "128B"};
}

ptx::Launch forward_launch(const Case& of) {
  const auto path = std::filesystem::path(KARAT_SOURCE_DIR) / "tests/data/kernels/fa3_forward.ptx";
  const std::size_t tokens = of.positions();
  ptx::Launch launch{.ptx = files::read_text(path), .file = "fa3_forward.ptx"};
  // One cluster for all pairs of tiles, so that it stays.
  launch.grid = {2, 1, 1};
  launch.block = {384, 1, 1};
  launch.cluster = {2, 1, 1};
  launch.dynamic_shared = 128 * kChannels * 2 + 2 * kStages * kKeys * kChannels * 2 + 128;
  launch.fuse = ptx::Fuse::ptxas;
  launch.tensors["q"] = interleaved(of, &attention::QuantisedHead::q);
  launch.tensors["k"] = interleaved(of, &attention::QuantisedHead::k);
  launch.tensors["v"] = interleaved(of, &attention::QuantisedHead::v);
  launch.tensors["out"] = output(files::DType::bf16, {tokens, kHeads, kChannels});
  launch.tensors["lse"] = output(files::DType::f32, {kHeads, tokens});
  launch.arguments = {map_of("q", tokens, 128, 2),
                      map_of("k", tokens, kKeys, 1),
                      map_of("v", tokens, kKeys, 1),
                      map_of("out", tokens, 128, 2),
                      ptx::PointerArgument{"lse"},
                      scalar(static_cast<std::uint32_t>(tokens)),
                      scalar(static_cast<std::uint32_t>(kHeads)),
                      scalar(std::uint32_t{1}),
                      scalar(static_cast<float>(1.4426950408889634 / std::sqrt(kChannels)))};
  return launch;
}

/// [tokens, heads, channels] as [heads, tokens, channels].
std::vector<float> by_heads(const std::vector<float>& rows) {
  std::vector<float> all;
  const std::size_t tokens = rows.size() / kHeads / kChannels;
  for (std::size_t h = 0; h < kHeads; ++h)
    for (std::size_t p = 0; p < tokens; ++p) {
      const auto from = rows.begin() + static_cast<std::ptrdiff_t>((p * kHeads + h) * kChannels);
      all.insert(all.end(), from, from + kChannels);
    }
  return all;
}

TEST(WarpSpecialisedForward, IsThePresetUnderEverySchedule) {
  ptx::Launch launch = forward_launch(plain_case());
  const Outputs wanted = expected(plain_case());
  const std::uint64_t seeds = ptx::long_tests() ? 100 : 1;
  launch.hazards = ptx::HazardSearch::on;
  for (std::uint64_t i = 0; i < seeds + 2; ++i) {
    launch.schedule = i == 0   ? ptx::Schedule::eager
                      : i == 1 ? ptx::Schedule::late
                               : ptx::Schedule::random;
    launch.seed = i;
    const ptx::Outcome outcome = ptx::run(launch);
    EXPECT_EQ(outcome.fault.value_or(""), "") << i;
    EXPECT_THAT(outcome.hazards, testing::IsEmpty()) << i;
    EXPECT_EQ(differing(by_heads(values_of(outcome.outputs.at("out"))), wanted.out), 0u) << i;
    EXPECT_EQ(differing(values_of(outcome.outputs.at("lse")), wanted.lse), 0u) << i;
  }
}

TEST(WarpSpecialisedForward, OtherRoundingsShow) {
  ptx::Launch launch = forward_launch(plain_case());
  const ptx::Outcome fused = ptx::run(launch);
  EXPECT_GT(fused.fused, 0u);
  const auto out = by_heads(values_of(fused.outputs.at("out")));
  const auto lse = values_of(fused.outputs.at("lse"));
  for (const char* edit :
       {R"("softmax": {"row_sum_start": "separate"})", R"("block": {"order": "ascending"})",
        R"("qk": {"scale_order": "product_first"})"}) {
    const Case other =
        make_case(R"({"base": "fa3_bf16", )" + std::string(edit) + "}", kGrid, kHeads);
    const Outputs made = expected(other);
    EXPECT_GT(differing(made.out, out) + differing(made.lse, lse), 0u) << edit;
  }
  // What the assembler joins beside what the compiler has joined.
  launch.fuse = ptx::Fuse::none;
  EXPECT_GT(differing(values_of(ptx::run(launch).outputs.at("lse")), lse), 0u);
}

}  // namespace
}  // namespace karat::kernels
