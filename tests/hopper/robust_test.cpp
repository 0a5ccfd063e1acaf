// 200 settings drawn by a fixed generator: nothing made faster costs time, more work never takes
// less, a better board is never slower, and no constant has cliffs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "karat/hopper/launch.hpp"

namespace karat::hopper {
namespace {

enum class Direction { forward, backward };

struct Setting {
  Machine machine;
  PlanRequest request;
  Shape shape;
  Direction direction = Direction::forward;

  BlockLists lists() const { return request.lists.value_or(BlockLists::computed); }
  std::vector<Plan> plans(const Machine& m) const {
    if (direction == Direction::forward) return {make_plan(request, m)};
    return make_backward_plans(request.kernel, request.head_dim, request.causality, lists(), m);
  }
  /// @param division of the keys; empty: by the kernel's rule
  double us(const Machine& m, const Timing& t, const Shape& s,
            std::optional<KeySplits> division = {}) const {
    double sum = 0;
    for (Plan plan : plans(m)) {
      plan.division = division;
      Work work = dense(plan, s);
      work.listed = lists() != BlockLists::computed;
      sum += launch_time(m, t, plan, s, work).us;
    }
    return sum;
  }
  double us() const { return us(machine, {}, shape); }
  KeySplits splits(const Shape& s) const {
    return direction == Direction::forward ? key_splits(make_plan(request, machine), s, machine.sms)
                                           : KeySplits{};
  }
  std::string name() const {
    return machine.name + " " + std::string(kernel_name(request.kernel)) + " d" +
           std::to_string(request.head_dim) + " b" + std::to_string(shape.batch) + " h" +
           std::to_string(shape.heads) + "/" + std::to_string(shape.key_heads()) + " L" +
           std::to_string(shape.queries) + (shape.causality == Causality::causal ? " causal" : "") +
           (request.lengths == Lengths::varying ? " varlen" : "") +
           (request.splits == Splits::heuristic ? " split keys" : "") +
           (lists() == BlockLists::read    ? " lists"
            : lists() == BlockLists::ahead ? " lists read ahead"
                                           : "") +
           (direction == Direction::backward ? " backward" : "") +
           (request.qk == Element::bf16 ? "" : " 8-bit");
  }
};

std::vector<Setting> settings(unsigned seed = 20, std::size_t count = 200) {
  std::mt19937 random(seed);
  const auto draw = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> boards = machine_names();
  std::vector<Setting> out;
  while (out.size() < count) {
    Setting s{.machine = machine(boards[draw(static_cast<int>(boards.size()))])};
    PlanRequest& r = s.request;
    constexpr Kernel kKernels[] = {Kernel::fa2,  Kernel::fa3,   Kernel::fa3_2024,    Kernel::sta,
                                   Kernel::flex, Kernel::sage2, Kernel::fpsattention};
    r.kernel = kKernels[draw(7)];
    constexpr int kDims[] = {64, 72, 80, 96, 128, 192, 256};
    r.head_dim = kDims[draw(r.kernel == Kernel::sage2 ? 5 : 7)];  // it ends at 128
    const bool only_8_bit = r.kernel == Kernel::sage2 || r.kernel == Kernel::fpsattention;
    const bool fa3 = r.kernel == Kernel::fa3 || r.kernel == Kernel::fa3_2024;
    const bool has_backward =
        r.kernel == Kernel::fa2 || r.kernel == Kernel::fa3 || r.kernel == Kernel::flex;
    if (has_backward && draw(3) == 0) s.direction = Direction::backward;
    const bool forward = s.direction == Direction::forward;
    if (only_8_bit || (fa3 && forward && draw(2) == 1)) {
      r.pv = Element::fp8;
      r.qk = r.kernel == Kernel::sage2 ? Element::int8 : Element::fp8;
      if (only_8_bit && r.head_dim <= 128) r.promote_every = 128;  // the sums need registers
    }
    if (draw(3) == 0) r.causality = Causality::causal;
    if (fa3 && forward && draw(3) == 0) r.lengths = Lengths::varying;
    if (fa3 && forward && draw(2) == 0) {
      r.splits = Splits::heuristic;
    } else if (r.causality == Causality::none && draw(4) == 0) {
      const bool ahead = forward && out.size() % 2 == 0;
      r.lists = ahead ? BlockLists::ahead : BlockLists::read;
      if (ahead) r.packing = Packing::as_many_as_fit;
    }
    const std::int64_t tokens = 64 + draw(1 << (9 + draw(8)));
    // Keys are divided where tiles are few.
    const bool few = r.splits == Splits::heuristic;
    const int kv_heads = 1 + draw(few ? 3 : 40);
    const int sharing = draw(3) == 0 ? 1 + draw(few ? 2 : 4) : 1;
    s.shape = {.batch = 1 + draw(4),
               .heads = kv_heads * sharing,
               .kv_heads = kv_heads,
               .queries = tokens,
               .keys = tokens,
               .head_dim = r.head_dim,
               .causality = r.causality};
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

void a_faster_part_costs_nothing(const std::vector<Setting>& all) {
  double worst = 0;
  for (const Setting& s : all) {
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

TEST(Robust, AFasterPartCostsNothing) { a_faster_part_costs_nothing(settings()); }

/// The settings reach what they are about.
TEST(Robust, SettingsCoverEveryKindOfPlan) {
  int split = 0, combined = 0, lists = 0, ahead = 0, shared = 0, wide = 0, backward = 0;
  for (const Setting& s : settings()) {
    const KeySplits splits = s.splits(s.shape);
    split += splits.taken > 1;
    combined += splits.most > 1;
    lists += s.lists() == BlockLists::read, ahead += s.lists() == BlockLists::ahead;
    shared += s.shape.heads > s.shape.kv_heads;
    wide += s.request.head_dim > 128;
    backward += s.direction == Direction::backward;
  }
  for (const int count : {split, combined - split, lists, ahead, shared, wide, backward})
    EXPECT_GE(count, 1) << split << " " << combined << " " << lists << " " << shared << " " << wide
                        << " " << backward;
}

/// Larger launches made of one: more tokens, ends that become whole and new blocks behind them,
/// another head, another batch entry.
std::vector<Shape> larger(const Setting& s) {
  std::vector<Shape> out;
  const auto longer = [&](std::int64_t tokens) {
    if (tokens <= s.shape.keys) return;
    out.push_back(s.shape);
    out.back().queries = out.back().keys = tokens;
  };
  for (const double share : {1.0, 1.03, 1.3, 2.0})
    longer(static_cast<std::int64_t>(double(s.shape.keys) * share) + 1);
  for (const Plan& plan : s.plans(s.machine)) {
    for (const int block : {plan.inner(), plan.outer()}) {
      const std::int64_t whole = (s.shape.keys + block - 1) / block * block;
      longer(whole), longer(whole + 1);
    }
  }
  out.push_back(s.shape), out.push_back(s.shape);
  Shape &heads = out.end()[-2], &batch = out.back();
  heads.heads += s.shape.heads / s.shape.kv_heads;
  ++heads.kv_heads, ++batch.batch;
  return out;
}

/// Of two launches whose keys are divided alike. By its own rule FlashAttention-3 may divide the
/// larger one otherwise, and gain: nothing else gains more than 1 %.
void more_work_is_never_faster(const std::vector<Setting>& all) {
  constexpr double kMost = 0.01;
  double worst = 0, worst_by_rule = 0;
  for (const Setting& s : all) {
    const double before = s.us();
    const KeySplits division = s.splits(s.shape);
    for (const Shape& more : larger(s)) {
      const std::string to = " to L" + std::to_string(more.queries) + " h" +
                             std::to_string(more.heads) + " b" + std::to_string(more.batch);
      const double change = before / s.us(s.machine, {}, more, division) - 1;
      worst = std::max(worst, change);
      EXPECT_LE(change, kMost) << s.name() << to;
      const double by_rule = before / s.us(s.machine, {}, more) - 1;
      worst_by_rule = std::max(worst_by_rule, by_rule);
      if (s.splits(more) == division) {
        EXPECT_LE(by_rule, kMost) << s.name() << to;
      }
    }
  }
  std::printf("worst: %.3f %%, keys divided otherwise: %.3f %%\n", 100 * worst,
              100 * worst_by_rule);
}

TEST(Robust, MoreWorkIsNeverFaster) { more_work_is_never_faster(settings()); }

TEST(Robust, MoreWorkIsNeverFasterInThousandsOfSettings) {
  if (std::getenv("KARAT_LONG") == nullptr) GTEST_SKIP() << "KARAT_LONG=1 runs it";
  for (const unsigned seed : {7, 8, 9}) more_work_is_never_faster(settings(seed, 3000));
}

TEST(Robust, H200IsNeverSlowerThanH100) {
  for (const Setting& s : settings()) {
    EXPECT_LE(s.us(machine("H200"), {}, s.shape), 1.0001 * s.us(machine("H100"), {}, s.shape))
        << s.name();
  }
}

void constants_have_no_cliffs(const std::vector<Setting>& all) {
  double worst = 0;
  for (const Setting& s : all) {
    const double before = s.us();
    for (const TimingConstant& constant : timing_constants()) {
      for (const double change : {1.02, 0.98}) {
        Timing t;
        t.*constant.member *= change;
        const double moved = std::abs(s.us(s.machine, t, s.shape) / before - 1);
        worst = std::max(worst, moved);
        EXPECT_LE(moved, 0.02) << s.name() << " " << constant.name << " x" << change;
      }
    }
  }
  std::printf("worst: %.3f %%\n", 100 * worst);
}

TEST(Robust, ConstantsHaveNoCliffs) { constants_have_no_cliffs(settings()); }

TEST(Robust, ThousandsOfSettingsHaveNoCliffs) {
  if (std::getenv("KARAT_LONG") == nullptr) GTEST_SKIP() << "KARAT_LONG=1 runs it";
  for (const unsigned seed : {10, 11}) {
    a_faster_part_costs_nothing(settings(seed, 1000));
    constants_have_no_cliffs(settings(seed, 1000));
  }
}

/// What an answer costs is counted in events of an SM and tiles walked. Neither grows with batch,
/// heads or tokens: the bounds are the same for one head and for a billion.
TEST(Robust, AnyLaunchIsAnswered) {
  constexpr std::uint64_t kMostEvents = 500'000;
  constexpr int kMostWalked = 1 << 15;
  std::uint64_t most = 0;
  const Machine m = machine("H100");
  for (const PlanRequest& base :
       {PlanRequest{.kernel = Kernel::fa2}, PlanRequest{.kernel = Kernel::fa3},
        PlanRequest{.kernel = Kernel::fa3, .lengths = Lengths::varying},
        PlanRequest{.kernel = Kernel::fa3, .splits = Splits::heuristic},
        PlanRequest{.kernel = Kernel::flex}}) {
    for (const Causality causality : {Causality::none, Causality::causal}) {
      PlanRequest request = base;
      request.causality = causality;
      const Plan plan = make_plan(request, m);
      const auto launch = [&](int batch, std::int64_t tokens) {
        const Shape shape{.batch = batch,
                          .heads = 40,
                          .queries = tokens,
                          .keys = tokens,
                          .head_dim = 128,
                          .causality = causality};
        const LaunchTime out = launch_time(m, {}, plan, shape, dense(plan, shape));
        EXPECT_LE(out.events, kMostEvents) << kernel_name(plan.kernel) << " " << tokens;
        EXPECT_LE(out.walked, kMostWalked) << kernel_name(plan.kernel) << " " << tokens;
        most = std::max(most, out.events);
        return out;
      };
      const LaunchTime few = launch(1000, 4096), many = launch(1000000, 4096);
      EXPECT_NEAR(many.clocks / few.clocks, 1000, 5) << kernel_name(plan.kernel);
      EXPECT_EQ(many.events, few.events) << kernel_name(plan.kernel);
      EXPECT_EQ(many.walked, few.walked) << kernel_name(plan.kernel);
      const LaunchTime one = launch(1, 1 << 20), longer = launch(1, 1 << 24);
      EXPECT_NEAR(longer.clocks / one.clocks, 256, 8) << kernel_name(plan.kernel);
      launch(1, 1);
      launch(1000000, (std::int64_t{1} << 31) - 1);
    }
  }
  std::printf("most events: %llu\n", static_cast<unsigned long long>(most));
}

}  // namespace
}  // namespace karat::hopper
