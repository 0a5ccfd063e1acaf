// Blocks that hold the tokens, computed again under the hypothesis.
#include "backward_trial.hpp"

#include <algorithm>
#include <set>

namespace karat::golden {
namespace {

/// Blocks that hold these tokens, ascending.
std::vector<int> blocks_with(const std::vector<video::Range>& blocks,
                             const video::TokenOrder& order,
                             const std::vector<std::int32_t>& tokens) {
  std::set<int> chosen;
  for (const std::int32_t token : tokens) {
    const std::int64_t position = order.position_of[token];
    const auto block = std::ranges::upper_bound(blocks, position, {}, &video::Range::begin);
    chosen.insert(static_cast<int>(block - blocks.begin()) - 1);
  }
  return {chosen.begin(), chosen.end()};
}

bool holds(const Question& question, std::initializer_list<TokenStage> stages) {
  return std::ranges::any_of(question.stages, [&](TokenStage stage) {
    return std::ranges::find(stages, stage) != stages.end();
  });
}

StageRows rows_of(const std::vector<float>& values, const std::vector<std::int32_t>& tokens,
                  std::size_t width) {
  StageRows rows{
      .values = {}, .low = {}, .high = {}, .covered = std::vector<bool>(tokens.size(), true)};
  for (const std::int32_t token : tokens)
    rows.values.insert(rows.values.end(),
                       values.begin() + static_cast<std::ptrdiff_t>(token * width),
                       values.begin() + static_cast<std::ptrdiff_t>((token + 1) * width));
  return rows;
}

}  // namespace

const std::vector<std::vector<float>>& BackwardBase::uncoded(const recipe::Recipe& golden,
                                                             const layout::Layout& layout) const {
  if (!o_unquantised_p.empty()) return o_unquantised_p;
  const std::lock_guard lock(mutex_);
  if (computed_.empty())
    for (const attention::QuantisedHead& head : operands)
      computed_.push_back(
          attention::unquantised_p_output(golden, layout, head, numerics::Path::fast, 1));
  return computed_;
}

std::shared_ptr<const BackwardBase> make_backward_base(const GoldenFile& golden, std::size_t batch,
                                                       std::size_t head) {
  auto base = std::make_shared<BackwardBase>();
  const cases::Case of = golden.opened_case();
  const std::size_t first = head / golden.group() * golden.group();
  base->looked_at = head - first;
  cases::GivenHead given;
  for (std::size_t h = first; h < first + golden.group(); ++h) {
    const layout::Layout& layout = golden.layout(batch, h);
    cases::read_head(*of.inputs, batch, h, 0, given);
    base->operands.push_back(cases::operands_of(of.recipe, layout, given, 0));
    base->values.push_back(given.codes ? cases::dequantised(layout, base->operands.back())
                                       : of.inputs->values(batch, h, 0));
    base->o.push_back(golden.values("o", cases::Extents::matrix, batch, h));
    base->lse.push_back(golden.values("lse", cases::Extents::vector, batch, h));
    base->m.push_back(golden.values("m", cases::Extents::vector, batch, h));
    base->d_o.push_back(of.inputs->output_gradient(batch, h));
    if (golden.has("o_unquantised_p"))
      base->o_unquantised_p.push_back(
          golden.values("o_unquantised_p", cases::Extents::matrix, batch, h));
  }
  return base;
}

namespace {

/// Gradients of a kernel with these changes; nothing changed is the right one.
attention::BackwardResult run_changed(const Base& base, const recipe::Recipe& recipe,
                                      const BackwardTrial& changed, const Question& question) {
  const BackwardBase& golden = *base.backward;
  const layout::Layout& layout = changed.layout ? *changed.layout : *base.layout;
  const auto& operands = changed.operands.empty() ? golden.operands : changed.operands;
  const bool uncoded = recipe.backward.delta == recipe::Delta::unquantised_p;
  std::vector<std::vector<float>> zeros;
  if (changed.delta_is_zero)
    for (const auto& rows : changed.o) zeros.emplace_back(rows.size(), 0.0f);
  const auto& summed = changed.delta_is_zero ? zeros
                       : uncoded             ? golden.uncoded(base.recipe, *base.layout)
                                             : changed.o;
  std::vector<attention::BackwardHead> heads;
  for (std::size_t h = 0; h < operands.size(); ++h)
    heads.push_back({.head = &operands[h],
                     .input = golden.values[h].view(),
                     .o = uncoded ? std::span<const float>(changed.o[h]) : summed[h],
                     .lse = changed.lse[h],
                     .d_o = changed.d_o[h],
                     .o_unquantised_p = uncoded ? summed[h] : std::span<const float>()});
  const mask::BlockMap blocks = attention::backward_blocks(recipe, layout);
  attention::BackwardOptions options{.threads = 1};
  options.query_blocks.emplace();
  options.key_blocks.emplace();
  if (holds(question, {TokenStage::dq}))
    options.query_blocks = blocks_with(blocks.query_blocks, layout.order, question.tokens);
  if (holds(question, {TokenStage::dk, TokenStage::dv}))
    options.key_blocks = blocks_with(blocks.key_blocks, layout.key_order, question.tokens);
  const attention::BackwardErrors& errors = changed.errors;
  if (errors.dq_roots != 1 || errors.dk_roots != 1 || errors.score_factor != 1)
    options.errors = errors;
  return attention::attend_backward(recipe, layout, heads, options);
}

}  // namespace

std::optional<Prediction> predict_gradients(const Base& base, const Hypothesis& hypothesis,
                                            const Question& question) {
  const BackwardBase& golden = *base.backward;
  BackwardTrial changed(golden);
  Trial trial(base, hypothesis.recipe);
  trial.backward = &changed;
  for (const Mistake* mistake : hypothesis.mistakes)
    if (!mistake->apply(trial, mistake->which)) return std::nullopt;
  attention::BackwardResult made = run_changed(base, hypothesis.recipe, changed, question);
  if (changed.exchange_dk_and_dv) std::swap(made.dk, made.dv);
  if (!changed.right.empty()) {
    attention::BackwardResult right =
        run_changed(base, hypothesis.recipe, BackwardTrial(golden), question);
    for (const TokenStage stage : changed.right) {
      if (stage == TokenStage::dq) made.dq = std::move(right.dq);
      if (stage == TokenStage::dk) made.dk = std::move(right.dk);
      if (stage == TokenStage::dv) made.dv = std::move(right.dv);
      if (stage == TokenStage::delta) made.delta = std::move(right.delta);
    }
  }
  Prediction prediction;
  const std::size_t d = base.layout->channels;
  for (const TokenStage stage : question.stages) {
    if (stage == TokenStage::delta)
      prediction.stages.push_back(rows_of(made.delta[golden.looked_at], question.tokens, 1));
    if (stage == TokenStage::dq)
      prediction.stages.push_back(rows_of(made.dq[golden.looked_at], question.tokens, d));
    if (stage == TokenStage::dk) prediction.stages.push_back(rows_of(made.dk, question.tokens, d));
    if (stage == TokenStage::dv) prediction.stages.push_back(rows_of(made.dv, question.tokens, d));
  }
  prediction.bits = hash_of(prediction.stages);
  return prediction;
}

}  // namespace karat::golden
