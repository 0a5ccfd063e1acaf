// Compiled kernels against the recipes they are kernels of: every output, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cases.hpp"
#include "removals.hpp"

namespace karat::kernels {
namespace {

// 4 + 4 tiles, a row of them short, blocks that straddle tiles along the sequence.
constexpr video::Extent3 kGrid{6, 9, 28};

std::size_t heads() { return ptx::long_tests() ? 2 : 1; }

ptx::Outcome ran(ptx::Launch launch) {
  ptx::Outcome outcome = ptx::run(std::move(launch));
  EXPECT_EQ(outcome.fault.value_or(""), "");
  return outcome;
}

void expect_equal(const ptx::Outcome& outcome, const std::string& name,
                  const std::vector<float>& wanted) {
  const std::vector<float> made = values_of(outcome.outputs.at(name));
  ASSERT_EQ(made.size(), wanted.size()) << name;
  EXPECT_EQ(differing(made, wanted), 0u) << name << ": of " << wanted.size();
}

void expect_outputs(ptx::Launch launch, const Outputs& wanted) {
  const ptx::Outcome outcome = ran(std::move(launch));
  expect_equal(outcome, "out", wanted.out);
  expect_equal(outcome, "lse", wanted.lse);
}

TEST(CompiledKernel, FpsAttentionIsItsPreset) {
  const Case of = make_case("fpsattention", kGrid, heads());
  expect_outputs(fpsattention_launch(of), expected(of));
}

TEST(CompiledKernel, StaIsItsPreset) {
  const Case of = make_case("sta_bf16", kGrid, heads());
  expect_outputs(sta_launch(of), expected(of));
}

constexpr const char* kFlexAsTritonRounds = R"({"base": "flex_bf16",
  "softmax": {"row_sum_order": "thread_tree", "lse": "log2"},
  "finish": {"reciprocal": "div_full", "logarithm": "libdevice"}, "subnormals": "keep"})";

TEST(CompiledKernel, FlexIsItsPresetWithTritonsSumAndDivision) {
  const Case of = make_case(kFlexAsTritonRounds, kGrid, heads());
  expect_outputs(flex_launch(of), expected(of));
}

TEST(CompiledKernel, FlexBackwardIsItsPreset) {
  const Case of = make_case("flex_bf16", kGrid, heads());
  const Outputs forward = expected(of);
  const Gradients wanted = expected_gradients(of, forward);
  const ptx::Outcome delta = ran(delta_launch(of, forward));
  expect_equal(delta, "delta", wanted.delta);
  expect_equal(ran(dq_launch(of, forward, wanted.delta)), "dq", wanted.dq);
  const ptx::Outcome dkv = ran(dkv_launch(of, forward, wanted.delta));
  expect_equal(dkv, "dk", wanted.dk);
  expect_equal(dkv, "dv", wanted.dv);
}

}  // namespace
}  // namespace karat::kernels
