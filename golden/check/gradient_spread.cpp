// Kernels run once a group, when the first stage that differs asks for them.
#include "gradient_spread.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "deviation.hpp"
#include "karat/attention/attend.hpp"
#include "karat/case/backward.hpp"
#include "karat/numerics/random/philox.hpp"
#include "legal_draws.hpp"

namespace karat::golden {
namespace {

/// A deviation this many times beyond what is within is no legal kernel's.
constexpr double kFar = 4;

bool frees_exp2(const bounds::Freedom& freedom) {
  bounds::Freedom exp2 = bounds::kNoFreedom;
  exp2.low = freedom.low;
  exp2.high = freedom.high;
  return bounds::leaves_freedom(exp2);
}

/// exp2 that errs by up to 2 ulp in either direction, another way for every argument.
std::function<float(float, float)> erring_exp2(std::uint64_t seed) {
  return [seed](float x, float p) {
    if (!(p > 0) || x == 0) return p;
    const std::uint32_t word =
        numerics::random_bits(seed, 0x65787032, std::bit_cast<std::uint32_t>(x));
    const int ulps = static_cast<int>(word % 5) - 2;
    return p + static_cast<float>(ulps) * std::ldexp(1.0f, std::ilogb(p) - 23);
  };
}

struct Kernel {
  std::uint64_t seed;  ///< of an erring exp2; 0: the recipe's
  recipe::Exp2 exp2;
  recipe::BlockOrder key_order;
};

std::vector<Kernel> legal_kernels(const GoldenFile& golden, const bounds::Freedom& freedom) {
  const recipe::Recipe& recipe = golden.recipe();
  std::vector<Kernel> kernels;
  const recipe::BlockOrder order = recipe.backward.key_order;
  if (frees_exp2(freedom)) {
    const bool rounded = recipe.softmax.exp2 == recipe::Exp2::rounded;
    kernels.push_back({0, rounded ? recipe::Exp2::mufu : recipe::Exp2::rounded, order});
    for (const std::uint64_t seed : {1, 2, 3})
      kernels.push_back({seed, recipe.softmax.exp2, order});
  }
  if (GradientSpread::frees_order(golden, freedom))
    kernels.push_back({0, recipe.softmax.exp2,
                       order == recipe::BlockOrder::descending ? recipe::BlockOrder::ascending
                                                               : recipe::BlockOrder::descending});
  return kernels;
}

LegalGradients run(const GoldenFile& golden, std::size_t batch, std::size_t kv_head,
                   const Kernel& kernel, int threads) {
  cases::Case of = golden.opened_case();
  of.recipe.softmax.exp2 = kernel.exp2;
  of.recipe.backward.key_order = kernel.key_order;
  const std::size_t group = golden.group(), first = kv_head * group;
  const layout::Layout& layout = golden.layout(batch, first);
  LegalGradients legal{.made = {}, .o_unquantised_p = {}};
  cases::BackwardRun backward(of, threads);
  cases::GivenHead given;
  for (std::size_t head = first; head < first + group; ++head) {
    cases::read_head(*of.inputs, batch, head, threads, given);
    cases::HeadAtWork work{.batch = batch,
                           .head = head,
                           .number = batch * golden.shape().heads + head,
                           .layout = layout,
                           .values = given.values,
                           .operands = cases::operands_of(of.recipe, layout, given, threads)};
    if (given.codes) {
      given.room = cases::dequantised(layout, work.operands);
      work.values = given.room.view();
    }
    attention::HeadResult forward =
        attention::attend(of.recipe, layout, work.operands, {.threads = threads});
    backward.add(work, std::move(forward.o), std::move(forward.lse));
    legal.o_unquantised_p.push_back(backward.heads().back().o_unquantised_p);
  }
  attention::BackwardOptions options{.threads = threads,
                                     .tapped_queries = golden.dq_tapped(batch, first),
                                     .tapped_keys = golden.dkv_tapped(batch, kv_head)};
  if (kernel.seed != 0) options.errors.emplace().exp2 = erring_exp2(kernel.seed);
  legal.made = backward.run(layout, options);
  legal.another_exp2 = kernel.seed != 0 || kernel.exp2 != golden.recipe().softmax.exp2;
  return legal;
}

/// What lies farthest beyond its limit.
struct Worst {
  double ratio = 0;
  GradientVerdict verdict;

  void note(double found, double allowed, Doubt::Scope scope, std::size_t row = 0) {
    const double now = found > 0 ? found / allowed : 0;
    if (!(now > ratio)) return;
    ratio = now;
    verdict.scope = scope;
    verdict.row = row;
    verdict.found = std::sqrt(found);
    verdict.allowed = std::sqrt(allowed);
  }
};

}  // namespace

GradientSpread::GradientSpread(const GoldenFile& golden, std::size_t batch, std::size_t kv_head,
                               const bounds::Freedom& freedom, int threads,
                               std::function<void()> step)
    : golden_(golden),
      batch_(batch),
      kv_head_(kv_head),
      freedom_(freedom),
      threads_(threads),
      step_(std::move(step)) {}

bool GradientSpread::frees_order(const GoldenFile& golden, const bounds::Freedom& freedom) {
  return freedom.summation != bounds::Summation::fixed &&
         golden.recipe().backward.loop == recipe::BackwardLoop::key_blocks;
}

bool GradientSpread::frees(const GoldenFile& golden, const bounds::Freedom& freedom, bool is_dq) {
  return frees_exp2(freedom) || (is_dq && frees_order(golden, freedom));
}

const std::vector<LegalGradients>& GradientSpread::kernels() {
  if (kernels_) return *kernels_;
  kernels_.emplace();
  for (const Kernel& kernel : legal_kernels(golden_, freedom_)) {
    step_();
    kernels_->push_back(run(golden_, batch_, kv_head_, kernel, threads_));
  }
  return *kernels_;
}

GradientVerdict GradientSpread::judge(const GradientRows& rows) {
  const std::size_t count = rows.golden.size() / rows.width;
  const double ulp = std::ldexp(1.0, -numerics::format(rows.format).fraction_bits);
  std::vector<double> sizes = sizes_of(rows.golden, rows.width);
  if (rows.width == 1) {  // single numbers that cancel have no size of their own
    double mean = 0;
    for (const double size : sizes) mean += size / static_cast<double>(count);
    std::ranges::fill(sizes, mean);
  }
  const auto row_of = [&](std::span<const float> values, std::size_t row) {
    return values.subspan(row * rows.width, rows.width);
  };
  const auto deviation_of = [&](std::span<const float> values, std::size_t row) {
    return deviation(row_of(values, row), row_of(rows.golden, row), sizes[row]);
  };
  const double least = squared(ulp);
  LegalDraws of_rows(least / static_cast<double>(rows.width)), of_values(least);
  std::vector<Deviation> own(count);
  std::size_t number = 0;
  for (const LegalGradients& kernel : kernels()) {
    if (!kernel.another_exp2 && !rows.is_dq) continue;
    const std::span<const float> legal = rows.legal(kernel);
    for (std::size_t row = 0; row < count; ++row) {
      const Deviation drawn = deviation_of(legal, row);
      if (!std::isfinite(drawn.row)) continue;
      of_rows.add(number, drawn.row);
      of_values.add(number, drawn.value);
      own[row] = {std::max(own[row].row, drawn.row), std::max(own[row].value, drawn.value)};
    }
    ++number;
  }
  Worst worst;
  double total = 0;
  const double reserve = squared(LegalDraws::kReserve), n = static_cast<double>(count);
  const double one_row = of_rows.limit(1, n);
  const double one_value = of_values.limit(1, n * static_cast<double>(rows.width));
  for (std::size_t row = 0; row < count; ++row) {
    const Deviation found = deviation_of(rows.candidate, row);
    total += found.row;
    worst.note(found.row, std::max(one_row, reserve * own[row].row), Doubt::Scope::row, row);
    worst.note(found.value, std::max(one_value, reserve * own[row].value), Doubt::Scope::value,
               row);
  }
  worst.note(total / n, of_rows.limit(n, 1), Doubt::Scope::head);
  GradientVerdict verdict = worst.verdict;
  if (worst.ratio > 0 && verdict.scope == Doubt::Scope::value) {
    const auto golden = row_of(rows.golden, verdict.row);
    const auto candidate = row_of(rows.candidate, verdict.row);
    for (std::size_t j = 0; j < rows.width; ++j)
      if (squared_distance(golden[j], candidate[j]) >
          squared_distance(golden[verdict.column], candidate[verdict.column]))
        verdict.column = j;
  }
  verdict.verdict = worst.ratio <= 1               ? Verdict::within
                    : worst.ratio <= squared(kFar) ? Verdict::undecided
                                                   : Verdict::differs;
  return verdict;
}

double GradientSpread::error_reach(
    const std::function<double(const LegalGradients*)>& squared_error) {
  const double golden = squared_error(nullptr);
  double most = golden;
  for (const LegalGradients& kernel : kernels()) most = std::max(most, squared_error(&kernel));
  return golden > 0 && std::isfinite(most) ? std::sqrt(most / golden) : 1;
}

}  // namespace karat::golden
