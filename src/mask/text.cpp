// Text behind the video (mask/compose.hpp).
#include <algorithm>
#include <array>
#include <utility>

#include "count.hpp"
#include "karat/mask/compose.hpp"
#include "karat/mask/window.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

class TextMask final : public Mask {
 public:
  TextMask(std::unique_ptr<Mask> video, const video::TokenOrder& order)
      : video_(std::move(video)), all_(dense_mask(order)), edge_(video_->queries()) {}

  std::int64_t queries() const override { return all_->queries(); }
  std::int64_t keys() const override { return all_->keys(); }

  Cover cover(Range queries, Range keys) const override {
    CoverOfParts parts;
    for (const Range q : split(queries)) {
      for (const Range k : split(keys)) {
        if (q.size() <= 0 || k.size() <= 0) continue;
        const bool between_video = q.begin < edge_ && k.begin < edge_;
        parts.add((between_video ? video_ : all_)->cover(q, k));
      }
    }
    return parts.cover();
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return (query < edge_ && key < edge_ ? video_ : all_)->keeps(query, key);
  }

  std::int64_t kept_pairs() const override {
    const Range video{0, edge_};
    return video_->kept_pairs() + all_->kept_pairs() - count_kept(*all_, video, video);
  }

 private:
  std::array<Range, 2> split(Range range) const {
    return {{{range.begin, std::min(range.end, edge_)}, {std::max(range.begin, edge_), range.end}}};
  }

  std::unique_ptr<Mask> video_, all_;
  std::int64_t edge_;  ///< the first position of the text
};

}  // namespace

std::unique_ptr<Mask> with_text(std::unique_ptr<Mask> video, const video::TokenOrder& order) {
  if (order.positions() <= video->queries() || video->queries() != video->keys())
    throw Error(ErrorKind::usage, "mask.text", "the order has no positions after the video's",
                "append the text to the order the mask was made for");
  return std::make_unique<TextMask>(std::move(video), order);
}

}  // namespace karat::mask
