// Counts differences per token, picks a head, then blocks: first, last and worst, and one that
// agrees.
#include "sample.hpp"

#include <algorithm>
#include <numeric>

#include "check/check_stage.hpp"
#include "karat/bounds/bounds.hpp"
#include "same_value.hpp"

namespace karat::golden {
namespace {

/// The row of this stage in the comparison's tables.
const StageRow& row_of(TokenStage stage) {
  const auto* const row = std::ranges::find(kOutputStages, to_text(stage), &StageRow::name);
  return row != std::end(kOutputStages)
             ? *row
             : *std::ranges::find(kOperandStages, to_text(stage), &StageRow::name);
}

/// All tokens of one head in one stage.
SampledStage whole_stage(const GoldenFile& golden, const Comparison& comparison,
                         TokenStage token_stage, std::size_t b, std::size_t h, Alarm alarm) {
  const StageRow& row = row_of(token_stage);
  const cases::Extents extents = extents_of(row.kind);
  SampledStage stage{.stage = token_stage,
                     .width = row.kind == StageKind::matrix ? golden.shape().channels : 1,
                     .golden = golden.values(row.name, extents, b, h),
                     .candidate = comparison.candidate_rows(row, b, h),
                     .differs = {}};
  const std::string bound(row.bound);
  std::vector<float> low, high;
  if (alarm == Alarm::outside && !bound.empty() && golden.has(bound + "_low")) {
    low = golden.values(bound + "_low", extents, b, h);
    high = golden.values(bound + "_high", extents, b, h);
  }
  stage.differs.resize(stage.golden.size());
  for (std::size_t e = 0; e < stage.golden.size(); ++e) {
    const float c = stage.candidate[e];
    if (same_value(c, stage.golden[e])) continue;
    stage.differs[e] = low.empty() || !bounds::inside(c, low[e], high[e]);
  }
  return stage;
}

std::vector<std::int64_t> per_token(const std::vector<SampledStage>& stages, std::size_t tokens) {
  std::vector<std::int64_t> count(tokens, 0);
  for (const SampledStage& stage : stages)
    for (std::size_t e = 0; e < stage.differs.size(); ++e)
      count[e / stage.width] += stage.differs[e];
  return count;
}

/// The first differing block, the last, the worst, and further ones evenly; one that agrees, if
/// any.
std::vector<int> choose_blocks(const std::vector<std::int64_t>& differing, int wanted) {
  std::vector<int> bad, good;
  for (int block = 0; block < std::ssize(differing); ++block)
    (differing[block] > 0 ? bad : good).push_back(block);
  std::vector<int> chosen;
  const auto add = [&](int block) {
    if (std::ssize(chosen) < wanted &&
        std::find(chosen.begin(), chosen.end(), block) == chosen.end())
      chosen.push_back(block);
  };
  if (!bad.empty()) {
    add(*std::max_element(bad.begin(), bad.end(),
                          [&](int a, int b) { return differing[a] < differing[b]; }));
    add(bad.back());
    if (!good.empty()) add(good[good.size() / 2]);
    add(bad.front());
    for (std::size_t i = 1; i + 1 < bad.size(); i += std::max<std::size_t>(1, bad.size() / 8))
      add(bad[i]);
  }
  for (const int block : bad) add(block);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// `rows`: indices of rows in `whole`.
SampledStage rows_of(const SampledStage& whole, const std::vector<std::int32_t>& rows) {
  SampledStage part{
      .stage = whole.stage, .width = whole.width, .golden = {}, .candidate = {}, .differs = {}};
  for (const std::int32_t row : rows)
    for (std::size_t j = 0; j < whole.width; ++j) {
      const std::size_t e = row * whole.width + j;
      part.golden.push_back(whole.golden[e]);
      part.candidate.push_back(whole.candidate[e]);
      part.differs.push_back(whole.differs[e]);
    }
  return part;
}

}  // namespace

Sample restricted(const Sample& sample, const std::vector<std::int32_t>& tokens) {
  Sample part = sample;
  part.tokens = tokens;
  std::vector<std::int32_t> rows;
  for (const std::int32_t token : tokens)
    rows.push_back(static_cast<std::int32_t>(
        std::lower_bound(sample.tokens.begin(), sample.tokens.end(), token) -
        sample.tokens.begin()));
  part.stages.clear();
  for (const SampledStage& stage : sample.stages) part.stages.push_back(rows_of(stage, rows));
  return part;
}

Sample take_sample(const GoldenFile& golden, const cases::TensorSource& candidate,
                   const DiagnoseOptions& options) {
  const CheckOptions check_options{.layout = options.layout,
                                   .order = options.order,
                                   .select = options.select,
                                   .threads = options.threads,
                                   .progress = {}};
  const Comparison comparison(golden, candidate, check_options);
  std::vector<TokenStage> present;
  for (std::size_t i = 0; i < std::size(kTokenStageNames); ++i)
    if (golden.has(kTokenStageNames[i]) && candidate.find(kTokenStageNames[i])) {
      present.push_back(static_cast<TokenStage>(i));
      comparison.require_shape(row_of(present.back()));
    }
  Sample sample;
  std::int64_t most = -1;
  std::vector<SampledStage> most_differing;
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h) {
      if (!comparison.selected(b, h)) continue;
      std::vector<SampledStage> stages;
      for (const TokenStage stage : present)
        stages.push_back(whole_stage(golden, comparison, stage, b, h, options.alarm));
      const auto count = per_token(stages, golden.shape().rows);
      const std::int64_t total = std::accumulate(count.begin(), count.end(), std::int64_t{0});
      sample.differing += total;
      if (total <= most) continue;
      most = total;
      sample.batch = b;
      sample.head = h;
      most_differing = std::move(stages);
    }
  if (sample.differing == 0) return sample;

  const layout::Layout& layout = golden.layout(sample.batch, sample.head);
  const auto count = per_token(most_differing, golden.shape().rows);
  std::vector<std::int64_t> per_block(layout.blocks.query_blocks.size(), 0);
  const auto tokens_of = [&](int block, auto&& visit) {
    const video::Range rows = layout.blocks.query_blocks[block];
    for (std::int64_t i = rows.begin; i < rows.end; ++i)
      if (layout.order.token_at[i] >= 0) visit(layout.order.token_at[i]);
  };
  for (int block = 0; block < std::ssize(per_block); ++block)
    tokens_of(block, [&](std::int32_t token) { per_block[block] += count[token]; });
  sample.query_blocks = options.select.block ? std::vector<int>{*options.select.block}
                                             : choose_blocks(per_block, options.query_blocks);
  for (const int block : sample.query_blocks)
    tokens_of(block, [&](std::int32_t token) { sample.tokens.push_back(token); });
  std::sort(sample.tokens.begin(), sample.tokens.end());
  const int worst_block =
      *std::max_element(sample.query_blocks.begin(), sample.query_blocks.end(),
                        [&](int x, int y) { return per_block[x] < per_block[y]; });
  tokens_of(worst_block, [&](std::int32_t token) { sample.screen.push_back(token); });
  std::sort(sample.screen.begin(), sample.screen.end());
  for (const SampledStage& stage : most_differing)
    sample.stages.push_back(rows_of(stage, sample.tokens));
  return sample;
}

}  // namespace karat::golden
