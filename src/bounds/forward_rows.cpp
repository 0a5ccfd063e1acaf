// The forward's bounds and legal kernels on the blocks that hold the rows.
#include "forward_rows.hpp"

#include <algorithm>
#include <cmath>

#include "karat/bounds/head_work.hpp"
#include "legal_delta.hpp"

namespace karat::bounds {

using attention::BlockTap;
using numerics::Interval;

/// A forward whose output or log-sum-exp the backward reads.
struct ForwardRows::Forward {
  Forward(recipe::Recipe of, const layout::Layout& layout, attention::QuantisedHead operands,
          Freedom allowed, int threads, bool gives_l, bool gives_delta)
      : recipe(std::move(of)),
        head(std::move(operands)),
        freedom(freedom_of(recipe, allowed)),
        bounds(recipe, layout, head, threads, freedom),
        kernels(recipe, layout, head, freedom),
        l(gives_l),
        delta(gives_delta) {}
  recipe::Recipe recipe;
  attention::QuantisedHead head;
  Freedom freedom;
  HeadBounds bounds;
  LegalKernels kernels;
  bool l, delta;
};

ForwardRows::ForwardRows(const recipe::Recipe& recipe, const layout::Layout& layout,
                         const attention::BackwardHead& head, const attention::BackwardView& view,
                         Freedom freedom, int threads, const std::function<void()>& step)
    : recipe_(recipe),
      layout_(layout),
      head_(head),
      view_(view),
      freedom_(freedom),
      threads_(threads),
      step_(step),
      known_(layout.blocks.query_blocks.size()),
      l_(layout.order.positions()),
      delta_(layout.order.positions()),
      unquantised_(layout.order.positions()) {}
ForwardRows::~ForwardRows() = default;

void ForwardRows::run(Forward& forward, const std::vector<int>& blocks) {
  const std::size_t d = layout_.channels;
  attention::AttendOptions options{.threads = threads_, .query_blocks = blocks, .tapped = blocks};
  // Blocks write to rows of their own.
  options.on_tap = [&](BlockTap&& tap, const attention::HeadResult& result) {
    step_();
    const BlockBounds all =
        forward.bounds.of(tap, gather(result.o, layout_, tap.queries, d),
                          gather(result.lse, layout_, tap.queries, 1), Detail::outputs);
    std::vector<LegalRows> made;
    for (const LegalKernel& kernel : kLegalKernels)
      made.push_back(forward.kernels.run(kernel, tap, Detail::outputs));
    for (std::int64_t row = 0; row < tap.queries.size(); ++row) {
      const std::int64_t at = tap.queries.begin + row;
      const std::int32_t token = layout_.order.token_at[at];
      if (token < 0 || !view_.has_keys(at)) continue;
      if (forward.l) {
        l_[at].of[0] = view_.l_of(at, result.lse[token]);
        for (std::size_t k = 1; k < kRuns; ++k) l_[at].of[k] = view_.l_of(at, made[k - 1].lse[row]);
        l_[at].all = {view_.l_of(at, all.lse_low[row]), view_.l_of(at, all.lse_high[row])};
      }
      if (!forward.delta) continue;
      const auto of = [&](const std::vector<float>& rows) {
        return std::span<const float>(rows).subspan(row * d, d);
      };
      const std::span<const float> golden(&result.o[token * d], d);
      std::vector<Interval> o(d);
      for (std::size_t j = 0; j < d; ++j) o[j] = {of(all.out_low)[j], of(all.out_high)[j]};
      delta_[at].of[0] = view_.delta_of(at, golden);
      for (std::size_t k = 1; k < kRuns; ++k)
        delta_[at].of[k] =
            legal_delta(view_, freedom_, kLegalKernels[k - 1], at, of(made[k - 1].out));
      delta_[at].all = legal_deltas(view_, freedom_, at, o);
      if (forward.l) continue;  // the stored output is the forward's own stage
      unquantised_[at].resize(d);
      for (std::size_t j = 0; j < d; ++j) {
        LegalNumber& number = unquantised_[at][j];
        number.of[0] = golden[j];
        for (std::size_t k = 1; k < kRuns; ++k) number.of[k] = of(made[k - 1].out)[j];
        number.all = o[j];
      }
    }
  };
  attention::attend(forward.recipe, layout_, forward.head, options);
}

void ForwardRows::require(std::span<const video::Range> positions) {
  std::vector<int> missing;
  for (std::size_t b = 0; b < known_.size(); ++b) {
    const video::Range rows = layout_.blocks.query_blocks[b];
    const bool wanted = std::ranges::any_of(positions, [&](video::Range range) {
      return range.begin < rows.end && rows.begin < range.end;
    });
    if (!wanted || known_[b]) continue;
    known_[b] = 1;
    missing.push_back(static_cast<int>(b));
  }
  if (missing.empty()) return;
  const bool uncoded = recipe_.backward.delta == recipe::Delta::unquantised_p;
  if (!stored_) {
    stored_ = std::make_unique<Forward>(recipe_, layout_, *head_.head, freedom_, threads_, true,
                                        !uncoded);
    if (uncoded)
      uncoded_ = std::make_unique<Forward>(
          attention::unquantised_p(recipe_), layout_,
          attention::unquantised_p_head(recipe_, *head_.head, numerics::Path::fast), freedom_,
          threads_, false, true);
  }
  run(*stored_, missing);
  if (uncoded_) run(*uncoded_, missing);
}

}  // namespace karat::bounds
