// A mask seen through a list of places: token orders and padding (mask/compose.hpp).
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "count.hpp"
#include "karat/mask/compose.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

/// Position i stands for place[i] of the base; -1 for nothing.
class Reordered final : public Mask {
 public:
  Reordered(std::unique_ptr<Mask> base, std::vector<std::int32_t> places)
      : base_(std::move(base)), places_(std::move(places)) {}

  std::int64_t queries() const override { return std::ssize(places_); }
  std::int64_t keys() const override { return std::ssize(places_); }

  /// Runs of neighbours are asked for at once: a tile's rows are such runs.
  Cover cover(Range queries, Range keys) const override {
    CoverOfParts parts;
    for (Range q = run_at(queries.begin, queries.end); q.size() > 0 && !parts.decided();
         q = run_at(q.end, queries.end))
      for (Range k = run_at(keys.begin, keys.end); k.size() > 0 && !parts.decided();
           k = run_at(k.end, keys.end))
        parts.add(places_[q.begin] < 0 || places_[k.begin] < 0
                      ? Cover::none
                      : base_->cover(places_of(q), places_of(k)));
    return parts.cover();
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return places_[query] >= 0 && places_[key] >= 0 && base_->keeps(places_[query], places_[key]);
  }

  std::int64_t kept_pairs() const override {
    const bool all =
        std::ranges::count_if(places_, [](auto place) { return place >= 0; }) == base_->queries();
    return all ? base_->kept_pairs() : count_kept(*this, {0, queries()}, {0, keys()});
  }

 private:
  /// The longest run from `begin`: neighbours of the base, or padding.
  Range run_at(std::int64_t begin, std::int64_t end) const {
    std::int64_t next = begin;
    for (; next < end; ++next) {
      const std::int32_t expected =
          places_[begin] < 0 ? -1 : places_[begin] + static_cast<std::int32_t>(next - begin);
      if (places_[next] != expected) break;
    }
    return {begin, next};
  }
  Range places_of(Range run) const { return {places_[run.begin], places_[run.begin] + run.size()}; }

  std::unique_ptr<Mask> base_;
  std::vector<std::int32_t> places_;
};

void require_side(const Mask& mask, std::int64_t side, const char* what) {
  if (mask.queries() == side && mask.keys() == side) return;
  throw Error(ErrorKind::usage, "mask",
              "is of " + std::to_string(mask.queries()) + " x " + std::to_string(mask.keys()) +
                  " " + what + ", the workload of " + std::to_string(side),
              "give the mask of this workload's tokens");
}

}  // namespace

std::unique_ptr<Mask> over_positions(std::unique_ptr<Mask> of_tokens,
                                     const video::TokenOrder& order) {
  require_side(*of_tokens, order.tokens(), "tokens");
  if (video::is_own_order(order)) return of_tokens;
  return std::make_unique<Reordered>(std::move(of_tokens), order.token_at);
}

std::unique_ptr<Mask> without_padding(std::unique_ptr<Mask> base, const video::TokenOrder& order) {
  require_side(*base, order.positions(), "positions");
  if (order.positions() == order.tokens()) return base;
  std::vector<std::int32_t> places(order.token_at);
  for (std::size_t i = 0; i < places.size(); ++i)
    if (places[i] >= 0) places[i] = static_cast<std::int32_t>(i);
  return std::make_unique<Reordered>(std::move(base), std::move(places));
}

}  // namespace karat::mask
