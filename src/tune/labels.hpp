// Partial sums of assignments for dynamic programming: time in exact integers, so that the order of
// summation cannot make two equal sums differ.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/tune/problem.hpp"

namespace karat::tune {

struct Label {
  std::int64_t time = 0;  ///< in units of the arena
  double error = 0;
  std::uint32_t before = 0;  ///< node of the label it extends
  std::uint32_t node = 0;    ///< its own, once kept
  std::uint16_t candidate = 0;
};
using Labels = std::vector<Label>;

/// Removes dominated labels; what remains has time ascending and error descending.
void undominated(Labels& labels);

/// Remembers of every kept label which label it extends. An item's labels extend those of the item
/// before.
class LabelArena {
 public:
  explicit LabelArena(const Problem& problem);
  /// A label of the first item; kept.
  Label start(std::uint16_t candidate);
  /// A label one item longer; call keep() if it survives.
  Label extend(const Label& label, std::size_t item, std::uint16_t candidate) const;
  /// Removes dominated labels and keeps the others: `most` of them at the most, evenly chosen by
  /// place, the first and the last among them. @return false where some were left out
  bool keep(Labels& labels, std::size_t most);
  /// The candidates that the label chose, item by item.
  Assignment path(const Label& label) const;
  void clear() { nodes_.clear(); }
  double unit() const { return unit_; }

 private:
  void keep(Label& label);

  struct Node {
    std::uint32_t before;
    std::uint16_t candidate;
  };
  const Problem* problem_;
  double unit_ = 1;
  std::vector<std::int64_t> time_;
  std::vector<Node> nodes_;
};

}  // namespace karat::tune
