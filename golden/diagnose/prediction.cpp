// Which rows are asked for, where they come from, and what stands there.
#include "prediction.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "backward_trial.hpp"
#include "recompute.hpp"

namespace karat::golden {
namespace {

/// Codes as the tensor core reads them, one row per token.
void codes_of(const quant::Quantised& operand, const video::TokenOrder& order,
              const std::vector<std::int32_t>& tokens, StageRows& rows) {
  for (const std::int32_t token : tokens) {
    const float* row = &operand.values[order.position_of[token] * operand.channels];
    rows.values.insert(rows.values.end(), row, row + operand.channels);
    rows.covered.push_back(true);
  }
}

/// A stage's values and legal range among a head's results.
struct StageArrays {
  const std::vector<float>*values, *low = nullptr, *high = nullptr;
};
StageArrays arrays_of(const Recomputed& rows, TokenStage stage) {
  const attention::HeadResult& r = rows.result;
  const bounds::OutputBounds& b = rows.bounds;
  switch (stage) {
    case TokenStage::m:
      return {&r.m};
    case TokenStage::l:
      return {&r.l, &b.l_low, &b.l_high};
    case TokenStage::lse:
      return {&r.lse, &b.lse_low, &b.lse_high};
    default:
      return {&r.o, &b.o_low, &b.o_high};
  }
}

std::size_t width_of(const Trial& trial, TokenStage stage) {
  return stage == TokenStage::o ? trial.layout->channels : 1;
}

StageRows result_rows(const Trial& trial, const Recomputed& rows,
                      const std::vector<RowSource>& sources, TokenStage stage) {
  const std::size_t width = width_of(trial, stage);
  const StageArrays arrays = arrays_of(rows, stage);
  const bool ranged = arrays.low != nullptr && !arrays.low->empty();
  StageRows out;
  for (const RowSource& source : sources) {
    out.covered.push_back(source.head == trial.base.head && rows.computed[source.token]);
    for (std::size_t j = 0; j < width; ++j) {
      const std::size_t from =
          stage == TokenStage::o && !trial.channel_from.empty() ? trial.channel_from[j] : j;
      const std::size_t e = source.token * width + from;
      out.values.push_back((*arrays.values)[e]);
      if (!ranged) continue;
      out.low.push_back((*arrays.low)[e]);
      out.high.push_back((*arrays.high)[e]);
    }
  }
  return out;
}

/// Rows that another head computes: the golden file holds them where nothing else is wrong.
void fill_from_golden(const Trial& trial, const std::vector<RowSource>& sources, TokenStage stage,
                      StageRows& rows) {
  const GoldenFile& golden = trial.base.golden;
  const std::string name(to_text(stage));
  if (!golden.has(name)) return;
  const std::lock_guard lock(*trial.base.file);
  const std::size_t width = width_of(trial, stage);
  const cases::Extents extents =
      stage == TokenStage::o ? cases::Extents::matrix : cases::Extents::vector;
  std::map<std::size_t, std::vector<std::size_t>> by_head;
  for (std::size_t i = 0; i < sources.size(); ++i)
    if (sources[i].head != trial.base.head) by_head[sources[i].head].push_back(i);
  for (const auto& [head, items] : by_head) {
    const std::vector<float> values = golden.values(name, extents, trial.base.batch, head);
    const bool bounded = !rows.low.empty() && golden.has("bound." + name + "_low");
    std::vector<float> low = values, high = values;
    if (bounded) {
      low = golden.values("bound." + name + "_low", extents, trial.base.batch, head);
      high = golden.values("bound." + name + "_high", extents, trial.base.batch, head);
    }
    for (const std::size_t i : items) {
      std::copy_n(&values[sources[i].token * width], width, &rows.values[i * width]);
      rows.covered[i] = true;
      if (rows.low.empty()) continue;
      std::copy_n(&low[sources[i].token * width], width, &rows.low[i * width]);
      std::copy_n(&high[sources[i].token * width], width, &rows.high[i * width]);
    }
  }
}

}  // namespace

std::uint64_t hash_of(const std::vector<StageRows>& stages) {
  std::uint64_t hash = 1469598103934665603u;
  const auto mix = [&](std::uint64_t word) { hash = (hash ^ word) * 1099511628211u; };
  for (const StageRows& stage : stages) {
    const std::size_t width =
        stage.covered.empty() ? 1 : stage.values.size() / stage.covered.size();
    for (std::size_t e = 0; e < stage.values.size(); ++e) {
      const bool covered = stage.covered[e / width];
      const float value = stage.values[e];
      mix(!covered ? 1 : std::isnan(value) ? 2 : std::bit_cast<std::uint32_t>(value) + 3ull);
    }
  }
  return hash;
}

std::optional<Prediction> predict(const Base& base, const Hypothesis& hypothesis,
                                  const Question& question, Ranges ranges, const KernelExp2& exp2) {
  if (!question.stages.empty() && pass_of(question.stages.front()) == Pass::backward)
    return predict_gradients(base, hypothesis, question);
  const std::optional<Trial> trial = prepare(base, hypothesis, exp2);
  if (!trial) return std::nullopt;
  std::vector<RowSource> sources;
  std::vector<std::int32_t> here;
  for (const std::int32_t token : question.tokens) {
    RowSource source{base.head, token};
    for (const auto map : trial->rows) source = map(*trial, source);
    sources.push_back(source);
    if (source.head == base.head) here.push_back(source.token);
  }
  Recomputed rows;
  if (std::ranges::any_of(question.stages, [](TokenStage stage) { return stage >= TokenStage::m; }))
    rows = recompute(*trial, blocks_of(*trial->layout, here, question.most_blocks), ranges);
  const bool only_output = hypothesis.edits.empty() &&
                           !has_moment(hypothesis, {Moment::inputs, Moment::launch, Moment::layout,
                                                    Moment::operands, Moment::kernel});
  Prediction prediction;
  for (const TokenStage stage : question.stages) {
    StageRows made;
    switch (stage) {
      case TokenStage::q_codes:
        codes_of(trial->operands->q, trial->layout->order, question.tokens, made);
        break;
      case TokenStage::k_codes:
        codes_of(trial->operands->k, trial->layout->key_order, question.tokens, made);
        break;
      case TokenStage::v_codes:
        codes_of(trial->operands->v, trial->layout->key_order, question.tokens, made);
        break;
      case TokenStage::m:
      case TokenStage::l:
      case TokenStage::lse:
      case TokenStage::o:
        made = result_rows(*trial, rows, sources, stage);
        if (only_output) fill_from_golden(*trial, sources, stage, made);
        break;
      default:  // gradients: predict_gradients()
        break;
    }
    prediction.stages.push_back(std::move(made));
  }
  prediction.bits = hash_of(prediction.stages);
  return prediction;
}

std::optional<Prediction> predict_all(const Base& base, const Hypothesis& hypothesis,
                                      const KernelExp2& exp2) {
  Question question{.stages = {TokenStage::lse, TokenStage::o},
                    .tokens = std::vector<std::int32_t>(base.layout->order.position_of.size()),
                    .most_blocks = std::numeric_limits<std::size_t>::max()};
  std::iota(question.tokens.begin(), question.tokens.end(), 0);
  return predict(base, hypothesis, question, Ranges::no, exp2);
}

}  // namespace karat::golden
