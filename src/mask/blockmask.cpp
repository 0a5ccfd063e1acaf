// Implementation of mask/blockmask.hpp.
#include "karat/mask/blockmask.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "karat/numerics/base/error.hpp"

namespace karat::mask {
namespace {

void require_fit(const std::vector<Range>& blocks, int size, const char* subject) {
  for (const Range& block : blocks) {
    if (block.size() <= size) continue;
    throw Error(ErrorKind::usage, subject,
                "a block of " + std::to_string(block.size()) + " positions is longer than " +
                    std::to_string(size),
                "cut blocks of the stated size");
  }
}

/// Marked block numbers ascending, then the others ascending.
void append_ordered(const std::vector<bool>& marked, std::vector<std::int32_t>& counts,
                    std::vector<std::int32_t>& indices) {
  counts.push_back(static_cast<std::int32_t>(std::ranges::count(marked, true)));
  for (const bool wanted : {true, false})
    for (std::size_t j = 0; j < marked.size(); ++j)
      if (marked[j] == wanted) indices.push_back(static_cast<std::int32_t>(j));
}

}  // namespace

BlockMask to_blockmask(const BlockMap& map, int query_block, int key_block) {
  require_fit(map.query_blocks, query_block, "blockmask.query_block");
  require_fit(map.key_blocks, key_block, "blockmask.key_block");
  BlockMask out{.query_block = query_block,
                .key_block = key_block,
                .query_blocks = static_cast<int>(map.query_blocks.size()),
                .key_blocks = static_cast<int>(map.key_blocks.size())};
  for (std::size_t i = 0; i < map.rows.size(); ++i) {
    std::vector<bool> partial(map.key_blocks.size()), full(map.key_blocks.size());
    const bool whole_rows = map.query_blocks[i].size() == query_block;
    for (const auto& [j, cover] : map.rows[i]) {
      const bool whole = whole_rows && map.key_blocks[j].size() == key_block;
      (whole && cover == Cover::full ? full : partial)[j] = true;
    }
    append_ordered(partial, out.kv_num_blocks, out.kv_indices);
    append_ordered(full, out.full_kv_num_blocks, out.full_kv_indices);
  }
  return out;
}

BlockMask sequence_blockmask(const Mask& mask, int query_block, int key_block) {
  return to_blockmask(block_map(mask, video::cut_range({0, mask.queries()}, query_block),
                                video::cut_range({0, mask.keys()}, key_block)),
                      query_block, key_block);
}

}  // namespace karat::mask
