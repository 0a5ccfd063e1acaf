// Rows of the block map, partial and full entries apart.
#include "block_arrays.hpp"

#include <algorithm>
#include <vector>

namespace karat::golden {
namespace {

using files::DType;

std::vector<std::int64_t> begins(const std::vector<video::Range>& blocks) {
  std::vector<std::int64_t> begin;
  for (const video::Range block : blocks) begin.push_back(block.begin);
  begin.push_back(blocks.empty() ? 0 : blocks.back().end);
  return begin;
}

void add(files::Tensors& tensors, const layout::Layout& layout, mask::Cover cover,
         const std::string& prefix) {
  const auto& rows = layout.blocks.rows;
  std::vector<std::int32_t> counts;
  for (const auto& row : rows)
    counts.push_back(static_cast<std::int32_t>(std::count_if(
        row.begin(), row.end(), [&](const auto& entry) { return entry.cover == cover; })));
  const std::size_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  std::vector<std::int32_t> indices(rows.size() * most, 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::size_t n = 0;
    for (const auto& entry : rows[i])
      if (entry.cover == cover) indices[i * most + n++] = entry.key_block;
  }
  tensors[prefix + "num_blocks"] = files::make_tensor(DType::i32, {rows.size()}, counts);
  tensors[prefix + "indices"] = files::make_tensor(DType::i32, {rows.size(), most}, indices);
}

}  // namespace

files::Tensors block_arrays(const layout::Layout& layout) {
  files::Tensors tensors;
  add(tensors, layout, mask::Cover::partial, "kv_");
  add(tensors, layout, mask::Cover::full, "full_kv_");
  for (const auto& [name, blocks] : {std::pair{"query", &layout.blocks.query_blocks},
                                     std::pair{"key", &layout.blocks.key_blocks}}) {
    const std::vector<std::int64_t> begin = begins(*blocks);
    tensors[std::string(name) + "_block_begin"] =
        files::make_tensor(DType::i64, {begin.size()}, begin);
  }
  return tensors;
}

}  // namespace karat::golden
