// Private: packed operands found again by the bytes they were packed from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "units/matrix_types.hpp"

namespace karat::ptx::units {

/// What besides the bytes decides a packed operand.
struct OperandKind {
  const numerics::Instruction* row = nullptr;
  MatrixType type = MatrixType::e4m3;
  Sign sign = Sign::plus;
  std::uint32_t lines = 0;  ///< rows of A or columns of B

  bool operator==(const OperandKind&) const = default;
};

/// A hash for finding, not for trusting: a hit compares all bytes.
inline std::uint64_t hash_bytes(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15u;
  std::uint64_t sums[4] = {1, 2, 3, 4};
  std::size_t i = 0;
  for (; i + 32 <= bytes.size(); i += 32) {
    std::uint64_t words[4];
    std::memcpy(words, bytes.data() + i, sizeof words);
    for (int j = 0; j < 4; ++j) {
      sums[j] = (sums[j] ^ words[j]) * kPrime;
      sums[j] ^= sums[j] >> 29;
    }
  }
  std::uint64_t hash = bytes.size();
  for (const std::uint64_t sum : sums) hash = (hash ^ sum) * kPrime;
  for (; i < bytes.size(); ++i) hash = (hash ^ static_cast<std::uint64_t>(bytes[i])) * kPrime;
  return hash ^ hash >> 32;
}

/// Operand is RowOperand or ColumnOperand. The least recently used ones go when their memory passes
/// the limit; one is kept in any case.
template <typename Operand>
class OperandCache {
 public:
  explicit OperandCache(std::size_t limit) : limit_(limit) {}

  /// @param pack  called as pack(operand) for one that is not there
  /// @param bytes_packed  memory of such an operand
  template <typename Pack>
  const Operand& get(const OperandKind& kind, std::span<const std::byte> raw,
                     std::size_t bytes_packed, Pack pack) {
    const std::uint64_t hash = hash_bytes(raw) ^ (kind.lines + (std::uint64_t(kind.type) << 32) +
                                                  (std::uint64_t(kind.sign) << 40) +
                                                  reinterpret_cast<std::uintptr_t>(kind.row));
    const auto found = by_hash_.find(hash);
    if (found != by_hash_.end()) {
      Entry& entry = *found->second;
      if (entry.kind == kind && entry.raw.size() == raw.size() &&
          std::memcmp(entry.raw.data(), raw.data(), raw.size()) == 0) {
        entries_.splice(entries_.begin(), entries_, found->second);
        ++reused_;
        return entry.operand;
      }
      used_ -= entry.bytes;
      entries_.erase(found->second);
      by_hash_.erase(found);
    }
    Entry entry;
    entry.bytes = bytes_packed + raw.size();
    while (!entries_.empty() && used_ + entry.bytes > limit_) {
      Entry& oldest = entries_.back();  // its memory serves again
      used_ -= oldest.bytes;
      by_hash_.erase(oldest.hash);
      entry.operand = std::move(oldest.operand);
      entries_.pop_back();
    }
    entry.kind = kind;
    entry.hash = hash;
    entry.raw.assign(raw.begin(), raw.end());
    pack(entry.operand);
    ++packed_;
    used_ += entry.bytes;
    entries_.push_front(std::move(entry));
    by_hash_[hash] = entries_.begin();
    return entries_.front().operand;
  }

  std::uint64_t packed() const { return packed_; }
  std::uint64_t reused() const { return reused_; }

 private:
  struct Entry {
    OperandKind kind;
    std::uint64_t hash = 0;
    std::size_t bytes = 0;
    std::vector<std::byte> raw;
    Operand operand;
  };
  std::size_t limit_, used_ = 0;
  std::uint64_t packed_ = 0, reused_ = 0;
  std::list<Entry> entries_;
  std::unordered_map<std::uint64_t, typename std::list<Entry>::iterator> by_hash_;
};

}  // namespace karat::ptx::units
