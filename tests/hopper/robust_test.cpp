// 200 settings drawn by a fixed generator: nothing made faster costs time, more work never takes
// less, a better board is never slower, and no constant has cliffs.
#include <gtest/gtest.h>

#include <random>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {
namespace {

struct Setting {
  Machine machine;
  PlanRequest request;
  Shape shape;

  double us(const Machine& m, const Timing& t, const Shape& s) const {
    const Plan plan = make_plan(request, m);
    return launch_time(m, t, plan, s, dense(plan, s)).us;
  }
  double us() const { return us(machine, {}, shape); }
  std::string name() const {
    return machine.name + " " + std::string(kernel_name(request.kernel)) + " d" +
           std::to_string(request.head_dim) + " b" + std::to_string(shape.batch) + " h" +
           std::to_string(shape.heads) + " L" + std::to_string(shape.queries) +
           (shape.causality == Causality::causal ? " causal" : "") +
           (request.lengths == Lengths::varying ? " varlen" : "") +
           (request.qk == Element::bf16 ? "" : " 8-bit");
  }
};

std::vector<Setting> settings() {
  std::mt19937 random(20);
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> boards = machine_names();
  std::vector<Setting> out;
  while (out.size() < 200) {
    Setting s{.machine = machine(boards[draw(static_cast<int>(boards.size()))])};
    constexpr Kernel kKernels[] = {Kernel::fa2,  Kernel::fa3,   Kernel::fa3_2024,    Kernel::sta,
                                   Kernel::flex, Kernel::sage2, Kernel::fpsattention};
    s.request.kernel = kKernels[draw(7)];
    constexpr int kDims[] = {64, 72, 80, 96, 128};
    s.request.head_dim = kDims[draw(5)];
    const bool only_8_bit =
        s.request.kernel == Kernel::sage2 || s.request.kernel == Kernel::fpsattention;
    const bool may_8_bit = s.request.kernel == Kernel::fa3 || s.request.kernel == Kernel::fa3_2024;
    if (only_8_bit || (may_8_bit && draw(2) == 1)) {
      s.request.pv = Element::fp8;
      s.request.qk = s.request.kernel == Kernel::sage2 ? Element::int8 : Element::fp8;
      if (only_8_bit) s.request.promote_every = 128;
    }
    if (draw(3) == 0) s.request.causality = Causality::causal;
    if (may_8_bit && draw(3) == 0) s.request.lengths = Lengths::varying;
    const std::int64_t tokens = 64 + draw(1 << (9 + draw(8)));
    s.shape = {.batch = 1 + draw(4),
               .heads = 1 + draw(40),
               .queries = tokens,
               .keys = tokens,
               .head_dim = s.request.head_dim,
               .causality = s.request.causality};
    out.push_back(s);
  }
  return out;
}

struct Knob {
  const char* name;
  double Machine::*member;
};
constexpr Knob kFaster[] = {{"BF16", &Machine::bf16_flop_per_clk},
                            {"FP8", &Machine::fp8_flop_per_clk},
                            {"MUFU", &Machine::mufu_per_clk},
                            {"FP32", &Machine::fp32_per_clk},
                            {"ALU", &Machine::alu_per_clk},
                            {"conversions", &Machine::conversions_per_clk},
                            {"shared memory", &Machine::smem_bytes_per_clk},
                            {"L2 rate", &Machine::l2_gb_per_s},
                            {"L2 size", &Machine::l2_mib},
                            {"HBM", &Machine::hbm_gb_per_s},
                            {"clock", &Machine::clock_mhz}};

TEST(Robust, AFasterPartCostsNothing) {
  double worst = 0;
  for (const Setting& s : settings()) {
    const double before = s.us();
    for (const Knob& knob : kFaster) {
      for (const double more : {1.05, 1.2, 2.0}) {
        Machine m = s.machine;
        m.*knob.member *= more;
        m.short_launch_clock_mhz = std::max(m.short_launch_clock_mhz, m.clock_mhz);
        const double change = s.us(m, {}, s.shape) / before - 1;
        worst = std::max(worst, change);
        EXPECT_LE(change, 0.003) << s.name() << " " << knob.name << " x" << more;
      }
    }
  }
  std::printf("worst: %.3f %%\n", 100 * worst);
}

TEST(Robust, MoreWorkIsNeverFaster) {
  double worst = 0;
  for (const Setting& s : settings()) {
    const double before = s.us();
    const auto longer = [&](double share) {
      Shape more = s.shape;
      more.queries = more.keys = static_cast<std::int64_t>(double(more.keys) * share) + 1;
      return more;
    };
    Shape heads = s.shape, batch = s.shape;
    ++heads.heads, ++batch.batch;
    for (const Shape& more : {longer(1), longer(1.03), longer(1.3), longer(2), heads, batch}) {
      const double change = before / s.us(s.machine, {}, more) - 1;
      worst = std::max(worst, change);
      EXPECT_LE(change, 0.01) << s.name() << " to L" << more.queries << " h" << more.heads << " b"
                              << more.batch;
    }
  }
  std::printf("worst: %.3f %%\n", 100 * worst);
}

TEST(Robust, H200IsNeverSlowerThanH100) {
  for (const Setting& s : settings()) {
    EXPECT_LE(s.us(machine("H200"), {}, s.shape), 1.0001 * s.us(machine("H100"), {}, s.shape))
        << s.name();
  }
}

TEST(Robust, ConstantsHaveNoCliffs) {
  double worst = 0;
  for (const Setting& s : settings()) {
    const double before = s.us();
    for (const TimingConstant& constant : timing_constants()) {
      for (const double change : {1.02, 0.98}) {
        Timing t;
        t.*constant.member *= change;
        const double moved = std::abs(s.us(s.machine, t, s.shape) / before - 1);
        worst = std::max(worst, moved);
        EXPECT_LE(moved, 0.0205) << s.name() << " " << constant.name << " x" << change;
      }
    }
  }
  std::printf("worst: %.3f %%\n", 100 * worst);
}

/// Runs of equal CTAs: the same events for one head and for a billion.
TEST(Robust, AnyLaunchIsAnswered) {
  const Machine m = machine("H100");
  for (const Kernel kernel : {Kernel::fa2, Kernel::fa3, Kernel::flex}) {
    for (const Causality causality : {Causality::none, Causality::causal}) {
      const Plan plan = make_plan({.kernel = kernel, .causality = causality}, m);
      const auto launch = [&](int batch, std::int64_t tokens) {
        const Shape shape{.batch = batch,
                          .heads = 40,
                          .queries = tokens,
                          .keys = tokens,
                          .head_dim = 128,
                          .causality = causality};
        return launch_time(m, {}, plan, shape, dense(plan, shape));
      };
      const LaunchTime few = launch(1000, 4096), many = launch(1000000, 4096);
      EXPECT_NEAR(many.clocks / few.clocks, 1000, 5) << kernel_name(kernel);
      EXPECT_EQ(many.events, few.events) << kernel_name(kernel);
      const LaunchTime one = launch(1, 1 << 20), longer = launch(1, 1 << 24);
      EXPECT_NEAR(longer.clocks / one.clocks, 256, 8) << kernel_name(kernel);
    }
  }
}

}  // namespace
}  // namespace karat::hopper
