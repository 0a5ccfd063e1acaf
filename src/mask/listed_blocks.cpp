// Masks from BlockMask arrays (mask/listed.hpp).
#include <algorithm>
#include <string>
#include <utility>

#include "count.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorKind::input_output, "blockmask", problem, "export the BlockMask again");
}

/// The square of covers that the arrays list.
class CoverTable {
 public:
  explicit CoverTable(const BlockMask& arrays)
      : columns_(arrays.key_blocks),
        covers_(static_cast<std::size_t>(arrays.query_blocks) * arrays.key_blocks, Cover::none) {
    enter(arrays.kv_num_blocks, arrays.kv_indices, arrays.query_blocks, Cover::partial);
    enter(arrays.full_kv_num_blocks, arrays.full_kv_indices, arrays.query_blocks, Cover::full);
  }

  Cover at(std::int64_t row, std::int64_t column) const { return covers_[row * columns_ + column]; }

 private:
  void enter(const std::vector<std::int32_t>& counts, const std::vector<std::int32_t>& indices,
             int rows, Cover cover) {
    if (std::ssize(counts) != rows || indices.size() != covers_.size())
      refuse("arrays do not have the shapes [nQ] and [nQ][nK]");
    for (std::int64_t row = 0; row < rows; ++row) {
      if (counts[row] < 0 || counts[row] > columns_)
        refuse("row " + std::to_string(row) + " counts " + std::to_string(counts[row]) +
               " blocks of " + std::to_string(columns_));
      for (std::int32_t i = 0; i < counts[row]; ++i) {
        const std::int64_t column = indices[row * columns_ + i];
        if (column < 0 || column >= columns_ || at(row, column) != Cover::none)
          refuse("row " + std::to_string(row) + " lists block " + std::to_string(column) +
                 " outside the grid or twice");
        covers_[row * columns_ + column] = cover;
      }
    }
  }

  std::int64_t columns_;
  std::vector<Cover> covers_;
};

class ListedBlocks final : public Mask {
 public:
  ListedBlocks(const BlockMask& arrays, std::int64_t queries, std::int64_t keys,
               std::unique_ptr<Mask> partial)
      : table_(arrays),
        query_block_(arrays.query_block),
        key_block_(arrays.key_block),
        queries_(queries),
        keys_(keys),
        partial_(std::move(partial)) {}

  std::int64_t queries() const override { return queries_; }
  std::int64_t keys() const override { return keys_; }

  Cover cover(Range queries, Range keys) const override {
    CoverOfParts parts;
    for (Range q = queries; q.begin < queries.end && !parts.decided(); q.begin = q.end) {
      q.end = std::min(queries.end, (q.begin / query_block_ + 1) * query_block_);
      for (Range k = keys; k.begin < keys.end && !parts.decided(); k.begin = k.end) {
        k.end = std::min(keys.end, (k.begin / key_block_ + 1) * key_block_);
        parts.add(inside_block(q, k));
      }
    }
    return parts.cover();
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return inside_block({query, query + 1}, {key, key + 1}) == Cover::full;
  }

  std::int64_t kept_pairs() const override { return count_kept(*this, {0, queries_}, {0, keys_}); }

 private:
  Cover inside_block(Range queries, Range keys) const {
    const Cover listed = table_.at(queries.begin / query_block_, keys.begin / key_block_);
    if (listed != Cover::partial) return listed;
    return partial_ ? partial_->cover(queries, keys) : Cover::full;
  }

  CoverTable table_;
  std::int64_t query_block_, key_block_, queries_, keys_;
  std::unique_ptr<Mask> partial_;
};

bool fits(std::int64_t positions, int block, int blocks) {
  return block > 0 && blocks > 0 && positions > 0 && (positions - 1) / block + 1 == blocks;
}

}  // namespace

std::unique_ptr<Mask> listed_blocks(const BlockMask& arrays, std::int64_t queries,
                                    std::int64_t keys, std::unique_ptr<Mask> partial) {
  if (!fits(queries, arrays.query_block, arrays.query_blocks) ||
      !fits(keys, arrays.key_block, arrays.key_blocks))
    refuse(std::to_string(arrays.query_blocks) + " x " + std::to_string(arrays.key_blocks) +
           " blocks of " + std::to_string(arrays.query_block) + " x " +
           std::to_string(arrays.key_block) + " do not make " + std::to_string(queries) + " x " +
           std::to_string(keys) + " positions");
  if (partial && (partial->queries() != queries || partial->keys() != keys))
    throw Error(ErrorKind::usage, "blockmask", "the mask of partial blocks is of another size",
                "make both for the same positions");
  return std::make_unique<ListedBlocks>(arrays, queries, keys, std::move(partial));
}

}  // namespace karat::mask
