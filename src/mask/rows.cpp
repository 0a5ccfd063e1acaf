// Masks whose rows keep one or two intervals of keys: causal order and bands (mask/compose.hpp).
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "count.hpp"
#include "karat/mask/compose.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

/// Disjoint, possibly empty. Of a later row neither end of either comes earlier.
using Intervals = std::array<Range, 2>;

struct CausalRows {
  std::int64_t shift;
  Intervals operator()(std::int64_t query) const { return {{{0, query + shift + 1}, {0, 0}}}; }
};

struct BandRows {
  std::int64_t width, always;
  Intervals operator()(std::int64_t query) const {
    return {{{0, always}, {std::max(query - width, always), query + width + 1}}};
  }
};

template <typename Rows>
class RowMask final : public Mask {
 public:
  RowMask(std::unique_ptr<Mask> base, Rows rows) : base_(std::move(base)), rows_(rows) {}

  std::int64_t queries() const override { return base_->queries(); }
  std::int64_t keys() const override { return base_->keys(); }

  Cover cover(Range queries, Range keys) const override {
    const Cover base = base_->cover(queries, keys);
    if (base == Cover::none || queries.size() <= 0 || keys.size() <= 0) return Cover::none;
    // Between the first row's and the last one's: what some row may keep, and what every row keeps.
    const Intervals first = rows_(queries.begin), last = rows_(queries.end - 1);
    bool apart = true;
    for (std::size_t i = 0; i < first.size(); ++i) {
      if (last[i].begin <= keys.begin && keys.end <= first[i].end) return base;
      apart = apart && (last[i].end <= keys.begin || keys.end <= first[i].begin);
    }
    if (apart) return Cover::none;
    bool kept = false, dropped = base == Cover::partial;
    for (auto q = queries.begin; q < queries.end && !(kept && dropped); ++q) {
      std::int64_t inside = 0;
      for (const Range part : row(q, keys)) {
        inside += part.size();
        kept = kept || (part.size() > 0 &&
                        (base == Cover::full || base_->cover({q, q + 1}, part) != Cover::none));
      }
      dropped = dropped || inside < keys.size();
    }
    return !kept ? Cover::none : dropped ? Cover::partial : Cover::full;
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    const Intervals parts = row(query, {key, key + 1});
    return parts[0].size() + parts[1].size() == 1 && base_->keeps(query, key);
  }

  std::int64_t kept_pairs() const override {
    std::int64_t sum = 0;
    for (std::int64_t q = 0; q < queries(); q += kTogether)
      sum += kept_by({q, std::min(q + kTogether, queries())});
    return sum;
  }

 private:
  /// Rows that are counted together where they keep the same keys.
  static constexpr std::int64_t kTogether = 64;

  /// Of neighbouring rows: what all of them may keep at once, and what single ones do beside it.
  std::int64_t kept_by(Range rows) const {
    const Intervals first = row(rows.begin, {0, keys()}), last = row(rows.end - 1, {0, keys()});
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
      const Range common{last[i].begin, std::max(last[i].begin, first[i].end)};
      sum += count_kept(*base_, rows, common);
      for (auto q = rows.begin; q < rows.end; ++q) {
        const Range part = row(q, {0, keys()})[i];
        const Range before{part.begin, std::min(part.end, common.begin)};
        const Range behind{std::max(part.begin, common.end), part.end};
        for (const Range beside : {before, behind})
          if (beside.size() > 0) sum += count_kept(*base_, {q, q + 1}, beside);
      }
    }
    return sum;
  }

  /// The row's intervals within `keys`; an empty one has size 0.
  Intervals row(std::int64_t query, Range keys) const {
    Intervals parts = rows_(query);
    for (Range& part : parts) {
      part = {std::max(part.begin, keys.begin), std::min(part.end, keys.end)};
      part.end = std::max(part.begin, part.end);
    }
    return parts;
  }

  std::unique_ptr<Mask> base_;
  Rows rows_;
};

}  // namespace

std::unique_ptr<Mask> causal(std::unique_ptr<Mask> base) {
  const CausalRows rows{base->keys() - base->queries()};
  return std::make_unique<RowMask<CausalRows>>(std::move(base), rows);
}

std::unique_ptr<Mask> band(std::unique_ptr<Mask> base, std::int64_t width, std::int64_t always) {
  if (width < 0 || always < 0)
    throw Error(ErrorKind::usage, "mask.band",
                "width " + std::to_string(width) + " and first keys " + std::to_string(always) +
                    " must not be negative",
                "see band_width()");
  const BandRows rows{std::min(width, base->keys()), std::min(always, base->keys())};
  return std::make_unique<RowMask<BandRows>>(std::move(base), rows);
}

std::int64_t band_width(double multiple, std::int64_t frame_tokens) {
  if (!(multiple > 0) || !(multiple * static_cast<double>(frame_tokens) < 0x1p40))
    throw Error(ErrorKind::usage, "mask.band",
                "the multiple of a frame must be positive and finite", "use such as 2");
  const auto tokens =
      static_cast<std::int64_t>(std::ceil(multiple * static_cast<double>(frame_tokens)));
  return (tokens + 127) / 128 * 128;
}

}  // namespace karat::mask
