// Private: ranges of global memory cut into lines, and into words.
#pragma once

#include <algorithm>
#include <cstdint>

namespace karat::ptx {

/// each(begin, end) for the parts of [address, address + bytes) in each multiple of kLine.
template <std::uint64_t kLine, typename Each>
void for_lines(std::uint64_t address, std::uint64_t bytes, Each each) {
  for (std::uint64_t at = address, end = address + bytes; at < end;) {
    const std::uint64_t stop = std::min((at / kLine + 1) * kLine, end);
    each(at, stop);
    at = stop;
  }
}

/// each(word, bytes) for the words of four bytes that [begin, end) meets: the word's address, and a
/// bit for each of its bytes that is covered.
template <typename Each>
void for_words(std::uint64_t begin, std::uint64_t end, Each each) {
  for_lines<4>(begin, end - begin, [&](std::uint64_t at, std::uint64_t stop) {
    each(at / 4 * 4, static_cast<std::uint8_t>(((1u << (stop - at)) - 1) << (at % 4)));
  });
}

}  // namespace karat::ptx
