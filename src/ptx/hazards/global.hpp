// Private: races in global memory. Weak accesses of one cluster are ordered by the clocks of its
// warps; nothing orders those of two clusters but atomics, acquires and releases, and a kernel that
// has any is not looked at.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "execute/witness.hpp"

namespace karat::ptx {

struct GridLaunch;

/// What all clusters of a grid did, whatever their order: of each word the lowest and the highest
/// cluster that wrote it, and that read it.
class GridTrace {
 public:
  /// Weak accesses of a cluster, by its number; bytes a plain part of one buffer.
  void add(std::uint64_t cluster, bool writes, std::uint64_t address, std::uint64_t bytes,
           std::uint32_t pc);
  /// Lines for words that one cluster wrote and another one wrote or read; the same pair of
  /// instructions once.
  std::vector<std::string> races(const Program& program, const GridLaunch& launch) const;

 private:
  static constexpr std::uint64_t kPage = 4096, kWords = kPage / 4;
  /// Pages with a record; beyond that nothing new is recorded.
  static constexpr std::size_t kMostPages = 12'000;
  struct Who {
    std::uint32_t cluster = 0, pc = 0;  ///< cluster plus one; 0: nobody
  };
  struct Record {
    Who low_writer, high_writer, low_reader, high_reader;
  };
  struct Page {
    std::mutex guard;
    std::vector<Record> words;
    /// Accesses narrower than a word, a record a byte, so that neighbours in a word do not meet.
    std::vector<Record> bytes;
  };
  /// Null where there is no room for one more.
  Page* page_at(std::uint64_t address);
  static void note(Record& record, std::uint32_t cluster, bool writes, std::uint32_t pc);

  mutable std::mutex guard_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
};

/// The order inside one cluster.
class GlobalOrder {
 public:
  GlobalOrder(const Cluster& cluster, GridTrace* grid);

  bool looks() const { return looks_; }

  struct Race {
    std::uint64_t address = 0;
    std::uint32_t pc = 0;
    std::size_t who = 0;
    bool written = false;  ///< by the other access
  };
  /// @param known  the warp's clock of everybody
  std::optional<Race> access(const Warp& warp, Witness::GlobalAccess access, std::uint64_t address,
                             std::uint64_t bytes, const std::vector<std::uint32_t>& known);

 private:
  static constexpr std::uint64_t kPage = 4096, kWords = kPage / 4;
  static constexpr std::size_t kMostPages = 3'000;
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
  static void put(Last& last, const Access& access);

  bool looks_;
  std::uint64_t cluster_number_;
  GridTrace* grid_;
  std::unordered_map<std::uint64_t, std::vector<Record>> pages_;
};

}  // namespace karat::ptx
