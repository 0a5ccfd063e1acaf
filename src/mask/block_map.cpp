// The kept-block lists of mask/mask.hpp.
#include <utility>

#include "karat/mask/mask.hpp"

namespace karat::mask {

BlockMap block_map(const Mask& mask, std::vector<Range> query_blocks,
                   std::vector<Range> key_blocks) {
  BlockMap map{std::move(query_blocks), std::move(key_blocks), {}};
  map.rows.reserve(map.query_blocks.size());
  for (const Range& queries : map.query_blocks) {
    auto& row = map.rows.emplace_back();
    for (std::size_t j = 0; j < map.key_blocks.size(); ++j) {
      const Cover cover = mask.cover(queries, map.key_blocks[j]);
      if (cover != Cover::none) row.push_back({static_cast<std::int32_t>(j), cover});
    }
  }
  return map;
}

}  // namespace karat::mask
