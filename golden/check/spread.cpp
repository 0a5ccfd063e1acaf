// The forward's l, lse and o against legal kernels of their query blocks.
#include "spread.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

#include "block_spread.hpp"
#include "deviation.hpp"
#include "legal_draws.hpp"

namespace karat::golden {
namespace {

std::span<const float> rows_of(const bounds::LegalRows& rows, SpreadStage stage) {
  switch (stage) {
    case SpreadStage::l:
      return rows.l;
    case SpreadStage::lse:
      return rows.lse;
    case SpreadStage::o:
      break;
  }
  return rows.out;
}

/// Of the golden rows that are considered; lse as max(1, lse^2).
std::vector<double> sizes_of_rows(const HeadRows& rows) {
  std::vector<float> considered(rows.golden.begin(), rows.golden.end());
  for (std::size_t e = 0; e < considered.size(); ++e) {
    if (!rows.considered(e / rows.channels)) considered[e] = 0;
    if (rows.stage == SpreadStage::lse && !(std::abs(considered[e]) > 1)) considered[e] = 1;
  }
  return sizes_of(considered, rows.channels);
}

}  // namespace

/// The blocks that were run, as one stage sees them.
class LegalSpread::Stage final : public LegalRuns {
 public:
  Stage(LegalSpread& spread, SpreadStage stage) : spread_(spread), stage_(stage) {}
  bool has(int block) const override { return spread_.runs_.contains(block); }
  void run(const std::vector<int>& blocks) override { spread_.run(blocks); }
  std::span<const float> rows(int block, std::size_t kernel) const override {
    return rows_of(spread_.runs_.at(block)[kernel], stage_);
  }

 private:
  LegalSpread& spread_;
  SpreadStage stage_;
};

LegalSpread::LegalSpread(const recipe::Recipe& recipe, const layout::Layout& layout,
                         Operands operands, bounds::Freedom freedom, int threads,
                         std::function<void()> step)
    : recipe_(recipe),
      layout_(layout),
      operands_(std::move(operands)),
      freedom_(freedom),
      threads_(threads),
      step_(std::move(step)) {}

void LegalSpread::run(const std::vector<int>& blocks) {
  const attention::QuantisedHead& head = operands_();
  const bounds::LegalKernels kernels(recipe_, layout_, head, freedom_);
  std::vector<std::span<const float>> branches(LegalDraws::kKernels);
  if (branches_)
    for (std::size_t k = 0; k < branches.size(); ++k) branches[k] = branches_(k);
  std::mutex mutex;
  attention::AttendOptions options{.threads = threads_, .query_blocks = blocks, .tapped = blocks};
  options.on_tap = [&](attention::BlockTap&& tap, const attention::HeadResult&) {
    Kernels made;
    for (std::size_t k = 0; k < LegalDraws::kKernels; ++k) {
      step_();
      made.push_back(
          kernels.run(bounds::kLegalKernels[k], tap, bounds::Detail::outputs, branches[k]));
    }
    const std::lock_guard lock(mutex);
    runs_[tap.query_block] = std::move(made);
  };
  attention::attend(recipe_, layout_, head, options);
}

std::optional<Doubt> LegalSpread::judge(const HeadRows& rows) {
  Stage runs(*this, rows.stage);
  const std::vector<double> sizes = sizes_of_rows(rows);
  return beyond_legal_spread({.format = rows.format,
                              .channels = rows.channels,
                              .golden = rows.golden,
                              .candidate = rows.candidate,
                              .sizes = sizes,
                              .blocks = layout_.blocks.query_blocks,
                              .order = layout_.order,
                              .considered = rows.considered},
                             runs);
}

double LegalSpread::error_reach(
    std::span<const float> golden_o,
    const std::function<std::span<const double>(std::size_t)>& truth) const {
  constexpr std::size_t kLeastRows = 32;
  const std::size_t channels = layout_.channels;
  double golden = 0;
  std::array<double, LegalDraws::kKernels> legal{};
  std::size_t known = 0;
  for (const auto& [block, kernels] : runs_) {
    const video::Range queries = layout_.blocks.query_blocks[block];
    for (std::int64_t at = queries.begin; at < queries.end; ++at) {
      const std::int32_t token = layout_.order.token_at[at];
      const std::span<const double> exact = token < 0 ? std::span<const double>{} : truth(token);
      if (exact.empty()) continue;
      ++known;
      for (std::size_t j = 0; j < channels; ++j)
        golden += squared(golden_o[token * channels + j] - exact[j]);
      for (std::size_t k = 0; k < kernels.size(); ++k)
        for (std::size_t j = 0; j < channels; ++j)
          legal[k] += squared(kernels[k].out[(at - queries.begin) * channels + j] - exact[j]);
    }
  }
  const double most = *std::ranges::max_element(legal);
  if (known < kLeastRows || !(golden > 0) || !std::isfinite(most)) return 1;
  return std::max(1.0, std::sqrt(most / golden));
}

}  // namespace karat::golden
