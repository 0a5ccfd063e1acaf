// Mistakes about masks that come with the case or are predicted, and about text behind the video.
#include <algorithm>
#include <utility>

#include "actions.hpp"
#include "karat/mask/compose.hpp"

namespace karat::golden {
namespace {

using mask::Cover;
using video::Range;

/// Whether the case gives pairs or blocks of its own, one row and one column per token.
bool pairs_given(const Trial& trial) {
  const cases::GivenMask* given = trial.base.golden.mask();
  return given != nullptr && !given->has_windows() &&
         trial.recipe.mask.kind == recipe::MaskKind::given &&
         trial.layout->order.positions() == trial.layout->order.tokens();
}

class Transposed final : public mask::Mask {
 public:
  explicit Transposed(std::unique_ptr<mask::Mask> base) : base_(std::move(base)) {}
  std::int64_t queries() const override { return base_->keys(); }
  std::int64_t keys() const override { return base_->queries(); }
  Cover cover(Range queries, Range keys) const override { return base_->cover(keys, queries); }
  bool keeps(std::int64_t query, std::int64_t key) const override {
    return base_->keeps(key, query);
  }
  std::int64_t kept_pairs() const override { return base_->kept_pairs(); }

 private:
  std::unique_ptr<mask::Mask> base_;
};

/// A mask with text behind position `text`, of which a kernel makes something else.
class TextMasked final : public mask::Mask {
 public:
  TextMasked(std::unique_ptr<mask::Mask> base, std::int64_t text, Text how)
      : base_(std::move(base)), text_(text), how_(how) {}
  std::int64_t queries() const override { return base_->queries(); }
  std::int64_t keys() const override { return base_->keys(); }

  Cover cover(Range queries, Range keys) const override {
    Cover whole = Cover::none;
    bool first = true;
    for (const Range q : {before(queries), behind(queries)})
      for (const Range k : {before(keys), behind(keys)}) {
        if (q.size() == 0 || k.size() == 0) continue;
        const Cover part = part_cover(q, k);
        whole = first || part == whole ? part : Cover::partial;
        first = false;
      }
    return whole;
  }
  bool keeps(std::int64_t query, std::int64_t key) const override {
    return cover({query, query + 1}, {key, key + 1}) == Cover::full;
  }
  std::int64_t kept_pairs() const override {
    std::int64_t pairs = 0;
    for (std::int64_t i = 0; i < queries(); ++i)
      for (std::int64_t j = 0; j < keys(); ++j) pairs += keeps(i, j);
    return pairs;
  }

 private:
  Range before(Range range) const {
    return {std::min(range.begin, text_), std::min(range.end, text_)};
  }
  Range behind(Range range) const {
    return {std::max(range.begin, text_), std::max(range.end, text_)};
  }
  /// Of a part that is video or text alone on either side.
  Cover part_cover(Range queries, Range keys) const {
    const bool text_queries = queries.begin >= text_, text_keys = keys.begin >= text_;
    const Range last{text_ - 1, text_};
    switch (how_) {
      case kTextKeysLeftOut:
        return text_keys ? Cover::none : base_->cover(queries, keys);
      case kTextSeesTextAlone:
        return text_queries && !text_keys ? Cover::none : base_->cover(queries, keys);
      case kTextInLastTile:
        return base_->cover(text_queries ? last : queries, text_keys ? last : keys);
    }
    return Cover::none;
  }

  std::unique_ptr<mask::Mask> base_;
  std::int64_t text_;
  Text how_;
};

/// The position behind which all text stands and nothing else; -1 where orders mix them.
std::int64_t text_begin(const video::TokenOrder& order, int text) {
  const std::int64_t begin = order.positions() - text;
  const std::int64_t video = order.tokens() - text;
  for (std::int64_t i = begin; i < order.positions(); ++i)
    if (order.token_at[i] < video) return -1;
  return begin;
}

bool use_mask_of(Trial& trial, std::size_t head) {
  if (head == trial.base.head || !trial.base.golden.layout_per_head()) return false;
  if (!trial.values && trial.base.golden.mask() == nullptr) return false;
  trial.mask_head = head;
  return true;
}

}  // namespace

void replace_mask(Trial& trial, std::unique_ptr<mask::Mask> mask) {
  layout::Layout& layout = *trial.layout;
  layout = layout::make_layout(trial.recipe, trial.setting,
                               {.order = std::move(layout.order),
                                .key_order = std::move(layout.key_order),
                                .mask = std::move(mask)});
}

bool mask_of_next_head(Trial& trial, int) {
  return use_mask_of(trial, (trial.base.head + 1) % trial.base.inputs->shape().heads);
}

bool mask_of_first_head(Trial& trial, int) { return use_mask_of(trial, 0); }

bool mask_transposed(Trial& trial, int) {
  if (!pairs_given(trial)) return false;
  replace_mask(trial, std::make_unique<Transposed>(std::move(trial.layout->mask)));
  return true;
}

/// Row and column of a mask by token are taken for positions.
bool mask_by_position(Trial& trial, int) {
  const video::TokenOrder& order = trial.layout->order;
  if (!pairs_given(trial) || video::is_own_order(order)) return false;
  const video::TokenOrder inverse{.token_at = order.position_of,
                                  .position_of = order.token_at,
                                  .tile_begin = {},
                                  .tile_at = {}};
  replace_mask(trial, mask::over_positions(std::move(trial.layout->mask), inverse));
  return true;
}

/// Row and column of a mask by position are taken for tokens.
bool mask_by_token(Trial& trial, int) {
  if (!pairs_given(trial) || video::is_own_order(trial.layout->order)) return false;
  replace_mask(trial, mask::over_positions(std::move(trial.layout->mask), trial.layout->order));
  return true;
}

bool text_masked(Trial& trial, int which) {
  const int text = trial.setting.text;
  if (text == 0) return false;
  const std::int64_t begin = text_begin(trial.layout->order, text);
  if (begin < 1 || text_begin(trial.layout->key_order, text) != begin) return false;
  replace_mask(trial, std::make_unique<TextMasked>(std::move(trial.layout->mask), begin,
                                                   static_cast<Text>(which)));
  return true;
}

}  // namespace karat::golden
