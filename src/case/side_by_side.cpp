// Implementation of case/side_by_side.hpp.
#include "karat/case/side_by_side.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <string>

namespace karat::cases {
namespace {

/// The first number behind `name` in a file of lines "name 123 ..."; of any line without a name.
std::optional<double> number_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  double value = 0;
  if (name.empty()) return file >> value ? std::optional(value) : std::nullopt;
  while (file >> word)
    if (word == name) return file >> value ? std::optional(value) : std::nullopt;
  return std::nullopt;
}

}  // namespace

SideBySide side_by_side(const HeadCrowd& crowd) {
  const auto threads = static_cast<std::size_t>(crowd.threads);
  if (crowd.query_blocks >= kBlocksAThread * threads) return {};
  const double room = std::clamp(crowd.memory / crowd.head_bytes, 1.0, 1e6);
  const std::size_t at_once = std::min({threads, crowd.heads, static_cast<std::size_t>(room)});
  const std::size_t one_alone = (crowd.query_blocks + threads - 1) / threads;
  const auto pays = [&](std::size_t heads) { return crowd.query_blocks <= heads * one_alone; };
  if (at_once < 2 || !pays(at_once)) return {};
  const std::size_t rest = crowd.heads % at_once;
  return {.heads = crowd.heads - (pays(rest) ? 0 : rest), .at_once = static_cast<int>(at_once)};
}

double head_bytes(const Case& of) {
  const auto tokens = static_cast<double>(of.shape().tokens());
  const auto elements = tokens * static_cast<double>(of.shape().channels);
  // Values and ordered copies of q, k and v in f32, operands, keys packed in several forms, o
  // twice.
  constexpr double kBytesAnElement = 12 + 12 + 12 + 20 + 8;
  constexpr double kPairsAByte = 8;  // of a mask that lists pairs
  return elements * kBytesAnElement + tokens * tokens / kPairsAByte;
}

double tap_bytes(const Case& of, std::string_view taps) {
  const auto tokens = static_cast<double>(of.shape().tokens());
  const double rows = of.recipe.block.q, visits = tokens / of.recipe.block.k;
  const double blocks = std::ceil(tokens / rows);
  double tapped = 1 + static_cast<double>(std::ranges::count(taps, ','));
  if (taps.empty()) tapped = std::min(blocks, 8.0);  // the default of choose_taps()
  if (taps == "none") tapped = 0;
  if (taps == "all") tapped = blocks;
  constexpr double kScoreBytes = 2 * 16, kOutputBytes = 2 * 4;
  const auto channels = static_cast<double>(of.shape().channels);
  return tapped * rows * (tokens * kScoreBytes + visits * channels * kOutputBytes);
}

double free_memory() {
  constexpr double kUnknown = 1e9;
  double free = kUnknown;
  if (const auto machine = number_in("/proc/meminfo", "MemAvailable:")) free = *machine * 1024;
  const auto limit = number_in("/sys/fs/cgroup/memory.max", "");
  const auto used = number_in("/sys/fs/cgroup/memory.current", "");
  if (!limit || !used) return free;
  const double files = number_in("/sys/fs/cgroup/memory.stat", "inactive_file").value_or(0);
  return std::min(free, std::max(*limit - *used + files, 0.0));
}

void Together::update(std::size_t number, std::size_t part, std::size_t parts, std::size_t done,
                      std::size_t total) {
  if (!into_ || total == 0) return;
  const std::size_t now = 1000 * (part * total + std::min(done, total)) / (parts * total);
  // Of calls for one head that overtake each other the later part counts.
  std::size_t before = thousandths_[number];
  while (before < now)
    if (thousandths_[number].compare_exchange_weak(before, now)) {
      into_(sum_ += now - before, 1000 * thousandths_.size());
      return;
    }
  into_(sum_, 1000 * thousandths_.size());
}

Together::Steps Together::steps(std::size_t number, std::size_t part, std::size_t parts) {
  if (!into_) return {};
  return [this, number, part, parts](std::size_t done, std::size_t total) {
    update(number, part, parts, done, total);
  };
}

}  // namespace karat::cases
