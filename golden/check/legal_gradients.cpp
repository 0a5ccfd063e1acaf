// Blocks are computed once and kept; the forwards they read are bounds::GradientBounds' own.
#include "legal_gradients.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "deviation.hpp"
#include "karat/attention/attend.hpp"
#include "legal_draws.hpp"
#include "tap_spread.hpp"

namespace karat::golden {
namespace {

/// Heads with so many kept pairs at most are bounded as a whole.
constexpr std::int64_t kSmall = std::int64_t{1} << 21;

std::vector<double> sizes_of_rows(const GradientRows& rows) {
  std::vector<double> sizes = sizes_of(rows.golden, rows.width);
  if (rows.width > 1) return sizes;
  double mean = 0;  // single numbers that cancel have no size of their own
  for (const double size : sizes) mean += size / static_cast<double>(sizes.size());
  std::ranges::fill(sizes, mean);
  return sizes;
}

}  // namespace

struct LegalGradients::State {
  cases::Case of;
  cases::BackwardRun run;
  std::vector<attention::BackwardHead> heads;
  std::optional<bounds::GradientBounds> bounds;

  State(const GoldenFile& golden, int threads) : of(golden.opened_case()), run(of, threads) {}
};

LegalGradients::LegalGradients(const GoldenFile& golden, std::size_t batch, std::size_t kv_head,
                               const bounds::Freedom& freedom, int threads,
                               std::function<void()> step)
    : golden_(golden),
      batch_(batch),
      kv_head_(kv_head),
      freedom_(freedom),
      threads_(threads),
      step_(std::move(step)),
      layout_(golden.layout(batch, kv_head * golden.group())),
      blocks_(attention::backward_blocks(golden.recipe(), layout_)) {}
LegalGradients::~LegalGradients() = default;

void LegalGradients::close() {
  state_.reset();
  tapped_queries_.reset();
  tapped_keys_.reset();
}

bounds::GradientBounds& LegalGradients::bounds() {
  if (state_) return *state_->bounds;
  state_ = std::make_unique<State>(golden_, threads_);
  const std::size_t group = golden_.group(), first = kv_head_ * group;
  cases::GivenHead given;
  for (std::size_t head = first; head < first + group; ++head) {
    cases::read_head(*state_->of.inputs, batch_, head, threads_, given);
    cases::HeadAtWork work{
        .batch = batch_,
        .head = head,
        .number = batch_ * golden_.shape().heads + head,
        .layout = layout_,
        .values = given.values,
        .operands = cases::operands_of(golden_.recipe(), layout_, given, threads_)};
    if (given.codes) {
      given.room = cases::dequantised(layout_, work.operands);
      work.values = given.room.view();
    }
    state_->run.add(work, golden_.values("o", cases::Extents::matrix, batch_, head),
                    golden_.values("lse", cases::Extents::vector, batch_, head));
  }
  for (const cases::BackwardRun::Head& head : state_->run.heads())
    state_->heads.push_back({.head = &head.operands,
                             .input = head.values.view(),
                             .o = head.o,
                             .lse = head.lse,
                             .d_o = head.d_o,
                             .o_unquantised_p = head.o_unquantised_p});
  state_->bounds.emplace(golden_.recipe(), layout_, state_->heads, freedom_, threads_, step_);
  return *state_->bounds;
}

std::span<const video::Range> LegalGradients::blocks_of(Side side) const {
  return side == Side::key ? blocks_.key_blocks : blocks_.query_blocks;
}
const video::TokenOrder& LegalGradients::order_of(Side side) const {
  return side == Side::key ? layout_.key_order : layout_.order;
}

/// The blocks that were run, as one stage of one head sees them.
class LegalGradients::Runs final : public LegalRuns {
 public:
  Runs(LegalGradients& of, GradientStageId stage, std::size_t head)
      : of_(of), stage_(stage), head_(head) {}
  bool has(int block) const override {
    return side_of(stage_) == Side::key ? of_.keys_.contains(block)
                                        : of_.queries_.contains({head_, block});
  }
  void run(const std::vector<int>& blocks) override {
    std::vector<int> missing;
    std::ranges::copy_if(blocks, std::back_inserter(missing),
                         [&](int block) { return !has(block); });
    if (missing.empty()) return;
    if (side_of(stage_) == Side::key) {
      for (auto& made : of_.bounds().of_keys(missing, bounds::Detail::outputs))
        of_.keys_[made.key_block] = std::move(made);
    } else {
      for (auto& made : of_.bounds().of_queries(head_, missing, bounds::Detail::outputs))
        of_.queries_[{head_, made.query_block}] = std::move(made);
    }
  }
  std::span<const float> rows(int block, std::size_t kernel) const override {
    return values(block).kernels[kernel];
  }
  const bounds::LegalValues& values(int block) const {
    switch (stage_) {
      case GradientStageId::dv:
        return of_.keys_.at(block).dv;
      case GradientStageId::dk:
        return of_.keys_.at(block).dk;
      case GradientStageId::o_unquantised_p:
        return of_.queries_.at({head_, block}).o_unquantised_p;
      case GradientStageId::delta:
        return of_.queries_.at({head_, block}).delta;
      default:
        return of_.queries_.at({head_, block}).dq;
    }
  }
  /// Every block's rows that were run. @param visit(block, row in it, token)
  template <typename Visit>
  void over_rows(const Visit& visit) const {
    const auto blocks = of_.blocks_of(side_of(stage_));
    const video::TokenOrder& order = of_.order_of(side_of(stage_));
    for (int block = 0; block < std::ssize(blocks); ++block) {
      if (!has(block)) continue;
      for (std::int64_t at = blocks[block].begin; at < blocks[block].end; ++at)
        if (order.token_at[at] >= 0)
          visit(block, static_cast<std::size_t>(at - blocks[block].begin),
                static_cast<std::size_t>(order.token_at[at]));
    }
  }

 private:
  LegalGradients& of_;
  GradientStageId stage_;
  std::size_t head_;
};

GradientFinding LegalGradients::judge(const GradientRows& rows) {
  const Side side = side_of(rows.stage);
  const auto blocks = blocks_of(side);
  const video::TokenOrder& order = order_of(side);
  const std::vector<double> sizes = sizes_of_rows(rows);
  Runs runs(*this, rows.stage, rows.head_of_group);
  std::vector<int> wanted;
  double most = 0;
  const bool small = layout_.mask->kept_pairs() <= kSmall;
  for (int block = 0; block < std::ssize(blocks); ++block) {
    if (small) {
      wanted.push_back(block);
      continue;
    }
    double largest = 0;
    for (std::int64_t at = blocks[block].begin; at < blocks[block].end; ++at) {
      const std::int32_t token = order.token_at[at];
      if (token < 0) continue;
      const auto row = [&](std::span<const float> x) {
        return x.subspan(token * rows.width, rows.width);
      };
      largest =
          std::max(largest, deviation(row(rows.candidate), row(rows.golden), sizes[token]).row);
    }
    if (!(largest > most)) continue;
    most = largest;
    wanted.assign(1, block);
  }
  runs.run(wanted);
  GradientFinding finding;
  finding.doubt = beyond_legal_spread({.format = rows.format,
                                       .channels = rows.width,
                                       .golden = rows.golden,
                                       .candidate = rows.candidate,
                                       .sizes = sizes,
                                       .blocks = blocks,
                                       .order = order,
                                       .considered = [](std::size_t) { return true; },
                                       .side = side},
                                      runs);
  finding.low.assign(rows.golden.size(), -std::numeric_limits<float>::infinity());
  finding.high.assign(rows.golden.size(), std::numeric_limits<float>::infinity());
  runs.over_rows([&](int block, std::size_t row, std::size_t token) {
    const bounds::LegalValues& legal = runs.values(block);
    std::copy_n(&legal.low[row * rows.width], rows.width, &finding.low[token * rows.width]);
    std::copy_n(&legal.high[row * rows.width], rows.width, &finding.high[token * rows.width]);
    finding.bounded += static_cast<std::int64_t>(rows.width);
  });
  return finding;
}

double LegalGradients::error_reach(
    const GradientRows& rows, const std::function<std::span<const double>(std::size_t)>& truth) {
  constexpr std::size_t kLeastRows = 32;
  const Runs runs(*this, rows.stage, rows.head_of_group);
  double golden = 0;
  std::array<double, LegalDraws::kKernels> legal{};
  std::size_t known = 0;
  runs.over_rows([&](int block, std::size_t row, std::size_t token) {
    const std::span<const double> exact = truth(token);
    if (exact.empty()) return;
    ++known;
    for (std::size_t j = 0; j < rows.width; ++j) {
      golden += squared(rows.golden[token * rows.width + j] - exact[j]);
      for (std::size_t k = 0; k < legal.size(); ++k)
        legal[k] += squared(runs.rows(block, k)[row * rows.width + j] - exact[j]);
    }
  });
  const double most = *std::ranges::max_element(legal);
  if (known < kLeastRows || !(golden > 0) || !std::isfinite(most)) return 1;
  return std::max(1.0, std::sqrt(most / golden));
}

const bounds::QueryBlockBounds& LegalGradients::tapped_queries(int block) {
  if (!tapped_queries_ || tapped_queries_->query_block != block)
    tapped_queries_ =
        std::move(bounds().of_queries(0, std::span(&block, 1), bounds::Detail::stages).front());
  return *tapped_queries_;
}

const bounds::KeyBlockBounds& LegalGradients::tapped_keys(int block) {
  if (!tapped_keys_ || tapped_keys_->key_block != block)
    tapped_keys_ =
        std::move(bounds().of_keys(std::span(&block, 1), bounds::Detail::stages).front());
  return *tapped_keys_;
}

std::optional<TapFinding> beyond_legal_tap(const bounds::LegalValues& legal,
                                           numerics::FormatId format, std::size_t width,
                                           std::size_t skipped, std::span<const float> candidate) {
  std::vector<std::span<const float>> kernels;
  for (const auto& kernel : legal.kernels) kernels.push_back(std::span(kernel).subspan(skipped));
  const auto doubt = beyond_legal_rows({.format = format,
                                        .channels = width,
                                        .golden = std::span(legal.golden).subspan(skipped),
                                        .candidate = candidate.subspan(skipped),
                                        .kernels = kernels});
  if (!doubt) return std::nullopt;
  return TapFinding{doubt->doubt, doubt->element + skipped};
}

}  // namespace karat::golden
