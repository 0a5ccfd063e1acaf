// Private: races in global memory between the clusters of a grid, which nothing orders but atomics,
// acquires and releases.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "program/program.hpp"

namespace karat::ptx {

struct GridLaunch;

/// What all clusters of a grid did, whatever their order: of each word the lowest and the highest
/// cluster that wrote it, and that read it. Where there is no room for all of it, it is kept of
/// some pages: which ones follows from their addresses and from what is accessed, not from who
/// comes first.
class GridTrace {
 public:
  /// Of records, all together.
  static constexpr std::size_t kMostBytes = std::size_t{256} << 20;

  explicit GridTrace(std::size_t most_bytes = kMostBytes) : most_bytes_(most_bytes / kShards) {}

  /// Weak accesses of a cluster, by its number; bytes a plain part of one buffer.
  void add(std::uint64_t cluster, bool writes, std::uint64_t address, std::uint64_t bytes,
           std::uint32_t pc);
  /// Lines for words that one cluster wrote and another one wrote or read; the same pair of
  /// instructions once.
  std::vector<std::string> races(const Program& program, const GridLaunch& launch) const;
  /// Accesses, counted once for each page, of pages that are not kept.
  std::uint64_t not_looked_at() const;

 private:
  static constexpr std::uint64_t kPage = 4096, kLine = 128;
  static constexpr std::size_t kWords = kLine / 4, kShards = 64;
  struct Who {
    std::uint32_t cluster = 0, pc = 0;  ///< cluster plus one; 0: nobody
  };
  struct Record {
    Who low_writer, high_writer, low_reader, high_reader;
  };
  /// What covered the line as a whole, whole words, single bytes: neighbours do not meet.
  struct Line {
    Record whole;
    std::unique_ptr<std::array<Record, kWords>> words;
    std::unique_ptr<std::array<Record, kLine>> bytes;
  };
  struct Page {
    std::array<Line, kPage / kLine> lines;
    std::size_t bytes = sizeof(Page);  ///< of records
    std::uint64_t accesses = 0;
  };
  struct Shard {
    std::mutex guard;
    std::unordered_map<std::uint64_t, Page> pages;
    std::size_t bytes = 0;
    /// A page is kept if this many of the lowest bits of its mixed number are 0: more bits the more
    /// there is. What is kept at the end was kept from its beginning.
    int bits = 0;
    std::uint64_t dropped = 0;  ///< accesses
  };

  static std::uint64_t mixed(std::uint64_t page);
  static bool keeps(const Shard& shard, std::uint64_t page) {
    return (mixed(page) / kShards & ((std::uint64_t{1} << shard.bits) - 1)) == 0;
  }
  static void note(Record& record, std::uint32_t cluster, bool writes, std::uint32_t pc);
  static void add_record(Record& into, const Record& from);
  static void note_page(Page& page, std::uint32_t cluster, bool writes, std::uint64_t address,
                        std::uint64_t bytes, std::uint32_t pc);
  void make_room(Shard& shard) const;

  std::size_t most_bytes_;  ///< of a shard
  mutable std::array<Shard, kShards> shards_;
};

}  // namespace karat::ptx
