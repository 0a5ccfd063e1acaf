// A warp-specialised kernel with the structure of FlashAttention-3's forward
// (tests/data/kernels/fa3_forward.cu), compiled by nvcc, against fa3_bf16 and fa3_fp8.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <span>

#include "cases.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/files/paths.hpp"
#include "kernel_case.hpp"
#include "removals.hpp"
#include "schedules.hpp"

namespace karat::kernels {
namespace {

constexpr std::size_t kStages = 2, kKeys = 176;
constexpr std::uint64_t kHalf = 64;

/// Three blocks of keys, the last one short; of two pairs of tiles the last one ends early.
constexpr video::Extent3 kGrid{1, 20, 21};
const Case& plain_case() {
  static const Case made = make_case("fa3_bf16", kGrid, 2);
  return made;
}

/// [heads, tokens, channels] as the kernel has it: [tokens, heads, channels].
ptx::LaunchTensor interleaved(const Case& of, quant::Quantised attention::QuantisedHead::*operand) {
  const std::size_t heads = of.heads.size();
  std::vector<float> all(of.positions() * heads * kChannels);
  for (std::size_t h = 0; h < heads; ++h) {
    const std::vector<float>& values = (of.heads[h].*operand).values;
    for (std::size_t p = 0; p < of.positions(); ++p)
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(p * kChannels), kChannels,
                  all.begin() + static_cast<std::ptrdiff_t>((p * heads + h) * kChannels));
  }
  return bf16({of.positions(), heads, kChannels}, all);
}

ptx::TensorMapArgument map_of(const std::string& name, const Case& of, std::uint32_t rows,
                              std::uint32_t halves) {
  const std::uint64_t tokens = of.positions(), heads = of.heads.size();
  const std::uint64_t row = heads * kChannels * 2;
  return {.tensor = name,
          .shape = {1, heads, 2, tokens, kHalf},
          .strides = {tokens * row, kChannels * 2, kHalf * 2, row},
          .box = {1, 1, halves, rows, kHalf},
          .swizzle = "128B"};
}

/// What both forms take: the output, and numbers behind the four maps.
ptx::Launch launch_of(const char* file, const Case& of, std::size_t shared, float scale) {
  const auto path = std::filesystem::path(KARAT_SOURCE_DIR) / "tests/data/kernels" / file;
  const std::size_t tokens = of.positions(), heads = of.heads.size();
  ptx::Launch launch{.ptx = files::read_text(path), .file = file};
  // One cluster for all pairs of tiles, so that it stays.
  launch.grid = {2, 1, 1};
  launch.block = {384, 1, 1};
  launch.cluster = {2, 1, 1};
  launch.dynamic_shared = static_cast<std::uint32_t>(shared);
  launch.fuse = ptx::Fuse::ptxas;
  launch.tensors["out"] = output(files::DType::bf16, {tokens, heads, kChannels});
  launch.tensors["lse"] = output(files::DType::f32, {heads, tokens});
  launch.arguments = {map_of("out", of, 128, 2),
                      ptx::PointerArgument{"lse"},
                      scalar(static_cast<std::uint32_t>(tokens)),
                      scalar(static_cast<std::uint32_t>(heads)),
                      scalar(std::uint32_t{1}),
                      scalar(scale)};
  return launch;
}

ptx::Launch forward_launch(const Case& of) {
  ptx::Launch launch = launch_of("fa3_forward.ptx", of,
                                 128 * kChannels * 2 + 2 * kStages * kKeys * kChannels * 2 + 128,
                                 static_cast<float>(1.4426950408889634 / std::sqrt(kChannels)));
  launch.tensors["q"] = interleaved(of, &attention::QuantisedHead::q);
  launch.tensors["k"] = interleaved(of, &attention::QuantisedHead::k);
  launch.tensors["v"] = interleaved(of, &attention::QuantisedHead::v);
  launch.arguments.insert(
      launch.arguments.begin(),
      {map_of("q", of, 128, 2), map_of("k", of, kKeys, 1), map_of("v", of, kKeys, 1)});
  return launch;
}

constexpr std::size_t kFp8Keys = 224, kGroup = 32;

/// Which key stands at a place of V: of 16 those of the scores that a lane has in a row, which
/// wgmma takes as neighbours.
std::size_t key_at(std::size_t place) {
  const std::size_t lane = place % 16 / 4, i = place % 4;
  return place / 16 * 16 + 2 * lane + (i < 2 ? i : 8 + i - 2);
}

/// One head. V is [channels, keys], keys of 32 a dimension of its map.
ptx::Launch fp8_launch(const Case& of) {
  const attention::QuantisedHead& head = of.heads.front();
  const std::uint64_t tokens = of.positions(), width = (tokens + kGroup - 1) / kGroup * kGroup;
  std::vector<std::uint8_t> vt(kChannels * width);
  for (std::size_t at = 0; at < width; ++at)
    for (std::size_t c = 0; c < kChannels && key_at(at) < tokens; ++c)
      vt[c * width + at] = head.v.codes[key_at(at) * kChannels + c];
  ptx::Launch launch = launch_of(
      "fa3_forward_fp8.ptx", of,
      128 * kChannels + 2 * kStages * kFp8Keys * kChannels + 128 * kChannels * 2 + 128,
      attention::Kernel(of.recipe, kChannels).factor(head.q.scale(0, 0), head.k.scale(0, 0)));
  launch.tensors["q"] = codes({tokens, kChannels}, head.q.codes);
  launch.tensors["k"] = codes({tokens, kChannels}, head.k.codes);
  launch.tensors["v"] = codes({kChannels, width}, vt);
  const auto rows = [&](const char* name, std::uint32_t box) {
    return ptx::TensorMapArgument{
        .tensor = name,
        .shape = {1, 1, 1, tokens, kChannels},
        .strides = {tokens * kChannels, tokens * kChannels, kChannels, kChannels},
        .box = {1, 1, 1, box, kChannels},
        .swizzle = "128B"};
  };
  launch.arguments.insert(
      launch.arguments.begin(),
      {rows("q", 128), rows("k", kFp8Keys / 2),
       ptx::TensorMapArgument{.tensor = "v",
                              .shape = {1, 1, width / kGroup, kChannels, kGroup},
                              .strides = {kChannels * width, kChannels * width, kGroup, width},
                              .box = {1, 1, kFp8Keys / kGroup, kHalf, kGroup},
                              .swizzle = "32B"}});
  launch.arguments.push_back(scalar(head.v.scale(0, 0)));
  return launch;
}

/// [tokens, heads, channels] as [heads, tokens, channels].
std::vector<float> by_heads(const std::vector<float>& rows, std::size_t heads) {
  std::vector<float> all;
  const std::size_t tokens = rows.size() / heads / kChannels;
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t p = 0; p < tokens; ++p) {
      const auto from = rows.begin() + static_cast<std::ptrdiff_t>((p * heads + h) * kChannels);
      all.insert(all.end(), from, from + kChannels);
    }
  return all;
}

void expect_the_preset(const ptx::Launch& launch, const Case& of) {
  const Outputs wanted = expected(of);
  expect_clean_runs(launch, [&](const ptx::Outcome& outcome) {
    const auto out = by_heads(values_of(outcome.outputs.at("out")), of.heads.size());
    EXPECT_EQ(differing(out, wanted.out), 0u);
    EXPECT_EQ(differing(values_of(outcome.outputs.at("lse")), wanted.lse), 0u);
  });
}

TEST(WarpSpecialisedForward, IsThePresetUnderEverySchedule) {
  expect_the_preset(forward_launch(plain_case()), plain_case());
}

TEST(WarpSpecialisedForward, InFp8ItIsThePresetToo) {
  const Case of = make_case("fa3_fp8", kGrid, 1);
  ptx::Launch launch = fp8_launch(of);
  expect_the_preset(launch, of);
  const ptx::Outcome plain = ptx::run(launch);
  const auto out = values_of(plain.outputs.at("out")), lse = values_of(plain.outputs.at("lse"));
  for (const char* edit :
       {R"("softmax": {"row_sum_start": "separate"})", R"("p": {"offset_enters": "separate"})",
        R"("pv": {"promote_every": 32})", R"("block": {"order": "ascending"})"}) {
    const Outputs made =
        expected(make_case(R"({"base": "fa3_fp8", )" + std::string(edit) + "}", kGrid, 1));
    EXPECT_GT(differing(made.out, out) + differing(made.lse, lse), 0u) << edit;
  }
}

TEST(WarpSpecialisedForward, OtherRoundingsShow) {
  ptx::Launch launch = forward_launch(plain_case());
  const ptx::Outcome fused = ptx::run(launch);
  EXPECT_GT(fused.fused, 0u);
  const auto out = by_heads(values_of(fused.outputs.at("out")), 2);
  const auto lse = values_of(fused.outputs.at("lse"));
  for (const char* edit :
       {R"("softmax": {"row_sum_start": "separate"})", R"("block": {"order": "ascending"})",
        R"("qk": {"scale_order": "product_first"})"}) {
    const Case other = make_case(R"({"base": "fa3_bf16", )" + std::string(edit) + "}", kGrid, 2);
    const Outputs made = expected(other);
    EXPECT_GT(differing(made.out, out) + differing(made.lse, lse), 0u) << edit;
  }
  // What the assembler joins beside what the compiler has joined.
  launch.fuse = ptx::Fuse::none;
  EXPECT_GT(differing(values_of(ptx::run(launch).outputs.at("lse")), lse), 0u);
}

/// Launches of one head, each of another number of tokens, with one synchronisation after the other
/// taken out.
void expect_noticed(const char* preset, ptx::Launch (*launch_of)(const Case&),
                    std::initializer_list<int> tokens, std::span<const ptx::Unnoticed> needless) {
  std::vector<ptx::Launch> launches;
  for (const int each : tokens) {
    launches.push_back(launch_of(make_case(preset, {1, 20, each / 20}, 1)));
    launches.back().limit = 20'000'000;
  }
  if (!ptx::long_tests()) launches.resize(1);
  const ptx::Search search =
      ptx::search_removals(std::move(launches), needless, ptx::long_tests() ? 1 : 19);
  EXPECT_EQ(search.wrong, "");
}

constexpr const char* kOfTheLastBlock =
    "a warp frees the keys of a block before the values of the one before, for which the producer "
    "has waited: but for the third block of a tile";
constexpr const char* kOfTheEnd =
    "the last wait is for the values of the last block, freed behind all others";
constexpr const char* kSameFence = "its registers rest since the fence of the scores";
constexpr const char* kLanesMeet = "the lanes meet at the bar.arrive behind it, or leave";

// The producer's loop is unrolled by four with up to three blocks before it: 7, 6, 5 and 4 blocks
// of keys take each of its ways.
TEST(WarpSpecialisedForward, EachSynchronisationThatIsRemovedIsNoticed) {
  constexpr ptx::Unnoticed kNeedless[] = {
      {228, kOfTheLastBlock}, {313, kOfTheLastBlock}, {737, kOfTheLastBlock}, {833, kOfTheEnd},
      {845, kOfTheEnd},       {862, kOfTheEnd},       {3051, kSameFence},     {4999, kLanesMeet}};
  expect_noticed("fa3_bf16", forward_launch, {1100, 1000, 840, 700}, kNeedless);
}

TEST(WarpSpecialisedForward, SoItIsInFp8) {
  constexpr ptx::Unnoticed kNeedless[] = {
      {237, kOfTheLastBlock}, {324, kOfTheLastBlock}, {765, kOfTheLastBlock}, {865, kOfTheEnd},
      {877, kOfTheEnd},       {894, kOfTheEnd},       {3377, kSameFence},     {5812, kLanesMeet}};
  expect_noticed("fa3_fp8", fp8_launch, {1360, 1200, 1000, 840}, kNeedless);
}

}  // namespace
}  // namespace karat::kernels
