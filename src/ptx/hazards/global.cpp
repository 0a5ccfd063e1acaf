#include "hazards/global.hpp"

#include <algorithm>

#include "hazards/words.hpp"

namespace karat::ptx {

void GlobalOrder::put(Last& last, const Access& access) {
  const auto replaces = [&](const Access& each) {
    return each.who == access.who && (each.bytes & ~access.bytes) == 0;
  };
  if (!replaces(last[0])) last[1] = last[0];
  last[0] = access;
}

GlobalOrder::Page* GlobalOrder::page_at(std::uint64_t address) {
  const auto found = pages_.find(address / kPage);
  if (found != pages_.end()) return found->second.get();
  if (bytes_ + sizeof(Page) > kMostBytes) return nullptr;
  bytes_ += sizeof(Page);
  return (pages_[address / kPage] = std::make_unique<Page>()).get();
}

GlobalOrder::Words* GlobalOrder::words_of(Line& line) {
  if (line.words == nullptr && bytes_ + sizeof(Words) <= kMostBytes) {
    bytes_ += sizeof(Words);
    line.words = std::make_unique<Words>();
    line.words->fill(line.whole);
  }
  return line.words.get();
}

std::optional<GlobalOrder::Race> GlobalOrder::access(const Warp& warp, bool writes,
                                                     std::uint64_t address, std::uint64_t bytes,
                                                     const std::vector<std::uint32_t>& known) {
  if (!looks_) {
    ++not_looked_at_;
    return std::nullopt;
  }
  const std::size_t who = number_in_cluster(warp);
  std::optional<Race> race;
  const auto look_at = [&](Record& record, std::uint64_t at, std::uint8_t covered) {
    const auto look = [&](const Access& other, bool written) {
      const bool knows = other.who < known.size() && other.clock <= known[other.who];
      if ((other.bytes & covered) != 0 && other.who != who && !knows && !race)
        race = {at, other.pc, other.who, written};
    };
    for (const Access& each : record.writes) look(each, true);
    if (writes)
      for (const Access& each : record.reads) look(each, false);
    put(writes ? record.writes : record.reads,
        {known[who], warp.now.pc, static_cast<std::uint16_t>(who), covered});
  };
  bool whole = true;
  Page* page = nullptr;
  std::uint64_t of_page = ~std::uint64_t{0};
  for_lines<kLine>(address, bytes, [&](std::uint64_t begin, std::uint64_t end) {
    if (begin / kPage != of_page) {
      of_page = begin / kPage;
      page = page_at(begin);
    }
    if (page == nullptr) {
      whole = false;
      return;
    }
    Line& line = (*page)[begin % kPage / kLine];
    if (line.words == nullptr && end - begin == kLine) return look_at(line.whole, begin, 0xF);
    Words* const words = words_of(line);
    if (words == nullptr) {
      whole = false;
      return;
    }
    for_words(begin, end, [&](std::uint64_t word, std::uint8_t covered) {
      look_at((*words)[word % kLine / 4], word, covered);
    });
  });
  not_looked_at_ += !whole;
  return race;
}

}  // namespace karat::ptx
