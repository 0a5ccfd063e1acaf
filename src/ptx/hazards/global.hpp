// Private: races in global memory inside one cluster, whose warps' clocks order weak accesses. A
// kernel whose accesses themselves order warps or clusters is not looked at.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "execute/witness.hpp"

namespace karat::ptx {

/// The order inside one cluster.
class GlobalOrder {
 public:
  explicit GlobalOrder(const Cluster& cluster) : looks_(!cluster.program->synchronizes) {}

  struct Race {
    std::uint64_t address = 0;
    std::uint32_t pc = 0;
    std::size_t who = 0;
    bool written = false;  ///< by the other access
  };
  /// A weak access.
  /// @param known  the warp's clock of everybody
  std::optional<Race> access(const Warp& warp, bool writes, std::uint64_t address,
                             std::uint64_t bytes, const std::vector<std::uint32_t>& known);

  /// Weak accesses of which something was not looked at: beyond kMostBytes, or all.
  std::uint64_t not_looked_at() const { return not_looked_at_; }

  /// Of records, in one cluster.
  static constexpr std::size_t kMostBytes = std::size_t{32} << 20;

 private:
  static constexpr std::uint64_t kPage = 4096, kLine = 128;
  static constexpr std::size_t kWords = kLine / 4;
  struct Access {
    std::uint32_t clock = 0, pc = 0;
    std::uint16_t who = 0;
    std::uint8_t bytes = 0;  ///< a bit each of the word
  };
  /// The last two of a kind that are not one warp's over the same bytes: a warp that reads and then
  /// writes does not hide another one's read, nor half of a word the other half.
  using Last = std::array<Access, 2>;
  struct Record {
    Last writes, reads;
  };
  using Words = std::array<Record, kWords>;
  /// One record for all words until an access takes a part.
  struct Line {
    Record whole;
    std::unique_ptr<Words> words;
  };
  using Page = std::array<Line, kPage / kLine>;

  static void put(Last& last, const Access& access);
  /// Null where there is no room for one more.
  Page* page_at(std::uint64_t address);
  /// Null likewise.
  Words* words_of(Line& line);

  bool looks_;
  std::uint64_t not_looked_at_ = 0;
  std::size_t bytes_ = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

}  // namespace karat::ptx
