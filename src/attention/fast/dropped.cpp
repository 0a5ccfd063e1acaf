// Masks by rectangles.
#include "dropped.hpp"

#include <algorithm>

namespace karat::attention {

/// Masks are mostly made of rectangles, so a part that is neither kept nor dropped as a whole is
/// cut in two along its longer side; of a single pair cover() is the same as keeps().
template <typename T>
void fill_dropped(const mask::Mask& mask, std::type_identity_t<T> value, video::Range queries,
                  video::Range keys, mask::Cover cover, BlockOf<T> s) {
  if (cover == mask::Cover::full) return;
  if (cover == mask::Cover::none) {
    for (std::size_t i = 0; i < s.rows; ++i) std::fill_n(s.row(i), s.columns, value);
    return;
  }
  const auto part = [&](video::Range some_queries, video::Range some_keys) {
    const auto row = static_cast<std::size_t>(some_queries.begin - queries.begin);
    const auto column = static_cast<std::size_t>(some_keys.begin - keys.begin);
    fill_dropped<T>(mask, value, some_queries, some_keys, mask.cover(some_queries, some_keys),
                    {s.row(row) + column, static_cast<std::size_t>(some_queries.size()),
                     static_cast<std::size_t>(some_keys.size()), s.stride});
  };
  if (queries.size() > keys.size()) {
    const std::int64_t middle = queries.begin + queries.size() / 2;
    part({queries.begin, middle}, keys);
    part({middle, queries.end}, keys);
  } else {
    const std::int64_t middle = keys.begin + keys.size() / 2;
    part(queries, {keys.begin, middle});
    part(queries, {middle, keys.end});
  }
}

template void fill_dropped(const mask::Mask&, float, video::Range, video::Range, mask::Cover,
                           BlockOf<float>);
template void fill_dropped(const mask::Mask&, double, video::Range, video::Range, mask::Cover,
                           BlockOf<double>);

}  // namespace karat::attention
