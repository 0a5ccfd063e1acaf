// Masks from dense boolean matrices, one bit a pair (mask/listed.hpp).
#include <algorithm>
#include <bit>
#include <string>

#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

constexpr std::int64_t kBits = 64;

class BooleanMatrix final : public Mask {
 public:
  BooleanMatrix(std::span<const std::uint8_t> keep, std::int64_t queries, std::int64_t keys)
      : queries_(queries),
        keys_(keys),
        words_((keys + kBits - 1) / kBits),
        bits_(queries * words_) {
    for (std::int64_t q = 0; q < queries; ++q)
      for (std::int64_t k = 0; k < keys; ++k)
        if (keep[q * keys + k] != 0)
          bits_[q * words_ + k / kBits] |= std::uint64_t{1} << (k % kBits);
  }

  std::int64_t queries() const override { return queries_; }
  std::int64_t keys() const override { return keys_; }

  Cover cover(Range queries, Range keys) const override {
    std::int64_t kept = 0, seen = 0;
    for (auto q = queries.begin; q < queries.end && (kept == 0 || kept == seen); ++q) {
      kept += count(q, keys);
      seen += keys.size();
    }
    return kept == 0 ? Cover::none : kept == seen ? Cover::full : Cover::partial;
  }

  bool keeps(std::int64_t query, std::int64_t key) const override {
    return bits_[query * words_ + key / kBits] >> (key % kBits) & 1;
  }

  std::int64_t kept_pairs() const override {
    std::int64_t sum = 0;
    for (const auto word : bits_) sum += std::popcount(word);
    return sum;
  }

 private:
  std::int64_t count(std::int64_t query, Range keys) const {
    std::int64_t sum = 0;
    for (auto k = keys.begin; k < keys.end;) {
      const auto end = std::min(keys.end, (k / kBits + 1) * kBits);
      const auto wanted = (end - k == kBits ? 0 : std::uint64_t{1} << (end - k)) - 1;
      sum += std::popcount(bits_[query * words_ + k / kBits] >> (k % kBits) & wanted);
      k = end;
    }
    return sum;
  }

  std::int64_t queries_, keys_, words_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace

std::unique_ptr<Mask> boolean_matrix(std::span<const std::uint8_t> keep, std::int64_t queries,
                                     std::int64_t keys) {
  if (queries <= 0 || keys <= 0 || std::ssize(keep) / keys != queries ||
      std::ssize(keep) % keys != 0)
    throw Error(ErrorKind::usage, "mask.matrix",
                std::to_string(keep.size()) + " values are not " + std::to_string(queries) + " x " +
                    std::to_string(keys),
                "give one value per pair of positions");
  return std::make_unique<BooleanMatrix>(keep, queries, keys);
}

}  // namespace karat::mask
