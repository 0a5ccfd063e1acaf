// The inner stages of tapped query blocks; their legal ranges are computed on demand.
#include <algorithm>

#include "candidate_values.hpp"
#include "check_stage.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/bounds/teacher_forced.hpp"
#include "karat/case/stages.hpp"
#include "karat/numerics/base/error.hpp"
#include "tally.hpp"
#include "tap_spread.hpp"

namespace karat::golden {
namespace {

enum class Rows { columns, steps, step_channels };
enum class Free { nothing, p, l, o };
struct TapRow {
  using Forced = std::optional<bounds::ForcedRange> (bounds::TeacherForced::*)(
      const attention::BlockTap&, const bounds::CandidateTap&) const;
  std::string_view name;   ///< of the dataset
  std::string_view stage;  ///< in reports
  Rows rows;
  Free free;
  std::vector<float> attention::BlockTap::*golden;
  std::vector<float> bounds::CandidateTap::*candidate;
  Forced forced;  ///< the range given the candidate's earlier stages; null: there are none
};
using Tap = attention::BlockTap;
using Given = bounds::CandidateTap;
using Teacher = bounds::TeacherForced;
constexpr TapRow kTapRows[] = {
    {"a", "a", Rows::columns, Free::nothing, &Tap::a, &Given::a, nullptr},
    {"s", "s", Rows::columns, Free::nothing, &Tap::s, &Given::s, &Teacher::s},
    {"m", "m by block", Rows::steps, Free::nothing, &Tap::m, &Given::m, &Teacher::m},
    {"p_codes", "p_codes", Rows::columns, Free::p, &Tap::p, &Given::p, &Teacher::p},
    {"l", "l by block", Rows::steps, Free::l, &Tap::l, &Given::l, &Teacher::l},
    {"o", "o by block", Rows::step_channels, Free::o, &Tap::o, &Given::o, &Teacher::o}};

/// As the PV instruction reads P.
numerics::FormatId p_format(const recipe::Recipe& recipe) {
  return quant::entering_format(rule_of(recipe.p));
}

/// Bounds of one tapped query block, computed when first asked for.
class LazyBounds {
 public:
  LazyBounds(const GoldenFile& golden, std::size_t batch, std::size_t head, int threads,
             bounds::Freedom freedom)
      : golden_(golden), batch_(batch), head_(head), threads_(threads), freedom_(freedom) {}

  Legal legal(const attention::BlockTap& tap, Free free) {
    if (free == Free::nothing || !bounds::leaves_freedom(freedom_)) return {};
    require_operands();
    if (!bounds_)
      bounds_.emplace(golden_.recipe(), golden_.layout(batch_, head_), *operands_, threads_,
                      freedom_);
    if (block_ != tap.query_block) {
      block_bounds_ = bounds_of(tap);
      block_ = tap.query_block;
    }
    if (free == Free::p) return {block_bounds_.p_low, block_bounds_.p_high};
    if (free == Free::l) return {block_bounds_.l_low, block_bounds_.l_high};
    return {block_bounds_.o_low, block_bounds_.o_high};
  }

  /// The stage's legal range given the candidate's own earlier stages.
  std::optional<bounds::ForcedRange> forced(const attention::BlockTap& tap,
                                            const bounds::CandidateTap& given,
                                            TapRow::Forced range) {
    if (range == nullptr) return std::nullopt;
    if (!forced_) {
      require_operands();
      forced_.emplace(golden_.recipe(), golden_.layout(batch_, head_), *operands_, threads_,
                      freedom_);
    }
    return ((*forced_).*range)(tap, given);
  }

  /// Whether legal kernels leave l and o so far from the golden ones, key block by key block.
  std::optional<TapDoubt> beyond_spread(const attention::BlockTap& tap, Free free,
                                        std::span<const float> candidate) {
    if ((free != Free::l && free != Free::o) || !bounds::leaves_freedom(freedom_))
      return std::nullopt;
    require_operands();
    const bounds::LegalKernels kernels(golden_.recipe(), golden_.layout(batch_, head_), *operands_,
                                       freedom_);
    return beyond_legal_kernels(kernels, tap, free == Free::l ? TapStage::l : TapStage::o,
                                candidate);
  }

 private:
  bounds::BlockBounds bounds_of(const attention::BlockTap& tap) const {
    const layout::Layout& layout = golden_.layout(batch_, head_);
    const auto of_block = [&](std::string_view stage, cases::Extents extents,
                              std::size_t channels) {
      return bounds::gather(golden_.values(stage, extents, batch_, head_), layout, tap.queries,
                            channels);
    };
    try {
      return bounds_->of(tap, of_block("o", cases::Extents::matrix, layout.channels),
                         of_block("lse", cases::Extents::vector, 1), bounds::Detail::stages);
    } catch (const Error& error) {
      // Taps and outputs come from a file here, and no kernel has both.
      if (error.kind() != ErrorKind::internal) throw;
      throw Error(ErrorKind::input_output, golden_.subject(),
                  "the taps of query block " + std::to_string(tap.query_block) +
                      " and its outputs do not belong together",
                  "make it again; report it if that does not help");
    }
  }
  void require_operands() {
    if (!operands_) operands_ = golden_.operands(batch_, head_);
  }

  const GoldenFile& golden_;
  std::size_t batch_, head_;
  int threads_;
  bounds::Freedom freedom_;
  std::optional<attention::QuantisedHead> operands_;
  std::optional<bounds::HeadBounds> bounds_;
  std::optional<bounds::TeacherForced> forced_;
  int block_ = -1;
  bounds::BlockBounds block_bounds_;
};

}  // namespace

Location Comparison::at_key(Location at, const attention::BlockTap& tap, std::size_t column) const {
  const auto visit = std::upper_bound(tap.column_begin.begin(), tap.column_begin.end(),
                                      static_cast<std::int64_t>(column)) -
                     tap.column_begin.begin() - 1;
  const std::int32_t position = tap.key_position[column];
  at.key_block = tap.key_block[visit];
  const video::TokenOrder& keys = golden_.layout(at.batch, at.head).key_order;
  at.key_token = keys.token_at[position];
  at.key_tile = keys.tile_at[position];
  return at;
}

/// The block's stages that the candidate holds. @throws Error(usage) for another number of values
bounds::CandidateTap Comparison::candidate_tap(std::size_t b, std::size_t h,
                                               const attention::BlockTap& tap) const {
  bounds::CandidateTap given;
  for (const TapRow& row : kTapRows) {
    const auto name = candidate_.find(cases::tap_name(b, h, tap.query_block, row.name));
    if (!name) continue;
    const std::string subject = candidate_.subject() + ": " + *name;
    std::vector<float>& values = given.*row.candidate;
    values = candidate_values(
        candidate_.read(*name),
        row.free == Free::p ? p_format(golden_.recipe()) : numerics::FormatId::f32, subject);
    const std::size_t expected = (tap.*row.golden).size();
    if (values.size() != expected)
      throw Error(ErrorKind::usage, subject,
                  std::to_string(values.size()) + " values where the golden file has " +
                      std::to_string(expected),
                  "compare the same case");
  }
  return given;
}

Location Comparison::in_tap(Location at, const attention::BlockTap& tap, bool per_column,
                            std::size_t channels, std::size_t i) const {
  const layout::Layout& layout = golden_.layout(at.batch, at.head);
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  std::size_t query = i / tap.key_position.size();
  if (per_column) {
    at = at_key(at, tap, i % tap.key_position.size());
  } else {
    if (channels > 1) at.channel = static_cast<std::int64_t>(i % channels);
    query = i / channels % rows;
    at.key_block = tap.key_block[i / channels / rows];
  }
  const std::int32_t token = layout.order.token_at[tap.queries.begin + query];
  at = token < 0 ? at : at_token(at, token);
  at.query_block = tap.query_block;
  return at;
}

namespace {

/// Values outside their legal range given the candidate's own earlier stages.
Forced count_forced(const bounds::ForcedRange& range, std::span<const float> candidate) {
  Forced forced{.compared = static_cast<std::int64_t>(candidate.size()), .outside = 0};
  for (std::size_t e = 0; e < candidate.size(); ++e)
    forced.outside += !bounds::inside(candidate[e], range.low[e], range.high[e]);
  return forced;
}

}  // namespace

std::vector<StageReport> Comparison::taps() const {
  const bool free = bounds::leaves_freedom(freedom_);
  std::vector<Tally> tallies;
  std::vector<std::optional<Forced>> forced(std::size(kTapRows));
  std::vector<bool> used(std::size(kTapRows), false);
  std::vector<std::vector<Doubt>> doubts(std::size(kTapRows));
  for (const TapRow& row : kTapRows)
    tallies.emplace_back(std::string(row.stage),
                         row.free == Free::p ? p_format(golden_.recipe()) : numerics::FormatId::f32,
                         row.free == Free::nothing || !free);
  const auto compare_block = [&](std::size_t b, std::size_t h, int block, LazyBounds& bounds) {
    const bool any = std::any_of(std::begin(kTapRows), std::end(kTapRows), [&](const TapRow& row) {
      return candidate_.find(cases::tap_name(b, h, block, row.name)).has_value();
    });
    if (!any) return;
    const attention::BlockTap tap = golden_.tap(b, h, block);
    bounds::CandidateTap given = candidate_tap(b, h, tap);
    for (std::size_t r = 0; r < std::size(kTapRows); ++r) {
      const TapRow& row = kTapRows[r];
      const std::vector<float>& candidate = given.*row.candidate;
      if (candidate.empty()) continue;
      used[r] = true;
      const std::int64_t before = tallies[r].differing(), outside = tallies[r].outside();
      const std::size_t channels =
          row.rows == Rows::step_channels ? golden_.layout(b, h).channels : 1;
      const auto locate = [&](std::size_t i) {
        return in_tap({.batch = b, .head = h}, tap, row.rows == Rows::columns, channels, i);
      };
      tallies[r].add((tap.*row.golden), candidate, [&] { return bounds.legal(tap, row.free); },
                     locate, {});
      if (tallies[r].differing() == before) continue;  // equal stages need no second look
      if (tallies[r].outside() == outside)
        if (const auto beyond = bounds.beyond_spread(tap, row.free, candidate)) {
          Doubt doubt = beyond->doubt;
          doubt.at = locate(beyond->element);
          if (doubt.scope != Doubt::Scope::value) doubt.at.channel.reset();
          if (doubt.scope == Doubt::Scope::block)
            doubt.at = {.batch = b, .head = h, .query_block = tap.query_block};
          doubts[r].push_back(doubt);
        }
      if (const auto range = bounds.forced(tap, given, row.forced)) {
        const Forced found = count_forced(*range, candidate);
        if (!forced[r]) forced[r] = Forced{};
        forced[r]->compared += found.compared;
        forced[r]->outside += found.outside;
      }
    }
  };
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) {
      if (!selected(b, h)) continue;
      LazyBounds bounds(golden_, b, h, options_.threads, freedom_);
      for (const int block : golden_.tapped(b, h))
        if (options_.select.block.value_or(block) == block) compare_block(b, h, block, bounds);
    }
  std::vector<StageReport> reports;
  for (std::size_t r = 0; r < tallies.size(); ++r) {
    if (!used[r]) continue;
    StageReport& report = reports.emplace_back(tallies[r].report());
    report.forced = forced[r];
    report.doubt(std::move(doubts[r]));
  }
  return reports;
}

}  // namespace karat::golden
