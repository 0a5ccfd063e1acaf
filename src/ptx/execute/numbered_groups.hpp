// Private: asynchronous work in groups: what was issued since the last commit is a group, and waits
// name how many of the newest may be left.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace karat::ptx {

/// Groups by their number, from 0. Empty ones take no memory, however many are committed.
template <typename Item>
class NumberedGroups {
 public:
  struct Group {
    std::uint64_t number = 0;
    std::vector<Item> items;
  };

  /// Into the group in progress.
  void add(Item item) {
    if (open_is_empty()) groups_.push_back({committed_, {}});
    groups_.back().items.push_back(std::move(item));
    ++items_;
  }
  bool open_is_empty() const { return groups_.empty() || groups_.back().number != committed_; }
  void commit() { ++committed_; }
  /// The number of the group in progress.
  std::uint64_t committed() const { return committed_; }
  /// Groups before this number are over once all but the newest `left` have been waited for.
  std::uint64_t end(std::uint64_t left) const { return committed_ - std::min(left, committed_); }
  /// The oldest group before `end` that is not empty, taken out.
  std::optional<Group> take_before(std::uint64_t end) {
    if (groups_.empty() || groups_.front().number >= end) return std::nullopt;
    Group oldest = std::move(groups_.front());
    groups_.pop_front();
    items_ -= oldest.items.size();
    return oldest;
  }
  /// In all groups.
  std::size_t items() const { return items_; }

 private:
  std::uint64_t committed_ = 0;
  std::size_t items_ = 0;
  std::deque<Group> groups_;
};

}  // namespace karat::ptx
