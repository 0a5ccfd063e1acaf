// From a hypothesis to rows: recipe, inputs, layout, operands, engine, finish, in that order, a
// mistake at its moment.
#include "trial.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>

#include "karat/attention/predict.hpp"
#include "karat/bounds/bounds.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

/// Whether the stage is as the golden recipe makes it: all edited fields decide later ones.
bool keeps(const Hypothesis& hypothesis, recipe::Decides stage) {
  return std::ranges::all_of(hypothesis.edits, [stage](const FieldEdit& edit) {
    return recipe::field(edit.field).decides > stage;
  });
}
bool has_moment(const Hypothesis& hypothesis, std::initializer_list<Moment> moments) {
  return std::any_of(hypothesis.mistakes.begin(), hypothesis.mistakes.end(), [&](const Mistake* m) {
    return std::find(moments.begin(), moments.end(), m->moment) != moments.end();
  });
}

std::shared_ptr<layout::Layout> layout_for(const Trial& trial) {
  const layout::Setting setting{.grid = trial.base.layout->grid,
                                .channels = trial.base.layout->channels};
  return std::make_shared<layout::Layout>(
      trial.values ? attention::layout_of_head(trial.recipe, setting, trial.values->view())
                   : layout::make_layout(trial.recipe, setting));
}

std::shared_ptr<const attention::QuantisedHead> operands_of(const Trial& trial) {
  if (trial.values)
    return std::make_shared<attention::QuantisedHead>(attention::quantise_head(
        trial.recipe, *trial.layout, trial.values->view(), numerics::Path::fast));
  return std::make_shared<attention::QuantisedHead>(
      quantised(trial.recipe, *trial.layout, *trial.base.codes));
}

bool apply(Trial& trial, const Hypothesis& hypothesis, Moment moment) {
  for (const Mistake* mistake : hypothesis.mistakes)
    if (mistake->moment == moment && !mistake->apply(trial, mistake->which)) return false;
  return true;
}

/// Everything up to the operands; nothing when a mistake cannot be made here.
std::optional<Trial> prepare(const Base& base, const Hypothesis& hypothesis,
                             const KernelExp2& exp2) {
  Trial trial(base, hypothesis.recipe);
  trial.exp2 = exp2;
  if (!apply(trial, hypothesis, Moment::recipe) || !apply(trial, hypothesis, Moment::inputs))
    return std::nullopt;
  const bool as_golden = !has_moment(hypothesis, {Moment::recipe, Moment::inputs, Moment::layout});
  if (as_golden && keeps(hypothesis, recipe::Decides::visits))
    trial.layout = std::const_pointer_cast<layout::Layout>(base.layout);  // never changed below
  else
    trial.layout = layout_for(trial);
  if (!apply(trial, hypothesis, Moment::layout)) return std::nullopt;
  trial.operands = as_golden && keeps(hypothesis, recipe::Decides::operands) ? base.operands
                                                                             : operands_of(trial);
  for (const Moment moment : {Moment::operands, Moment::kernel, Moment::output})
    if (!apply(trial, hypothesis, moment)) return std::nullopt;
  return trial;
}

/// The query blocks that hold most of the tokens, at most `most`, ascending.
std::vector<int> blocks_of(const layout::Layout& layout, const std::vector<std::int32_t>& tokens,
                           std::size_t most) {
  std::map<int, std::size_t> count;
  const auto& blocks = layout.blocks.query_blocks;
  for (const std::int32_t token : tokens) {
    const std::int64_t position = layout.order.position_of[token];
    const auto after = std::upper_bound(
        blocks.begin(), blocks.end(), position,
        [](std::int64_t at, const video::Range& range) { return at < range.begin; });
    if (after != blocks.begin() && position < (after - 1)->end)
      ++count[static_cast<int>(after - blocks.begin()) - 1];
  }
  std::vector<int> chosen;
  for (const auto& [block, tokens_in_it] : count) chosen.push_back(block);
  std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) { return count[a] > count[b]; });
  chosen.resize(std::min(chosen.size(), most));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// Results per token, and where asked their legal ranges.
struct Rows {
  attention::HeadResult result;
  std::vector<bool> computed;   ///< per token
  bounds::OutputBounds bounds;  ///< empty where no range is known
};

void put(std::span<const float> rows, const layout::Layout& layout, video::Range queries,
         std::size_t channels, std::vector<float>& per_token) {
  for (std::int64_t i = 0; i < queries.size(); ++i)
    if (const std::int32_t token = layout.order.token_at[queries.begin + i]; token >= 0)
      std::copy_n(&rows[i * channels], channels, &per_token[token * channels]);
}

/// Legal ranges of one block by the recipe's own bounds.
void add_bounds(const Trial& trial, const bounds::HeadBounds& head_bounds,
                const attention::BlockTap& tap, Rows& rows) {
  const layout::Layout& layout = *trial.layout;
  const bounds::BlockBounds block = head_bounds.of(
      tap, bounds::gather(rows.result.o, layout, tap.queries, layout.channels),
      bounds::gather(rows.result.lse, layout, tap.queries, 1), bounds::Detail::outputs);
  put(block.out_low, layout, tap.queries, layout.channels, rows.bounds.o_low);
  put(block.out_high, layout, tap.queries, layout.channels, rows.bounds.o_high);
  put(block.row_l_low, layout, tap.queries, 1, rows.bounds.l_low);
  put(block.row_l_high, layout, tap.queries, 1, rows.bounds.l_high);
  put(block.lse_low, layout, tap.queries, 1, rows.bounds.lse_low);
  put(block.lse_high, layout, tap.queries, 1, rows.bounds.lse_high);
}

/// Kernel faults have no bounds of their own: legal exp2s at both ends and in turns, their hull.
void add_hull(const Trial& trial, const attention::BlockTap& tap, Rows& rows) {
  const layout::Layout& layout = *trial.layout;
  constexpr bounds::Freedom kFree{};
  for (int kernel = 0; kernel < 6; ++kernel) {
    std::uint32_t turn = static_cast<std::uint32_t>(kernel) * 2654435761u;
    const KernelExp2 exp2 = [&](float, float rounded) {
      turn = turn * 1664525u + 1013904223u;
      const bool high = kernel == 0 || (kernel > 1 && (turn >> 31) != 0);
      return rounded * (high ? kFree.high : kFree.low);
    };
    const KernelRows made =
        run_kernel(trial.recipe, layout, *trial.operands, tap, trial.faults, exp2);
    for (std::int64_t i = 0; i < tap.queries.size(); ++i) {
      const std::int32_t token = layout.order.token_at[tap.queries.begin + i];
      if (token < 0) continue;
      for (std::size_t j = 0; j < layout.channels; ++j) {
        const std::size_t e = token * layout.channels + j;
        const float value = made.out[i * layout.channels + j];
        rows.bounds.o_low[e] = std::min(rows.bounds.o_low[e], value);
        rows.bounds.o_high[e] = std::max(rows.bounds.o_high[e], value);
      }
    }
  }
}

void prepare_bounds(const attention::HeadResult& result, bounds::OutputBounds& bounds) {
  bounds = {.o_low = result.o,
            .o_high = result.o,
            .l_low = result.l,
            .l_high = result.l,
            .lse_low = result.lse,
            .lse_high = result.lse};
}

Rows compute(const Trial& trial, const std::vector<int>& blocks, Ranges ranges) {
  const layout::Layout& layout = *trial.layout;
  const bool own_kernel = !trial.faults.empty() || trial.exp2;
  const bool free = ranges == Ranges::yes && bounds::leaves_freedom(trial.recipe);
  attention::AttendOptions options{.threads = 1, .query_blocks = blocks, .tapped = {}};
  options.score_factor = trial.score_factor;
  if (own_kernel || free) options.tapped = blocks;
  Rows rows{.result = attention::attend(trial.recipe, layout, *trial.operands, options),
            .computed = std::vector<bool>(layout.order.position_of.size(), false),
            .bounds = {}};
  for (const int block : blocks)
    for (std::int64_t i = layout.blocks.query_blocks[block].begin;
         i < layout.blocks.query_blocks[block].end; ++i)
      if (layout.order.token_at[i] >= 0) rows.computed[layout.order.token_at[i]] = true;
  if (own_kernel)
    for (const attention::BlockTap& tap : rows.result.taps) {
      const KernelRows made =
          run_kernel(trial.recipe, layout, *trial.operands, tap, trial.faults, trial.exp2);
      put(made.out, layout, tap.queries, layout.channels, rows.result.o);
      put(made.l, layout, tap.queries, 1, rows.result.l);
    }
  if (!free) return rows;
  prepare_bounds(rows.result, rows.bounds);
  if (own_kernel) {
    for (const attention::BlockTap& tap : rows.result.taps) add_hull(trial, tap, rows);
    return rows;
  }
  try {
    const bounds::HeadBounds head_bounds(trial.recipe, layout, *trial.operands, 1);
    for (const attention::BlockTap& tap : rows.result.taps)
      add_bounds(trial, head_bounds, tap, rows);
  } catch (const Error&) {  // arithmetic that no recipe has: only equal bits count
    prepare_bounds(rows.result, rows.bounds);
  }
  return rows;
}

/// Codes as the tensor core reads them, one row per token.
void codes_of(const quant::Quantised& operand, const video::TokenOrder& order,
              const std::vector<std::int32_t>& tokens, StageRows& rows) {
  for (const std::int32_t token : tokens) {
    const float* row = &operand.values[order.position_of[token] * operand.channels];
    rows.values.insert(rows.values.end(), row, row + operand.channels);
    rows.covered.push_back(true);
  }
}

StageRows result_rows(const Trial& trial, const Rows& rows, const std::vector<RowSource>& sources,
                      TokenStage stage) {
  const std::size_t width = stage == TokenStage::o ? trial.layout->channels : 1;
  const auto pick = [&](const attention::HeadResult& r) -> const std::vector<float>& {
    if (stage == TokenStage::m) return r.m;
    if (stage == TokenStage::l) return r.l;
    return stage == TokenStage::lse ? r.lse : r.o;
  };
  const std::vector<float>& values = pick(rows.result);
  static const std::vector<float> none;
  const std::vector<float>* low = &none;
  const std::vector<float>* high = &none;
  if (stage == TokenStage::l) low = &rows.bounds.l_low, high = &rows.bounds.l_high;
  if (stage == TokenStage::lse) low = &rows.bounds.lse_low, high = &rows.bounds.lse_high;
  if (stage == TokenStage::o) low = &rows.bounds.o_low, high = &rows.bounds.o_high;
  StageRows out;
  for (const RowSource& source : sources) {
    const bool here = source.head == trial.base.head;
    out.covered.push_back(here && rows.computed[source.token]);
    for (std::size_t j = 0; j < width; ++j) {
      const std::size_t from =
          stage == TokenStage::o && !trial.channel_from.empty() ? trial.channel_from[j] : j;
      const std::size_t e = source.token * width + from;
      out.values.push_back(values[e]);
      if (low->empty()) continue;
      out.low.push_back((*low)[e]);
      out.high.push_back((*high)[e]);
    }
  }
  return out;
}

/// Rows that another head computes: the golden file holds them where nothing else is wrong.
void fill_from_golden(const Trial& trial, const std::vector<RowSource>& sources, TokenStage stage,
                      StageRows& rows) {
  const GoldenFile& golden = trial.base.golden;
  const std::string name(kTokenStageNames[static_cast<int>(stage)]);
  if (!golden.has(name)) return;
  const std::lock_guard lock(*trial.base.file);
  const std::size_t width = stage == TokenStage::o ? trial.layout->channels : 1;
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

}  // namespace

cases::HeadValues Base::values_of(std::size_t other) const {
  const std::lock_guard lock(*file);
  return cases::file_inputs({golden.subject()}, {.grid = layout->grid})->values(batch, other, 1);
}

cases::HeadValues& Trial::own_values() {
  if (!changed_values_) {
    changed_values_ = std::make_shared<cases::HeadValues>(*values);
    values = changed_values_;
  }
  return *changed_values_;
}

attention::QuantisedHead& Trial::own_operands() {
  if (!changed_operands_) {
    changed_operands_ = std::make_shared<attention::QuantisedHead>(*operands);
    operands = changed_operands_;
  }
  return *changed_operands_;
}

Base make_base(const GoldenFile& golden, std::size_t batch, std::size_t head) {
  const auto inputs = golden.opened_case().inputs;
  if (golden.text() > 0 || golden.mask() != nullptr)
    throw Error(ErrorKind::usage, golden.subject(),
                "has text tokens or a mask of its own, which no diagnosis covers yet",
                "diagnose the same kernel on a case without");
  Base base{.golden = golden,
            .batch = batch,
            .head = head,
            .recipe = golden.recipe(),
            .values = {},
            .codes = {},
            .layout = {std::shared_ptr<void>(), &golden.layout(batch, head)},  // the file's own
            .operands = {},
            .file = std::make_shared<std::mutex>()};
  if (inputs->coded()) {
    base.codes = std::make_shared<cases::CodedHead>(inputs->codes(batch, head));
    base.operands = std::make_shared<attention::QuantisedHead>(
        quantised(base.recipe, *base.layout, *base.codes));
  } else {
    base.values = std::make_shared<cases::HeadValues>(inputs->values(batch, head, 1));
    base.operands = std::make_shared<attention::QuantisedHead>(attention::quantise_head(
        base.recipe, *base.layout, base.values->view(), numerics::Path::fast));
  }
  return base;
}

std::optional<Prediction> predict(const Base& base, const Hypothesis& hypothesis,
                                  const Question& question, Ranges ranges, const KernelExp2& exp2) {
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
  Rows rows;
  const bool results = std::any_of(question.stages.begin(), question.stages.end(),
                                   [](TokenStage stage) { return stage >= TokenStage::m; });
  if (results) {
    const std::vector<int> blocks = blocks_of(*trial->layout, here, question.most_blocks);
    if (blocks.empty()) {
      const std::size_t tokens = trial->layout->order.position_of.size();
      rows = {.result = {.o = std::vector<float>(tokens * trial->layout->channels),
                         .lse = std::vector<float>(tokens),
                         .m = std::vector<float>(tokens),
                         .l = std::vector<float>(tokens),
                         .taps = {}},
              .computed = std::vector<bool>(tokens, false),
              .bounds = {}};
    } else {
      rows = compute(*trial, blocks, ranges);
    }
  }
  const bool only_output = hypothesis.edits.empty() &&
                           !has_moment(hypothesis, {Moment::inputs, Moment::recipe, Moment::layout,
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
