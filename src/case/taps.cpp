// First, last, one of each ragged size, and chance.
#include "karat/case/taps.hpp"

#include <charconv>
#include <numeric>
#include <set>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/split.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::cases {
namespace {

/// Philox stream of tap choices; the workload's streams are small numbers.
constexpr std::uint64_t kTapStream = 0x7461700000000000;

}  // namespace

std::vector<int> choose_taps(std::span<const video::Range> blocks, std::uint64_t seed, int count) {
  const auto total = static_cast<int>(blocks.size());
  const auto wanted = static_cast<std::size_t>(std::min(count, total));
  std::set<int> chosen;
  if (wanted > 0) chosen = {0, total - 1};
  std::set<std::int64_t> sizes;
  for (const int block : chosen) sizes.insert(blocks[block].size());
  for (int block = 0; block < total && chosen.size() < wanted; ++block)
    if (sizes.insert(blocks[block].size()).second) chosen.insert(block);
  for (std::uint64_t i = 0; chosen.size() < wanted; ++i)
    chosen.insert(static_cast<int>(numerics::random_bits(seed, kTapStream, i) %
                                   static_cast<std::uint32_t>(total)));
  return {chosen.begin(), chosen.end()};
}

namespace {

/// A list of blocks: where it stands and what it names, in words.
struct Subject {
  const char* option;
  const char* block;
};

std::vector<int> parse(std::string_view text, std::span<const video::Range> blocks,
                       std::uint64_t seed, int count, Subject subject) {
  const auto total = static_cast<int>(blocks.size());
  if (text.empty()) return choose_taps(blocks, seed, count);
  if (text == "none") return {};
  if (text == "all") {
    std::vector<int> all(total);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  std::set<int> chosen;
  for (const std::string& item : numerics::split(text)) {
    int block = -1;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), block);
    if (error != std::errc{} || end != item.data() + item.size() || block < 0 || block >= total)
      throw Error(
          ErrorKind::usage, subject.option,
          "\"" + item + "\" is no " + subject.block + "; there are " + std::to_string(total),
          "give all, none or a list of blocks from 0 to " + std::to_string(total - 1));
    chosen.insert(block);
  }
  return {chosen.begin(), chosen.end()};
}

}  // namespace

std::vector<int> parse_taps(std::string_view text, const layout::Layout& layout,
                            std::uint64_t seed) {
  return parse(text, layout.blocks.query_blocks, seed, 8, {"--tap", "query block"});
}

BackwardTaps parse_backward_taps(const TapWords& words, const mask::BlockMap& blocks,
                                 std::uint64_t seed) {
  const std::string& tap = words.forward;
  const bool word = tap.empty() || tap == "all" || tap == "none";
  return {.queries = parse(words.dq.value_or(tap), blocks.query_blocks, seed, kBackwardTaps,
                           {words.dq ? "--dq-tap" : "--tap", "query block of the backward"}),
          .keys = parse(words.dkv.value_or(word ? tap : ""), blocks.key_blocks, seed, kBackwardTaps,
                        {"--dkv-tap", "key block of the backward"})};
}

}  // namespace karat::cases
