#include "hazards/global.hpp"

#include <algorithm>
#include <set>

#include "execute/run.hpp"

namespace karat::ptx {
namespace {

/// A plain part of a word, from its first byte.
struct Part {
  std::uint64_t word = 0;
  std::uint8_t bytes = 0;  ///< a bit each
};

/// each(part) for the words an access covers.
template <typename Each>
void for_words(std::uint64_t address, std::uint64_t bytes, Each each) {
  for (std::uint64_t at = address, end = address + bytes; at < end;) {
    const std::uint64_t word = at / 4 * 4, stop = std::min(word + 4, end);
    const std::uint64_t first = at - word, count = stop - at;
    each(Part{word, static_cast<std::uint8_t>(((1u << count) - 1) << first)});
    at = stop;
  }
}

/// By the number of its first CTA in the grid, plus one.
std::string name_of_cluster(std::uint32_t cluster, const GridLaunch& launch) {
  const std::uint32_t first = cluster - 1, x = launch.grid.x, y = launch.grid.y;
  const std::string cta = "CTA (" + std::to_string(first % x) + ", " +
                          std::to_string(first / x % y) + ", " + std::to_string(first / x / y) +
                          ")";
  return launch.cluster.count() == 1 ? cta : "cluster of " + cta;
}

}  // namespace

GridTrace::Page* GridTrace::page_at(std::uint64_t address) {
  const std::lock_guard lock(guard_);
  const auto found = pages_.find(address / kPage);
  if (found != pages_.end()) return found->second.get();
  if (pages_.size() >= kMostPages) return nullptr;
  auto& page = pages_[address / kPage];
  page = std::make_unique<Page>();
  return page.get();
}

void GridTrace::note(Record& record, std::uint32_t cluster, bool writes, std::uint32_t pc) {
  Who& low = writes ? record.low_writer : record.low_reader;
  Who& high = writes ? record.high_writer : record.high_reader;
  if (low.cluster == 0 || cluster < low.cluster) low = {cluster, pc};
  if (cluster > high.cluster) high = {cluster, pc};
}

void GridTrace::add(std::uint64_t cluster, bool writes, std::uint64_t address, std::uint64_t bytes,
                    std::uint32_t pc) {
  const auto number = static_cast<std::uint32_t>(cluster + 1);
  while (bytes > 0) {
    const std::uint64_t here = std::min(bytes, kPage - address % kPage);
    if (Page* const page = page_at(address)) {
      const std::lock_guard lock(page->guard);
      for_words(address, here, [&](const Part& part) {
        const std::size_t word = part.word % kPage / 4;
        if (part.bytes == 0xF) {
          if (page->words.empty()) page->words.resize(kWords);
          return note(page->words[word], number, writes, pc);
        }
        if (page->bytes.empty()) page->bytes.resize(kPage);
        for (std::size_t byte = 0; byte < 4; ++byte)
          if ((part.bytes >> byte & 1) != 0) note(page->bytes[word * 4 + byte], number, writes, pc);
      });
    }
    address += here;
    bytes -= here;
  }
}

std::vector<std::string> GridTrace::races(const Program& program, const GridLaunch& launch) const {
  std::vector<std::uint64_t> order;
  for (const auto& [number, page] : pages_) order.push_back(number);
  std::ranges::sort(order);
  std::vector<std::string> lines;
  std::set<std::pair<std::uint32_t, std::uint32_t>> pairs;
  const auto line = [&](std::uint64_t address, const Who& writer, const Who& other, bool writes) {
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
      line(address, each.low_writer, each.high_writer, true);
    for (const Who* const reader : {&each.low_reader, &each.high_reader}) {
      if (reader->cluster == 0) continue;
      const Who& writer =
          each.low_writer.cluster != reader->cluster ? each.low_writer : each.high_writer;
      if (writer.cluster != reader->cluster) line(address, writer, *reader, false);
    }
  };
  for (const std::uint64_t number : order) {
    const Page& page = *pages_.at(number);
    for (std::size_t i = 0; i < page.words.size(); ++i) look(number * kPage + 4 * i, page.words[i]);
    for (std::size_t i = 0; i < page.bytes.size(); ++i) look(number * kPage + i, page.bytes[i]);
  }
  return lines;
}

GlobalOrder::GlobalOrder(const Cluster& cluster, GridTrace* grid)
    : looks_(!cluster.program->synchronizes), grid_(grid) {
  const Extent &at = cluster.ctas[0].position, &grid_of = cluster.grid;
  cluster_number_ = at.x + std::uint64_t{grid_of.x} * (at.y + std::uint64_t{grid_of.y} * at.z);
}

void GlobalOrder::put(Last& last, const Access& access) {
  const auto replaces = [&](const Access& each) {
    return each.who == access.who && (each.bytes & ~access.bytes) == 0;
  };
  if (!replaces(last[0])) last[1] = last[0];
  last[0] = access;
}

std::optional<GlobalOrder::Race> GlobalOrder::access(const Warp& warp, Witness::GlobalAccess access,
                                                     std::uint64_t address, std::uint64_t bytes,
                                                     const std::vector<std::uint32_t>& known) {
  if (access == Witness::GlobalAccess::atomic) return std::nullopt;
  const bool writes = access == Witness::GlobalAccess::write;
  if (grid_ != nullptr) grid_->add(cluster_number_, writes, address, bytes, warp.now.pc);
  const std::size_t who = number_in_cluster(warp);
  std::optional<Race> race;
  const auto word = [&](Record& record, const Part& part) {
    const auto look = [&](const Access& other, bool written) {
      const bool knows = other.who < known.size() && other.clock <= known[other.who];
      if ((other.bytes & part.bytes) != 0 && other.who != who && !knows && !race)
        race = {part.word, other.pc, other.who, written};
    };
    for (const Access& each : record.writes) look(each, true);
    if (writes)
      for (const Access& each : record.reads) look(each, false);
    put(writes ? record.writes : record.reads,
        {known[who], warp.now.pc, static_cast<std::uint16_t>(who), part.bytes});
  };
  for (std::uint64_t at = address, end = address + bytes; at < end;) {
    const std::uint64_t here = std::min(end - at, kPage - at % kPage);
    const auto found = pages_.find(at / kPage);
    if (found != pages_.end() || pages_.size() < kMostPages) {
      auto& page = found != pages_.end() ? found->second : pages_[at / kPage];
      if (page.empty()) page.resize(kWords);
      for_words(at, here, [&](const Part& part) { word(page[part.word % kPage / 4], part); });
    }
    at += here;
  }
  return race;
}

}  // namespace karat::ptx
