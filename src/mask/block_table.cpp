// Masks of whole blocks (mask/listed.hpp).
#include <algorithm>
#include <string>
#include <utility>

#include "count.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

class BlockTable final : public Mask {
 public:
  BlockTable(std::vector<Range> queries, std::vector<Range> keys, std::vector<std::uint8_t> keep)
      : queries_(std::move(queries)), keys_(std::move(keys)), keep_(std::move(keep)) {}

  std::int64_t queries() const override { return queries_.back().end; }
  std::int64_t keys() const override { return keys_.back().end; }

  Cover cover(Range queries, Range keys) const override {
    CoverOfParts parts;
    if (queries.size() <= 0 || keys.size() <= 0) return parts.cover();
    for (auto i = at(queries_, queries.begin); begins_before(queries_, i, queries.end); ++i)
      for (auto j = at(keys_, keys.begin); begins_before(keys_, j, keys.end); ++j) {
        parts.add(keep_[i * keys_.size() + j] ? Cover::full : Cover::none);
        if (parts.decided()) return parts.cover();
      }
    return parts.cover();
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return keep_[at(queries_, query) * keys_.size() + at(keys_, key)] != 0;
  }

  std::int64_t kept_pairs() const override {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < queries_.size(); ++i)
      for (std::size_t j = 0; j < keys_.size(); ++j)
        if (keep_[i * keys_.size() + j]) sum += queries_[i].size() * keys_[j].size();
    return sum;
  }

 private:
  static std::size_t at(const std::vector<Range>& blocks, std::int64_t position) {
    const auto after = std::ranges::upper_bound(blocks, position, {}, &Range::begin);
    return static_cast<std::size_t>(after - blocks.begin()) - 1;
  }
  static bool begins_before(const std::vector<Range>& blocks, std::size_t i, std::int64_t end) {
    return i < blocks.size() && blocks[i].begin < end;
  }

  std::vector<Range> queries_, keys_;
  std::vector<std::uint8_t> keep_;
};

bool cover_all(const std::vector<Range>& blocks) {
  std::int64_t end = 0;
  for (const Range block : blocks) {
    if (block.begin != end || block.size() <= 0) return false;
    end = block.end;
  }
  return end > 0;
}

}  // namespace

std::unique_ptr<Mask> block_table(std::vector<Range> query_blocks, std::vector<Range> key_blocks,
                                  std::vector<std::uint8_t> keep) {
  if (!cover_all(query_blocks) || !cover_all(key_blocks) ||
      keep.size() != query_blocks.size() * key_blocks.size())
    throw Error(ErrorKind::usage, "mask.table",
                std::to_string(keep.size()) + " values for " +
                    std::to_string(query_blocks.size()) + " x " +
                    std::to_string(key_blocks.size()) + " blocks, which must follow one another",
                "give one value per pair of blocks");
  return std::make_unique<BlockTable>(std::move(query_blocks), std::move(key_blocks),
                                      std::move(keep));
}

}  // namespace karat::mask
