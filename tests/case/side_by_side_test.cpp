// Heads side by side: the rule, the same results, the order of deliveries, failures, memory.
#include "karat/case/side_by_side.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "karat/attention/attend.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/given_mask.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {
namespace {

constexpr double kPlenty = 1e12;

TEST(SideBySide, Rule) {
  const auto plan = [](std::size_t heads, std::size_t blocks, int threads, double memory = 100) {
    return side_by_side({.heads = heads,
                         .query_blocks = blocks,
                         .threads = threads,
                         .head_bytes = 1,
                         .memory = memory});
  };
  const SideBySide none{};
  EXPECT_EQ(plan(24, 32, 2), (SideBySide{24, 2}));
  EXPECT_EQ(plan(25, 32, 2), (SideBySide{24, 2})) << "the last one runs on both threads";
  EXPECT_EQ(plan(24, 32, 64), none) << "24 threads would idle less than 40";
  EXPECT_EQ(plan(48, 32, 64), (SideBySide{48, 48}));
  EXPECT_EQ(plan(64, 32, 64), (SideBySide{64, 64}));
  EXPECT_EQ(plan(100, 32, 64), (SideBySide{100, 64}));
  EXPECT_EQ(plan(70, 32, 64), (SideBySide{64, 64})) << "6 after each other: 6 rounds, not 32";
  EXPECT_EQ(plan(1, 4, 8), none);
  EXPECT_EQ(plan(24, 32, 1), none);
  EXPECT_EQ(plan(24, 2 * kBlocksAThread, 2), none) << "a large head keeps both at work";
  EXPECT_EQ(plan(24, 2 * kBlocksAThread - 2, 2), (SideBySide{24, 2}));
}

TEST(SideBySide, FewerWhereMemoryIsShort) {
  const auto at_once = [](double memory, std::size_t blocks = 5) {
    return side_by_side({.heads = 80,
                         .query_blocks = blocks,
                         .threads = 8,
                         .head_bytes = 10,
                         .memory = memory})
        .at_once;
  };
  EXPECT_EQ(at_once(1000), 8);
  EXPECT_EQ(at_once(80), 8);
  EXPECT_EQ(at_once(79), 7);
  EXPECT_EQ(at_once(51), 5);
  EXPECT_EQ(at_once(49), 1) << "5 blocks on 5 threads beat 4 heads on 4";
  EXPECT_EQ(at_once(0), 1);
  EXPECT_EQ(at_once(79, 16), 1) << "16 blocks fill 8 threads, which 7 heads do not";
}

TEST(SideBySide, MemoryOfAHeadGrowsWithItsTokensAndTaps) {
  const auto of = [](int frames, const char* recipe = "fpsattention") {
    return make_case(recipe::preset(recipe),
                     generated_inputs({.grid = {frames, 8, 8}, .heads = 4, .head_dim = 64}, 0));
  };
  const double values = 3.0 * 4 * 128 * 64;  // q, k and v of 128 tokens
  EXPECT_GT(head_bytes(of(2)), 3 * values);
  EXPECT_GE(head_bytes(of(4)), 2 * head_bytes(of(2)));
  EXPECT_EQ(tap_bytes(of(2), "none"), 0);
  EXPECT_EQ(tap_bytes(of(2), "1,0"), 2 * tap_bytes(of(2), "0"));
  EXPECT_EQ(tap_bytes(of(20), ""), 8 * tap_bytes(of(20), "0"));
  EXPECT_EQ(tap_bytes(of(20), "all"), 20 * tap_bytes(of(20), "0"));
  EXPECT_GT(tap_bytes(of(2), "0"), 64.0 * 128 * 17) << "a, s, p, its codes";
  EXPECT_GT(free_memory(), 1e6);
}

TEST(Together, AddsUpTheSharesOfAllHeads) {
  std::vector<std::size_t> seen;
  Together together(3, [&](std::size_t done, std::size_t total) {
    EXPECT_EQ(total, 3000u);
    seen.push_back(done);
  });
  together.steps(1)(1, 2);
  together.update(0, 0, 3, 4, 4);
  together.update(0, 2, 3, 4, 4);
  together.update(0, 1, 3, 1, 4);  // late
  together.steps(2)(7, 7);
  together.steps(1)(2, 2);
  EXPECT_THAT(seen, testing::ElementsAre(500, 833, 1500, 1500, 2500, 3000));
  EXPECT_FALSE(Together(3, {}).steps(0));
}

/// What visits of a case leave behind, in the order of deliveries.
struct Left {
  std::vector<std::size_t> numbers;
  std::vector<float> o, lse;
  int most = 0;     ///< heads under way at once
  int at_once = 0;  ///< the largest that a head was told
};

Left left_by(const Case& of, const HeadLoop& loop) {
  Left left;
  std::mutex mutex;
  int under_way = 0;
  HeadLoop counting = loop;
  counting.begin = [&](std::size_t number) {
    const std::lock_guard lock(mutex);
    left.most = std::max(left.most, ++under_way);
    if (loop.begin) loop.begin(number);
  };
  compute_heads(of, counting, [&](HeadAtWork& work) -> Delivery {
    const auto made = std::make_shared<attention::HeadResult>(
        attention::attend(of.recipe, work.layout, work.operands, {.threads = work.threads}));
    return [&, made] {
      EXPECT_EQ(work.batch * of.shape().heads + work.head, work.number);
      left.numbers.push_back(work.number);
      left.o.insert(left.o.end(), made->o.begin(), made->o.end());
      left.lse.insert(left.lse.end(), made->lse.begin(), made->lse.end());
      left.at_once = std::max(left.at_once, work.at_once);
      const std::lock_guard lock(mutex);
      --under_way;
    };
  });
  return left;
}

/// The same by the plain loop on one thread.
Left one_after_the_other(const Case& of) {
  Left left;
  for_each_head(of, {.threads = 1}, [&](HeadAtWork& work) {
    const auto made = attention::attend(of.recipe, work.layout, work.operands, {.threads = 1});
    left.o.insert(left.o.end(), made.o.begin(), made.o.end());
    left.lse.insert(left.lse.end(), made.lse.begin(), made.lse.end());
  });
  return left;
}

void expect_same_for_any_threads(const Case& of, const std::string& what) {
  SCOPED_TRACE(what);
  const Left expected = one_after_the_other(of);
  const std::size_t heads = of.shape().batch * of.shape().heads;
  for (const int threads : {1, 2, 3, 8}) {
    const Left left = left_by(of, {.threads = threads, .memory = kPlenty});
    EXPECT_EQ(left.o, expected.o) << threads;
    EXPECT_EQ(left.lse, expected.lse) << threads;
    EXPECT_EQ(left.numbers.size(), heads);
    EXPECT_TRUE(std::ranges::is_sorted(left.numbers));
    EXPECT_EQ(left.at_once, threads) << "were they side by side?";
    EXPECT_LE(left.most, threads);
  }
}

video::WorkloadSpec heads_of(int heads) {
  return {.grid = {2, 8, 8}, .batch = 2, .heads = heads, .head_dim = 32};
}

TEST(ComputeHeads, ThreadsDecideNothing) {
  // Scales of each head and of all heads, masks of the grid, predicted ones, a second branch.
  for (const char* name : {"fpsattention", "xdit_flash3_fp8", "sage2_sm90", "sta_bf16", "svg2",
                           "sparge_sm90", "nabla", "sla"})
    expect_same_for_any_threads(make_case(recipe::preset(name), generated_inputs(heads_of(9), 0)),
                                name);
}

TEST(ComputeHeads, HeadsThatShareKAndVDecideNothing) {
  expect_same_for_any_threads(
      make_case(recipe::preset("fa3_fp8"), generated_inputs(heads_of(9), 0, 3)), "9 on 3");
}

TEST(ComputeHeads, MasksOfEachHeadDecideNothing) {
  constexpr std::size_t kHeads = 9, kRows = 128;
  std::vector<std::uint8_t> keep(kHeads * kRows * kRows);
  for (std::size_t h = 0; h < kHeads; ++h)
    for (std::size_t i = 0; i < kRows; ++i)
      for (std::size_t j = 0; j < kRows; ++j)
        keep[(h * kRows + i) * kRows + j] = i == j || (i + j) % (h + 2) == 0;
  const auto mask = std::make_shared<GivenMask>(
      files::Tensors{
          {"mask", files::make_tensor(files::DType::u8, {1, kHeads, kRows, kRows}, keep)}},
      "test");
  const Case of = make_case(recipe::preset("fa3_fp8"), generated_inputs(heads_of(kHeads), 0), mask);
  ASSERT_EQ(layouts_of(of), Layouts::per_head);
  expect_same_for_any_threads(of, "given");
}

/// Heads of one safetensors file, rows of a head together (BHSD) or apart (BSHD).
void write_heads(const std::string& path, const Inputs& inputs, TensorLayout layout) {
  const auto& [batch, heads, rows, channels] = HeadShape{
      inputs.shape().batch, inputs.shape().heads, inputs.shape().tokens(), inputs.shape().channels};
  const bool bshd = layout == TensorLayout::bshd;
  files::Tensors tensors;
  for (const char name : {'q', 'k', 'v'}) {
    std::vector<float> all(batch * heads * rows * channels);
    for (std::size_t b = 0; b < batch; ++b)
      for (std::size_t h = 0; h < heads; ++h) {
        const HeadValues values = inputs.values(b, h, 1);
        const auto& from = name == 'q' ? values.q : name == 'k' ? values.k : values.v;
        for (std::size_t i = 0; i < rows; ++i) {
          const std::size_t row = bshd ? (b * rows + i) * heads + h : (b * heads + h) * rows + i;
          std::copy_n(&from[i * channels], channels, &all[row * channels]);
        }
      }
    const files::Shape shape = bshd ? files::Shape{batch, rows, heads, channels}
                                    : files::Shape{batch, heads, rows, channels};
    tensors[std::string(1, name)] = encoded(all, numerics::FormatId::bf16, shape);
  }
  files::write_safetensors(path, tensors);
}

TEST(ComputeHeads, ReadsOfOneFileByManyThreadsDecideNothing) {
  const std::string path =
      testing::TempDir() + "side_by_side_" + std::to_string(getpid()) + ".safetensors";
  const auto recipe = recipe::preset("fpsattention");
  const Left expected = one_after_the_other(make_case(recipe, generated_inputs(heads_of(9), 0)));
  for (const TensorLayout layout : {TensorLayout::bhsd, TensorLayout::bshd}) {
    write_heads(path, *generated_inputs(heads_of(9), 0), layout);
    const Case of =
        make_case(recipe, file_inputs({path}, {.grid = video::Extent3{2, 8, 8}, .layout = layout}));
    expect_same_for_any_threads(of, "file");
    EXPECT_EQ(one_after_the_other(of).o, expected.o);
  }
  std::filesystem::remove(path);
}

TEST(ComputeHeads, AsManyAreUnderWayAsMemoryHolds) {
  const Case of = make_case(recipe::preset("fpsattention"), generated_inputs(heads_of(16), 0));
  const double each = head_bytes(of) + 1000;
  const Left left = left_by(of, {.threads = 8, .visit_bytes = 1000, .memory = 3.5 * each});
  EXPECT_EQ(left.at_once, 3);
  EXPECT_LE(left.most, 3);
  EXPECT_EQ(left.o, one_after_the_other(of).o);
  EXPECT_EQ(left_by(of, {.threads = 8, .memory = 0}).at_once, 1);
}

/// Heads of which some cannot be read.
class Damaged final : public Inputs {
 public:
  Damaged(std::vector<std::size_t> bad, std::size_t heads)
      : Inputs({.grid = {1, 1, 64}, .heads = heads, .channels = 32}), bad_(std::move(bad)) {}
  files::Json source() const override { return {}; }
  files::DType dtype() const override { return files::DType::f32; }
  HeadValues values(std::size_t, std::size_t head, int) const override {
    if (std::ranges::find(bad_, head) != bad_.end())
      throw Error(ErrorKind::input_output, "head " + std::to_string(head), "is damaged");
    const std::vector<float> ones(64 * 32, 1.0f);
    return {.q = ones, .k = ones, .v = ones};
  }

 private:
  std::vector<std::size_t> bad_;
};

TEST(ComputeHeads, TheFirstFailureComesOutBehindAllHeadsBeforeIt) {
  const Case of =
      make_case(recipe::preset("fa3_fp8"), std::make_shared<Damaged>(std::vector{5ul, 4ul}, 12));
  for (const int threads : {1, 2, 3, 8}) {
    std::vector<std::size_t> delivered;
    const auto visit = [&](HeadAtWork& work) -> Delivery {
      return [&] { delivered.push_back(work.number); };
    };
    EXPECT_THAT([&] { compute_heads(of, {.threads = threads, .memory = kPlenty}, visit); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("head 4: is damaged")));
    EXPECT_THAT(delivered, testing::ElementsAre(0, 1, 2, 3)) << threads;
  }
}

TEST(ComputeHeads, AHeadThatNoScaleOfAllCanSeeIsNamed) {
  const Case of = make_case(recipe::preset("xdit_flash3_fp8"),
                            std::make_shared<Damaged>(std::vector{6ul, 7ul}, 12));
  for (const int threads : {1, 8})
    EXPECT_THAT(
        [&] {
          compute_heads(of, {.threads = threads, .memory = kPlenty},
                        [](HeadAtWork&) -> Delivery { return {}; });
        },
        testing::ThrowsMessage<Error>(testing::HasSubstr("head 6: is damaged")));
}

}  // namespace
}  // namespace karat::cases
