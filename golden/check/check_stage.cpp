// Rows brought into original token order, then tallied; legal ranges are read when needed.
#include "check_stage.hpp"

#include <algorithm>

#include "candidate_values.hpp"
#include "error_gate.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/numerics/base/error.hpp"
#include "tally.hpp"

namespace karat::golden {
namespace {

Legal range_of(const bounds::OutputBounds& bounds, std::string_view stage) {
  if (stage == "l") return {bounds.l_low, bounds.l_high};
  if (stage == "lse") return {bounds.lse_low, bounds.lse_high};
  return {bounds.o_low, bounds.o_high};
}

SpreadStage spread_stage(std::string_view stage) {
  return stage == "l" ? SpreadStage::l : stage == "lse" ? SpreadStage::lse : SpreadStage::o;
}

}  // namespace

cases::TensorLayout Comparison::layout_of(const StageRow& row) const {
  const bool v = row.kind == StageKind::matrix && row.name.starts_with('v');
  return v ? options_.v_layout.value_or(options_.layout) : options_.layout;
}

bool Comparison::widened() const {
  bounds::Freedom more = freedom_;
  more.low = more.high = 1.0f;
  return bounds::leaves_freedom(more);
}

bool Comparison::branch_is_free() const {
  return golden_.recipe().branch.kind != recipe::BranchKind::none &&
         bounds::leaves_freedom(freedom_);
}

FreeBranch& Comparison::free_branch(std::size_t b, std::size_t h) {
  const auto found = branches_.find({b, h});
  if (found != branches_.end()) return found->second;
  std::optional<std::vector<float>> own;
  if (candidate_.find("branch")) own = candidate_rows({"branch", StageKind::matrix, ""}, b, h);
  return branches_
      .try_emplace({b, h}, golden_, b, h, std::move(own), options_.threads, [this] { step(); })
      .first->second;
}

bool Comparison::on_another_branch(const StageRow& row, std::size_t b, std::size_t h) {
  return row.name == "o" && branch_is_free() && free_branch(b, h).moves_outputs();
}

const Comparison::Ranges& Comparison::ranges(std::size_t batch, std::size_t head,
                                             bounds::Summation summation) {
  const auto [found, missing] = ranges_.try_emplace({{batch, head}, summation});
  if (missing) {
    bounds::Freedom freedom = freedom_;
    freedom.summation = summation;
    attention::QuantisedHead operands = golden_.operands(batch, head);
    const bounds::BranchRange* range = nullptr;
    if (branch_is_free()) {
      FreeBranch& branch = free_branch(batch, head);
      if (branch.own())
        operands.branch = *branch.own();
      else
        range = &branch.range();
    }
    bounds::BoundedResult result = bounds::attend_with_bounds(
        golden_.recipe(), golden_.layout(batch, head), operands, {}, options_.threads,
        [this](std::size_t, std::size_t) { step(); }, freedom, range);
    found->second = {std::move(result.bounds), std::move(result.golden.o)};
  }
  return found->second;
}

void Comparison::announce(std::size_t stages) {
  std::size_t heads = 0;
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) heads += selected(b, h);
  total_ = stages * heads;
}

void Comparison::step() const {
  if (options_.progress) options_.progress(done_, total_);
}

bool Comparison::selected(std::size_t batch, std::size_t head) const {
  const Selection& select = options_.select;
  return select.batch.value_or(batch) == batch && select.head.value_or(head) == head;
}

void Comparison::require_shape(const StageRow& row) const {
  const std::string name = *candidate_.find(row.name);
  const cases::TensorSource& source = golden_.source();
  cases::HeadShape expected =
      source.head_shape(*source.find(row.name), extents_of(row.kind), cases::TensorLayout::bhsd);
  if (options_.order == RowOrder::tiled && row.kind != StageKind::groups)
    expected.rows = order(row, options_.select.batch.value_or(0), options_.select.head.value_or(0))
                        .token_at.size();
  const cases::HeadShape found = candidate_.head_shape(name, extents_of(row.kind), layout_of(row));
  const bool one_head = found.batch == 1 && found.heads == 1 && options_.select.head &&
                        (options_.select.batch || expected.batch == 1);
  const bool heads = found.batch == expected.batch && found.heads == expected.heads;
  if ((heads || one_head) && found.rows == expected.rows && found.channels == expected.channels)
    return;
  const auto text = [](const cases::HeadShape& s) {
    return std::to_string(s.batch) + " x " + std::to_string(s.heads) + " x " +
           std::to_string(s.rows) + " x " + std::to_string(s.channels);
  };
  const bool swapped = found.heads == expected.rows && found.rows == expected.heads;
  const bool transposed = row.name.starts_with('v') && found.rows == expected.channels &&
                          found.channels == expected.rows;
  throw Error(ErrorKind::usage, candidate_.subject() + ": " + name,
              "is " + text(found) + " (batch, head, row, channel) where the golden file is " +
                  text(expected),
              swapped      ? "try the other --layout"
              : transposed ? "try --v-layout BHDS"
                           : "compare the same case, or --select one head");
}

const video::TokenOrder& Comparison::order(const StageRow& row, std::size_t batch,
                                           std::size_t head) const {
  const layout::Layout& layout = golden_.layout(batch, head);
  return side_of(row.name) == Side::key ? layout.key_order : layout.order;
}

std::vector<float> Comparison::to_tokens(std::vector<float> rows, std::size_t channels,
                                         const video::TokenOrder& order) const {
  if (options_.order == RowOrder::original) return rows;
  const auto& position_of = order.position_of;
  std::vector<float> tokens(position_of.size() * channels);
  for (std::size_t token = 0; token < position_of.size(); ++token)
    std::copy_n(&rows[position_of[token] * channels], channels, &tokens[token * channels]);
  return tokens;
}

std::vector<float> Comparison::candidate_rows(const StageRow& row, std::size_t batch,
                                              std::size_t head) const {
  const std::string name = *candidate_.find(row.name);
  const cases::HeadShape shape = candidate_.head_shape(name, extents_of(row.kind), layout_of(row));
  const bool one_head = shape.batch == 1 && shape.heads == 1;
  const std::size_t number = head * shape.heads / golden_.shape().heads;  // fewer of k and v
  const files::Tensor tensor = candidate_.head(name, extents_of(row.kind), layout_of(row),
                                               one_head ? 0 : batch, one_head ? 0 : number);
  std::vector<float> values =
      candidate_values(tensor, golden_.format(row.name), candidate_.subject() + ": " + name);
  if (row.kind == StageKind::groups) return values;
  return to_tokens(std::move(values), shape.channels, order(row, batch, head));
}

Location Comparison::at_token(Location at, std::int64_t token) const {
  const layout::Layout& layout = golden_.layout(at.batch, at.head);
  at.token = token;
  const std::int64_t position = layout.order.position_of[token];
  at.query_tile = layout.order.tile_at[position];
  const auto& blocks = layout.blocks.query_blocks;
  const auto block = std::find_if(blocks.begin(), blocks.end(), [&](video::Range range) {
    return range.begin <= position && position < range.end;
  });
  at.query_block = block - blocks.begin();
  return at;
}

std::function<bool(std::size_t)> Comparison::outside_selection(std::size_t b, std::size_t h,
                                                               std::size_t channels) const {
  if (!options_.select.block) return {};
  const layout::Layout& layout = golden_.layout(b, h);
  const video::Range block = layout.blocks.query_blocks[*options_.select.block];
  return [&layout, block, channels](std::size_t i) {
    const std::int64_t position = layout.order.position_of[i / channels];
    return position < block.begin || position >= block.end;
  };
}

std::optional<Doubt> Comparison::note_outputs(std::size_t b, std::size_t h,
                                              std::span<const float> golden,
                                              std::span<const float> candidate,
                                              const std::function<bool(std::size_t)>& skip) {
  const cases::TensorSource& source = golden_.source();
  const auto rows_name = source.find("truth.rows");
  const auto truth_name = source.find("truth.sparse_o");
  if (!rows_name || !truth_name) return std::nullopt;
  const files::Tensor rows = source.read(*rows_name);
  const files::Tensor truth =
      source.head(*truth_name, cases::Extents::matrix, cases::TensorLayout::bhsd, b, h);
  if (rows.dtype != files::DType::i32 || truth.dtype != files::DType::f64) return std::nullopt;
  const std::size_t channels = golden_.shape().channels;
  const auto stored = truth.as<double>();
  std::vector<double> times_multiplier(stored.begin(), stored.end());
  for (double& x : times_multiplier) x *= golden_.recipe().finish.multiplier;
  const std::span<const double> values(times_multiplier);
  std::vector<TruthRow> known;
  std::map<std::size_t, std::span<const double>> truth_of;
  std::size_t r = 0;
  for (const std::int32_t token : rows.as<std::int32_t>()) {
    const std::size_t first = token * channels;
    const std::span<const double> exact = values.subspan(r++ * channels, channels);
    const auto row = truth_row(token, exact, golden.subspan(first, channels),
                               candidate.subspan(first, channels));
    if (!row || (skip && skip(first))) continue;
    truth_of[token] = exact;
    outputs_.truth_squared += row->truth;
    outputs_.golden_squared += row->golden;
    outputs_.candidate_squared += row->candidate;
    known.push_back(*row);
  }
  outputs_.truth_rows += static_cast<std::int64_t>(known.size());
  const double reach = spread(b, h).error_reach(golden, [&](std::size_t token) {
    const auto found = truth_of.find(token);
    return found == truth_of.end() ? std::span<const double>{} : found->second;
  });
  const layout::Layout& layout = golden_.layout(b, h);
  return beyond(allowed_ratio(options_.error_ratio, reach),
                {.order = layout.order, .blocks = layout.blocks.query_blocks}, golden_.format("o"),
                known);
}

LegalSpread& Comparison::spread(std::size_t b, std::size_t h) {
  const Head head{b, h};
  const auto operands = [this, head]() -> const attention::QuantisedHead& {
    if (!operands_ || operands_of_ != head) {
      operands_ = golden_.operands(head.first, head.second);
      operands_of_ = head;
      if (branch_is_free())
        if (const auto* own = free_branch(head.first, head.second).own()) operands_->branch = *own;
    }
    return *operands_;
  };
  const auto [found, missing] =
      spreads_.try_emplace(head, golden_.recipe(), golden_.layout(b, h), operands, freedom_,
                           options_.threads, [this] { step(); });
  if (missing && branch_is_free() && !free_branch(b, h).own())
    found->second.add_branches(
        [this, b, h](std::size_t kernel) { return free_branch(b, h).kernel(kernel); });
  return found->second;
}

std::optional<Doubt> Comparison::beyond_spread(const StageRow& row, std::size_t b, std::size_t h,
                                               std::span<const float> golden,
                                               std::span<const float> candidate,
                                               const std::function<bool(std::size_t)>& skip) {
  const std::size_t channels = row.kind == StageKind::matrix ? golden_.shape().channels : 1;
  if (row.name == "branch")
    return free_branch(b, h).judge(
        golden, candidate, [&](std::size_t token) { return !skip || !skip(token * channels); });
  return spread(b, h).judge(
      {.stage = spread_stage(row.name),
       .format = golden_.format(row.name),
       .channels = channels,
       .golden = golden,
       .candidate = candidate,
       .considered = [&](std::size_t token) { return !skip || !skip(token * channels); }});
}

StageReport Comparison::stage(const StageRow& row) {
  require_shape(row);
  const std::string bound = std::string(row.bound);
  const bool recomputed = !bound.empty() && widened();
  const bool branch = row.name == "branch" && branch_is_free();
  const bool bounded = branch || recomputed || (!bound.empty() && golden_.has(bound + "_low"));
  std::optional<std::int64_t> unlikely;
  std::vector<Doubt> doubts;
  const auto doubt = [&](std::optional<Doubt> found, std::size_t b, std::size_t h) {
    if (!found) return;
    found->at.batch = b;
    found->at.head = h;
    doubts.push_back(*found);
  };
  Tally tally(std::string(row.name), golden_.format(row.name), !bounded);
  const std::size_t channels = row.kind == StageKind::matrix ? golden_.shape().channels : 1;
  const cases::TensorSource& source = golden_.source();
  const std::size_t group =  // query heads that share this stage
      golden_.shape().heads /
      source.head_shape(*source.find(row.name), extents_of(row.kind), cases::TensorLayout::bhsd)
          .heads;
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) {
      if (!selected(b, h)) continue;
      step();
      ++done_;
      if (!options_.select.head && h % group != 0) continue;
      std::vector<float> low, high;
      const auto legal = [&] {
        if (!bounded) return Legal{};
        if (branch) {
          const bounds::BranchRange& range = free_branch(b, h).range();
          return Legal{range.low, range.high};
        }
        if (recomputed || on_another_branch(row, b, h))
          return range_of(ranges(b, h, freedom_.summation).bounds, row.name);
        low = golden_.values(bound + "_low", extents_of(row.kind), b, h);
        high = golden_.values(bound + "_high", extents_of(row.kind), b, h);
        return Legal{low, high};
      };
      const auto locate = [&](std::size_t i) {
        Location at{.batch = b, .head = h};
        if (row.kind == StageKind::groups) {
          at.group = static_cast<std::int64_t>(i);
          return at;
        }
        if (row.kind == StageKind::matrix) at.channel = static_cast<std::int64_t>(i % channels);
        return at_token(at, static_cast<std::int64_t>(i / channels));
      };
      std::function<bool(std::size_t)> skip;
      if (row.kind != StageKind::groups) skip = outside_selection(b, h, channels);
      const std::vector<float> golden = golden_.values(row.name, extents_of(row.kind), b, h);
      const std::vector<float> candidate = candidate_rows(row, b, h);
      const std::int64_t differing_before = tally.differing(), outside_before = tally.outside();
      const auto count_unlikely = [&] {
        if (!recomputed || freedom_.summation != bounds::Summation::any_order ||
            tally.differing() == differing_before)
          return;
        const Legal worst = legal();
        const Legal likely = range_of(ranges(b, h, bounds::Summation::likely).bounds, row.name);
        unlikely = unlikely.value_or(0);
        for (std::size_t i = 0; i < candidate.size(); ++i)
          *unlikely += !(skip && skip(i)) && golden[i] != candidate[i] &&
                       bounds::inside(candidate[i], worst.low[i], worst.high[i]) &&
                       !bounds::inside(candidate[i], likely.low[i], likely.high[i]);
      };
      /// Where the worst case decides nothing.
      const auto look_closer = [&] {
        if (!bounded || tally.differing() == differing_before || tally.outside() > outside_before)
          return;
        const bool beside_own = on_another_branch(row, b, h) && free_branch(b, h).own();
        const std::vector<float>& reference =
            beside_own ? ranges(b, h, freedom_.summation).o : golden;
        doubt(beyond_spread(row, b, h, reference, candidate, skip), b, h);
      };
      if (row.name != "o") {
        tally.add(golden, candidate, legal, locate, skip);
        count_unlikely();
        look_closer();
        continue;
      }
      const video::TokenOrder& order = golden_.layout(b, h).order;
      std::vector<TileError> tiles(order.tile_begin.size() - 1);
      for (std::size_t tile = 0; tile < tiles.size(); ++tile)
        tiles[tile] = {.batch = b, .head = h, .tile = static_cast<std::int64_t>(tile)};
      for (const std::int32_t position : order.position_of)
        tiles[order.tile_at[position]].compared += static_cast<std::int64_t>(channels);
      tally.add(golden, candidate, legal, locate, skip, [&](std::size_t i, bool outside) {
        TileError& tile = tiles[order.tile_at[order.position_of[i / channels]]];
        ++tile.differing;
        tile.outside += outside;
      });
      count_unlikely();
      look_closer();
      outputs_.tiles.insert(outputs_.tiles.end(), tiles.begin(), tiles.end());
      const auto far = note_outputs(b, h, golden, candidate, skip);
      if (tally.differing() > differing_before) doubt(far, b, h);
    }
  StageReport report = tally.report();
  report.unlikely = unlikely;
  report.doubt(std::move(doubts));
  return report;
}

}  // namespace karat::golden
