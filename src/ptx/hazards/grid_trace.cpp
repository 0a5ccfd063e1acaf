#include "hazards/grid_trace.hpp"

#include <algorithm>
#include <set>

#include "execute/run.hpp"
#include "hazards/words.hpp"

namespace karat::ptx {
namespace {

/// By the number of its first CTA in the grid, plus one.
std::string name_of_cluster(std::uint32_t cluster, const GridLaunch& launch) {
  const std::uint32_t first = cluster - 1, x = launch.grid.x, y = launch.grid.y;
  const std::string cta = "CTA (" + std::to_string(first % x) + ", " +
                          std::to_string(first / x % y) + ", " + std::to_string(first / x / y) +
                          ")";
  return launch.cluster.count() == 1 ? cta : "cluster of " + cta;
}

}  // namespace

/// The finaliser of MurmurHash3: neighbouring pages come to different shards, and a kept share is
/// spread over all buffers.
std::uint64_t GridTrace::mixed(std::uint64_t page) {
  page = (page ^ page >> 33) * 0xFF51AFD7ED558CCD;
  page = (page ^ page >> 33) * 0xC4CEB9FE1A85EC53;
  return page ^ page >> 33;
}

void GridTrace::note(Record& record, std::uint32_t cluster, bool writes, std::uint32_t pc) {
  Who& low = writes ? record.low_writer : record.low_reader;
  Who& high = writes ? record.high_writer : record.high_reader;
  if (low.cluster == 0 || cluster < low.cluster) low = {cluster, pc};
  if (cluster > high.cluster) high = {cluster, pc};
}

void GridTrace::add_record(Record& into, const Record& from) {
  const auto add = [&](const Who& each, bool writes) {
    if (each.cluster != 0) note(into, each.cluster, writes, each.pc);
  };
  add(from.low_writer, true);
  add(from.high_writer, true);
  add(from.low_reader, false);
  add(from.high_reader, false);
}

void GridTrace::note_page(Page& page, std::uint32_t cluster, bool writes, std::uint64_t address,
                          std::uint64_t bytes, std::uint32_t pc) {
  ++page.accesses;
  const auto at = [&](auto& records) -> auto& {
    using Records = typename std::remove_reference_t<decltype(records)>::element_type;
    if (records == nullptr) {
      records = std::make_unique<Records>();
      page.bytes += sizeof(Records);
    }
    return *records;
  };
  for_lines<kLine>(address, bytes, [&](std::uint64_t begin, std::uint64_t end) {
    Line& line = page.lines[begin % kPage / kLine];
    if (end - begin == kLine) return note(line.whole, cluster, writes, pc);
    for_words(begin, end, [&](std::uint64_t word, std::uint8_t covered) {
      const std::size_t first = word % kLine;
      if (covered == 0xF) return note(at(line.words)[first / 4], cluster, writes, pc);
      for (std::size_t byte = 0; byte < 4; ++byte)
        if ((covered >> byte & 1) != 0) note(at(line.bytes)[first + byte], cluster, writes, pc);
    });
  });
}

void GridTrace::make_room(Shard& shard) const {
  while (shard.bytes > most_bytes_ && shard.bits < 56) {
    ++shard.bits;
    std::erase_if(shard.pages, [&](const auto& each) {
      if (keeps(shard, each.first)) return false;
      shard.bytes -= each.second.bytes;
      shard.dropped += each.second.accesses;
      return true;
    });
  }
}

void GridTrace::add(std::uint64_t cluster, bool writes, std::uint64_t address, std::uint64_t bytes,
                    std::uint32_t pc) {
  const auto number = static_cast<std::uint32_t>(cluster + 1);
  for_lines<kPage>(address, bytes, [&](std::uint64_t begin, std::uint64_t end) {
    Shard& shard = shards_[mixed(begin / kPage) % kShards];
    const std::lock_guard lock(shard.guard);
    if (!keeps(shard, begin / kPage)) {
      ++shard.dropped;
      return;
    }
    const auto [found, fresh] = shard.pages.try_emplace(begin / kPage);
    Page& page = found->second;
    const std::size_t before = fresh ? 0 : page.bytes;
    note_page(page, number, writes, begin, end - begin, pc);
    shard.bytes += page.bytes - before;
    if (shard.bytes > most_bytes_) make_room(shard);
  });
}

std::uint64_t GridTrace::not_looked_at() const {
  std::uint64_t count = 0;
  for (const Shard& shard : shards_) count += shard.dropped;
  return count;
}

std::vector<std::string> GridTrace::races(const Program& program, const GridLaunch& launch) const {
  std::vector<std::pair<std::uint64_t, const Page*>> order;
  for (const Shard& shard : shards_)
    for (const auto& [number, page] : shard.pages) order.emplace_back(number, &page);
  std::ranges::sort(order);
  std::vector<std::string> lines;
  std::set<std::pair<std::uint32_t, std::uint32_t>> pairs;
  const auto report = [&](std::uint64_t address, const Who& writer, const Who& other, bool writes) {
    if (!pairs.emplace(writer.pc, other.pc).second || lines.size() >= 64) return;
    const auto at = [&](const Who& each) {
      return shown(program, program.code[each.pc].instruction) + ", " +
             name_of_cluster(each.cluster, launch);
    };
    lines.push_back(at(writer) + ": race between clusters: it writes global address " +
                    hexadecimal(address) + "; the other access, a " + (writes ? "write" : "read") +
                    ": " + at(other));
  };
  const auto look = [&](std::uint64_t address, const Record& each) {
    if (each.low_writer.cluster == 0) return;
    if (each.low_writer.cluster != each.high_writer.cluster)
      report(address, each.low_writer, each.high_writer, true);
    for (const Who* const reader : {&each.low_reader, &each.high_reader}) {
      if (reader->cluster == 0) continue;
      const Who& writer =
          each.low_writer.cluster != reader->cluster ? each.low_writer : each.high_writer;
      if (writer.cluster != reader->cluster) report(address, writer, *reader, false);
    }
  };
  const auto look_at_line = [&](std::uint64_t address, const Line& line) {
    if (line.words == nullptr && line.bytes == nullptr) return look(address, line.whole);
    for (std::size_t word = 0; word < kWords; ++word) {
      Record of_word = line.whole;
      if (line.words != nullptr) add_record(of_word, (*line.words)[word]);
      look(address + 4 * word, of_word);
      for (std::size_t byte = 4 * word; line.bytes != nullptr && byte < 4 * word + 4; ++byte) {
        Record of_byte = of_word;
        add_record(of_byte, (*line.bytes)[byte]);
        look(address + byte, of_byte);
      }
    }
  };
  for (const auto& [number, page] : order)
    for (std::size_t i = 0; i < page->lines.size(); ++i)
      look_at_line(number * kPage + i * kLine, page->lines[i]);
  return lines;
}

}  // namespace karat::ptx
