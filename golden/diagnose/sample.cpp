// Counts differences per token, picks a head, then blocks that choose (first, last and worst, and
// one that agrees), then others that confirm.
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
  static constexpr StageRow kGradients[] = {{"delta", StageKind::vector, ""},
                                            {"dv", StageKind::matrix, ""},
                                            {"dk", StageKind::matrix, ""},
                                            {"dq", StageKind::matrix, ""}};
  if (pass_of(stage) == Pass::backward)
    return *std::ranges::find(kGradients, to_text(stage), &StageRow::name);
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

/// Query blocks that choose and that confirm.
struct Blocks {
  std::vector<int> choosing, confirming;
};

bool among(const std::vector<int>& blocks, int block) {
  return std::find(blocks.begin(), blocks.end(), block) != blocks.end();
}

/// Choosing: the worst, the last and the first that differ, one that agrees, and further ones
/// evenly; of two that differ or more, one at least is left. Confirming: two of the others that
/// differ and one that agrees. @pre one block differs
Blocks choose_blocks(const std::vector<std::int64_t>& differing, std::size_t wanted) {
  std::vector<int> bad, good;
  for (int block = 0; block < std::ssize(differing); ++block)
    (differing[block] > 0 ? bad : good).push_back(block);
  Blocks blocks;
  std::size_t bad_left = std::max<std::size_t>(2, bad.size()) - 1;
  const auto choose = [&](int block) {
    if (blocks.choosing.size() == wanted || among(blocks.choosing, block)) return;
    if (differing[block] > 0 && bad_left-- == 0) {
      bad_left = 0;
      return;
    }
    blocks.choosing.push_back(block);
  };
  choose(*std::max_element(bad.begin(), bad.end(),
                           [&](int a, int b) { return differing[a] < differing[b]; }));
  choose(bad.back());
  if (!good.empty()) choose(good[good.size() / 2]);
  choose(bad.front());
  for (std::size_t i = 1; i + 1 < bad.size(); i += std::max<std::size_t>(1, bad.size() / 8))
    choose(bad[i]);
  for (const int block : bad) choose(block);
  std::erase_if(bad, [&](int block) { return among(blocks.choosing, block); });
  std::erase_if(good, [&](int block) { return among(blocks.choosing, block); });
  for (const std::size_t i : {bad.size() / 3, bad.size() * 2 / 3})
    if (i < bad.size() && !among(blocks.confirming, bad[i])) blocks.confirming.push_back(bad[i]);
  if (!good.empty()) blocks.confirming.push_back(good[good.size() / 3]);
  for (std::vector<int>* chosen : {&blocks.choosing, &blocks.confirming})
    std::sort(chosen->begin(), chosen->end());
  return blocks;
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

Sample sample_of(std::vector<std::pair<std::int32_t, int>> tokens, const std::vector<int>& blocks,
                 const std::vector<SampledStage>& stages) {
  std::sort(tokens.begin(), tokens.end());
  Sample sample{.query_blocks = blocks, .tokens = {}, .block_of = {}, .stages = {}};
  for (const auto& [token, block] : tokens) {
    sample.tokens.push_back(token);
    sample.block_of.push_back(block);
  }
  for (const SampledStage& stage : stages) sample.stages.push_back(rows_of(stage, sample.tokens));
  return sample;
}

/// Deals rows out to both samples. @param differing per token of the whole head
void deal(const layout::Layout& layout, const std::vector<SampledStage>& stages,
          const std::vector<std::int64_t>& differing, const DiagnoseOptions& options,
          Samples& samples) {
  std::vector<std::int64_t> per_block(layout.blocks.query_blocks.size(), 0);
  const auto tokens_of = [&](int block, auto&& visit) {
    const video::Range rows = layout.blocks.query_blocks[block];
    for (std::int64_t i = rows.begin; i < rows.end; ++i)
      if (layout.order.token_at[i] >= 0) visit(layout.order.token_at[i]);
  };
  for (int block = 0; block < std::ssize(per_block); ++block)
    tokens_of(block, [&](std::int32_t token) { per_block[block] += differing[token]; });
  Blocks blocks =
      options.select.block
          ? Blocks{.choosing = {*options.select.block}, .confirming = {}}
          : choose_blocks(per_block, static_cast<std::size_t>(std::max(1, options.query_blocks)));
  const auto differs = [&](int block) { return per_block[block] > 0; };
  const bool by_rows = std::ranges::none_of(blocks.confirming, differs);
  std::vector<std::pair<std::int32_t, int>> choosing, confirming;
  for (const int block : blocks.choosing) {
    int turn[2] = {0, 0};  // rows that agree, rows that differ
    tokens_of(block, [&](std::int32_t token) {
      const bool second = by_rows && differs(block) && turn[differing[token] > 0]++ % 2 == 1;
      (second ? confirming : choosing).emplace_back(token, block);
    });
  }
  for (const int block : blocks.confirming)
    tokens_of(block, [&](std::int32_t token) { confirming.emplace_back(token, block); });
  if (by_rows)
    std::ranges::copy_if(blocks.choosing, std::back_inserter(blocks.confirming), differs);
  const int worst_block =
      *std::max_element(blocks.choosing.begin(), blocks.choosing.end(),
                        [&](int x, int y) { return per_block[x] < per_block[y]; });
  samples.choosing = sample_of(std::move(choosing), blocks.choosing, stages);
  samples.confirming = sample_of(std::move(confirming), blocks.confirming, stages);
  for (std::size_t i = 0; i < samples.choosing.tokens.size(); ++i)
    if (samples.choosing.block_of[i] == worst_block)
      samples.screen.push_back(samples.choosing.tokens[i]);
}

}  // namespace

Sample restricted(const Sample& sample, const std::vector<std::int32_t>& tokens) {
  Sample part = sample;
  part.tokens = tokens;
  part.block_of.clear();
  std::vector<std::int32_t> rows;
  for (const std::int32_t token : tokens) {
    rows.push_back(static_cast<std::int32_t>(
        std::lower_bound(sample.tokens.begin(), sample.tokens.end(), token) -
        sample.tokens.begin()));
    part.block_of.push_back(sample.block_of[rows.back()]);
  }
  part.stages.clear();
  for (const SampledStage& stage : sample.stages) part.stages.push_back(rows_of(stage, rows));
  return part;
}

Samples take_samples(const GoldenFile& golden, const cases::TensorSource& candidate,
                     const DiagnoseOptions& options, Pass pass) {
  const CheckOptions check_options{.layout = options.layout,
                                   .order = options.order,
                                   .select = options.select,
                                   .threads = options.threads,
                                   .progress = {}};
  const Comparison comparison(golden, candidate, check_options);
  std::vector<TokenStage> present;
  for (std::size_t i = 0; i < std::size(kTokenStageNames); ++i)
    if (pass_of(static_cast<TokenStage>(i)) == pass && golden.has(kTokenStageNames[i]) &&
        candidate.find(kTokenStageNames[i])) {
      present.push_back(static_cast<TokenStage>(i));
      comparison.require_shape(row_of(present.back()));
    }
  Samples samples;
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
      samples.differing += total;
      if (total <= most) continue;
      most = total;
      samples.batch = b;
      samples.head = h;
      most_differing = std::move(stages);
    }
  if (samples.differing > 0)
    deal(golden.layout(samples.batch, samples.head), most_differing,
         per_token(most_differing, golden.shape().rows), options, samples);
  return samples;
}

}  // namespace karat::golden
