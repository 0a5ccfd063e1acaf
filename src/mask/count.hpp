// Counting kept pairs of any mask by asking it about ever smaller ranges.
#pragma once

#include "karat/mask/mask.hpp"

namespace karat::mask {

inline std::int64_t count_kept(const Mask& mask, Range queries, Range keys) {
  switch (mask.cover(queries, keys)) {
    case Cover::none:
      return 0;
    case Cover::full:
      return queries.size() * keys.size();
    case Cover::partial:
      break;
  }
  Range& longer = queries.size() > keys.size() ? queries : keys;
  const Range whole = longer;
  const std::int64_t middle = whole.begin + whole.size() / 2;
  longer = {whole.begin, middle};
  const std::int64_t first = count_kept(mask, queries, keys);
  longer = {middle, whole.end};
  return first + count_kept(mask, queries, keys);
}

/// The cover of a block from the covers of parts that make it up.
class CoverOfParts {
 public:
  void add(Cover part) {
    kept_ = kept_ || part != Cover::none;
    dropped_ = dropped_ || part != Cover::full;
  }
  bool decided() const { return kept_ && dropped_; }
  Cover cover() const { return !kept_ ? Cover::none : dropped_ ? Cover::partial : Cover::full; }

 private:
  bool kept_ = false, dropped_ = false;
};

}  // namespace karat::mask
