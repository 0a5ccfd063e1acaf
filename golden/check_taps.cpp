// The inner stages of tapped query blocks; their legal ranges are computed on demand.
#include <algorithm>

#include "candidate_values.hpp"
#include "check_stage.hpp"
#include "head_work.hpp"
#include "karat/numerics/error.hpp"
#include "tally.hpp"

namespace karat::golden {
namespace {

enum class Rows { columns, steps, step_channels };
enum class Free { nothing, p, l, o };
struct TapRow {
  std::string_view name;   ///< of the dataset
  std::string_view stage;  ///< in reports
  Rows rows;
  Free free;
};
constexpr TapRow kTapRows[] = {{"a", "a", Rows::columns, Free::nothing},
                               {"s", "s", Rows::columns, Free::nothing},
                               {"m", "m by block", Rows::steps, Free::nothing},
                               {"p_codes", "p_codes", Rows::columns, Free::p},
                               {"l", "l by block", Rows::steps, Free::l},
                               {"o", "o by block", Rows::step_channels, Free::o}};

const std::vector<float>& values_of(const attention::BlockTap& tap, std::string_view name) {
  if (name == "a") return tap.a;
  if (name == "s") return tap.s;
  if (name == "m") return tap.m;
  if (name == "l") return tap.l;
  return name == "o" ? tap.o : tap.p;
}

/// Bounds of one tapped query block, computed when first asked for.
class LazyBounds {
 public:
  LazyBounds(const GoldenFile& golden, std::size_t batch, std::size_t head, int threads)
      : golden_(golden), batch_(batch), head_(head), threads_(threads) {}

  Legal legal(const attention::BlockTap& tap, Free free) {
    if (free == Free::nothing || !leaves_freedom(golden_.recipe())) return {};
    if (!bounds_) {
      operands_ = golden_.operands(batch_, head_);
      bounds_.emplace(golden_.recipe(), golden_.layout(batch_, head_), operands_, threads_);
    }
    if (block_ != tap.query_block) {
      const attention::Layout& layout = golden_.layout(batch_, head_);
      block_bounds_ = bounds_->of(
          tap,
          gather(golden_.values("o", Extents::matrix, batch_, head_), layout, tap.queries,
                 layout.channels),
          gather(golden_.values("lse", Extents::vector, batch_, head_), layout, tap.queries, 1),
          Detail::stages);
      block_ = tap.query_block;
    }
    if (free == Free::p) return {block_bounds_.p_low, block_bounds_.p_high};
    if (free == Free::l) return {block_bounds_.l_low, block_bounds_.l_high};
    return {block_bounds_.o_low, block_bounds_.o_high};
  }

 private:
  const GoldenFile& golden_;
  std::size_t batch_, head_;
  int threads_;
  attention::QuantisedHead operands_;
  std::optional<HeadBounds> bounds_;
  int block_ = -1;
  BlockBounds block_bounds_;
};

}  // namespace

Location Comparison::at_key(Location at, const attention::BlockTap& tap,
                            std::size_t column) const {
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

std::vector<StageReport> Comparison::taps() const {
  std::vector<Tally> tallies;
  std::vector<bool> used(std::size(kTapRows), false);
  for (const TapRow& row : kTapRows)
    tallies.emplace_back(std::string(row.stage),
                         row.free == Free::p ? golden_.recipe().p.format : numerics::FormatId::f32,
                         row.free == Free::nothing || !leaves_freedom(golden_.recipe()));
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) {
      if (!selected(b, h)) continue;
      const attention::Layout& layout = golden_.layout(b, h);
      LazyBounds bounds(golden_, b, h, options_.threads);
      for (const int block : golden_.tapped(b, h)) {
        if (options_.select.block.value_or(block) != block) continue;
        std::optional<attention::BlockTap> tap;
        for (std::size_t r = 0; r < std::size(kTapRows); ++r) {
          const TapRow& row = kTapRows[r];
          const auto name = candidate_.find(tap_name(b, h, block, row.name));
          if (!name) continue;
          if (!tap) tap = golden_.tap(b, h, block);
          const std::vector<float>& golden = values_of(*tap, row.name);
          const std::string subject = candidate_.subject() + ": " + *name;
          const std::vector<float> candidate = candidate_values(
              candidate_.read(*name),
              row.free == Free::p ? golden_.recipe().p.format : numerics::FormatId::f32, subject);
          if (candidate.size() != golden.size())
            throw Error(ErrorKind::usage, subject,
                        std::to_string(candidate.size()) + " values where the golden file has " +
                            std::to_string(golden.size()),
                        "compare the same case");
          const std::size_t columns = tap->key_position.size();
          const auto rows = static_cast<std::size_t>(tap->queries.size());
          const auto locate = [&](std::size_t i) {
            Location at{.batch = b, .head = h};
            std::size_t query = i / columns;
            if (row.rows == Rows::columns) {
              at = at_key(at, *tap, i % columns);
            } else {
              const std::size_t inner = row.rows == Rows::steps ? 1 : layout.channels;
              if (inner > 1) at.channel = static_cast<std::int64_t>(i % inner);
              query = i / inner % rows;
              at.key_block = tap->key_block[i / inner / rows];
            }
            const std::int32_t token = layout.order.token_at[tap->queries.begin + query];
            at = token < 0 ? at : at_token(at, token);
            at.query_block = block;
            return at;
          };
          tallies[r].add(golden, candidate, [&] { return bounds.legal(*tap, row.free); }, locate,
                         {});
          used[r] = true;
        }
      }
    }
  std::vector<StageReport> reports;
  for (std::size_t r = 0; r < tallies.size(); ++r)
    if (used[r]) reports.push_back(tallies[r].report());
  return reports;
}

}  // namespace karat::golden
