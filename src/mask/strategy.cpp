// Implementation of mask/strategy.hpp.
#include "karat/mask/strategy.hpp"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

using Index = WindowStrategy::Index;

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::input_output, subject, problem,
              "write {\"step_layer_head\": [t, h, w], ...}");
}

/// "12_0_39" -> {12, 0, 39}.
std::optional<Index> read_index(std::string_view key) {
  Index index{};
  const char* at = key.data();
  const char* const end = at + key.size();
  for (std::size_t i = 0; i < index.size(); ++i) {
    if (i > 0 && (at == end || *at++ != '_')) return std::nullopt;
    const auto [next, failure] = std::from_chars(at, end, index[i]);
    if (failure != std::errc{} || index[i] < 0) return std::nullopt;
    at = next;
  }
  return at == end ? std::optional(index) : std::nullopt;
}

std::optional<int> read_extent(const files::Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto extent = value.get<std::uint64_t>();
  constexpr std::uint64_t kMost = std::numeric_limits<int>::max();
  return extent > 0 && extent <= kMost ? std::optional(static_cast<int>(extent)) : std::nullopt;
}

}  // namespace

video::Extent3 WindowStrategy::window(int step, int layer, int head) const {
  const auto found = windows.find({step, layer, head});
  if (found != windows.end()) return found->second;
  throw Error(ErrorKind::usage, "mask strategy",
              "nothing about step " + std::to_string(step) + ", layer " + std::to_string(layer) +
                  ", head " + std::to_string(head),
              "pick one that the file lists");
}

WindowStrategy parse_window_strategy(std::string_view text, const std::string& subject) {
  const files::Json json = files::parse_json(text, subject);
  if (!json.is_object() || json.empty()) refuse(subject, "not an object with entries");
  WindowStrategy strategy;
  for (const auto& [key, value] : json.items()) {
    const auto index = read_index(key);
    if (!index) refuse(subject, "key '" + key + "' is not step_layer_head");
    if (!value.is_array() || value.size() != 3) refuse(subject, key + ": not three extents");
    const auto t = read_extent(value[0]), h = read_extent(value[1]), w = read_extent(value[2]);
    if (!t || !h || !w) refuse(subject, key + ": extents must be positive integers");
    if (!strategy.windows.emplace(*index, video::Extent3{*t, *h, *w}).second)
      refuse(subject, key + ": given twice");
  }
  return strategy;
}

}  // namespace karat::mask
