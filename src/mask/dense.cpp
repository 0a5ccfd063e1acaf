// The dense mask of mask/window.hpp: every pair of tokens, and nothing that touches padding.
#include "karat/mask/window.hpp"

namespace karat::mask {
namespace {

class DenseMask final : public Mask {
 public:
  explicit DenseMask(const video::TokenOrder& order) : tokens_before_{0} {
    tokens_before_.reserve(order.token_at.size() + 1);
    for (const auto token : order.token_at)
      tokens_before_.push_back(tokens_before_.back() + (token >= 0));
  }

  std::int64_t queries() const override { return std::ssize(tokens_before_) - 1; }
  std::int64_t keys() const override { return queries(); }

  Cover cover(Range queries, Range keys) const override {
    const std::int64_t q = tokens(queries), k = tokens(keys);
    if (q == 0 || k == 0) return Cover::none;
    return q == queries.size() && k == keys.size() ? Cover::full : Cover::partial;
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return tokens({query, query + 1}) == 1 && tokens({key, key + 1}) == 1;
  }

  std::int64_t kept_pairs() const override {
    return std::int64_t{tokens_before_.back()} * tokens_before_.back();
  }

 private:
  std::int64_t tokens(Range range) const {
    return range.begin < range.end ? tokens_before_[range.end] - tokens_before_[range.begin] : 0;
  }

  std::vector<std::int32_t> tokens_before_;  ///< per position, and past the last
};

}  // namespace

std::unique_ptr<Mask> dense_mask(const video::TokenOrder& order) {
  return std::make_unique<DenseMask>(order);
}

}  // namespace karat::mask
