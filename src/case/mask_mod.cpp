// The source is the same for every mask but for the lines that say which pairs are kept.
#include "karat/case/mask_mod.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "karat/mask/blockmask.hpp"
#include "karat/mask/compose.hpp"

namespace karat::cases {
namespace {

using recipe::MaskKind;

constexpr const char* kHead =
    R"(# A mask of karat as FlexAttention's mask_mod, over positions of the recipe's order of tokens.
# FlexAttention's BACKEND="FLASH" has ignored BlockMask arrays under a trivial mask_mod (pytorch
# 188322): give create_block_mask, or BlockMask.from_kv_blocks, this mask_mod.
# On a GPU: mask_mod_on("cuda"), load(device="cuda").
import torch

POSITIONS = %POSITIONS%
)";

/// The longest table that is written into a source.
constexpr std::size_t kLongestTable = std::size_t{1} << 22;

std::string listed(const auto& values) {
  std::ostringstream text;
  text << '[';
  std::size_t on_line = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text << ',' << (++on_line % 24 == 0 ? "\n    " : " ");
    text << static_cast<long long>(values[i]);
  }
  text << ']';
  return text.str();
}

std::string extent(video::Extent3 e) {
  return "(" + std::to_string(e.t) + ", " + std::to_string(e.h) + ", " + std::to_string(e.w) + ")";
}

/// Tables and functions that make a token of a position, and video and padding known.
std::string tokens_of(const layout::Layout& layout) {
  std::ostringstream text;
  text << "GRID = " << extent(layout.grid) << "  # tokens t, h, w; text stands behind them\n"
       << "VIDEO = " << layout.grid.volume() << "\n";
  const auto& token_at = layout.order.token_at;
  if (video::is_own_order(layout.order)) {
    text << "TABLE = None\n\n\ndef token_of(table, position):\n    return position\n";
  } else {
    text << "# The token at each position; -1 where padding stands.\nTABLE = torch.tensor("
         << listed(token_at)
         << ")\n\n\ndef token_of(table, position):\n    return table[position]\n";
  }
  return text.str();
}

/// Whether a pair of video tokens is kept by a window.
std::string window_lines(const recipe::Mask& m) {
  const bool exact = m.unit == mask::Unit::tokens_exact;
  std::ostringstream text;
  const int tiles[] = {m.tile.t, m.tile.h, m.tile.w};
  const int windows[] = {m.window.t, m.window.h, m.window.w};
  text << "TILE = " << (exact ? "(1, 1, 1)" : extent(m.tile)) << "\nRADIUS = (";
  for (int axis = 0; axis < 3; ++axis) {
    const int radius = m.unit == mask::Unit::tokens_by_tile ? windows[axis] / (2 * tiles[axis])
                                                            : windows[axis] / 2;
    text << radius << (axis < 2 ? ", " : ")");
  }
  text
      << "  # in cells of TILE\n\n\ndef cells(token):\n"
      << "    t, h, w = token // (GRID[1] * GRID[2]), token // GRID[2] % GRID[1], token % GRID[2]\n"
      << "    return t // TILE[0], h // TILE[1], w // TILE[2]\n\n\n"
      << "def among_video(q, k):\n";
  const bool keys = m.centre == mask::Centre::key;
  text << "    kept = True\n    for axis, (centre, other) in enumerate(zip(cells("
       << (keys ? "k" : "q") << "), cells(" << (keys ? "q" : "k") << "))):\n"
       << "        count, r = -(-GRID[axis] // TILE[axis]), RADIUS[axis]\n";
  if (m.border == mask::Border::clamp)
    text << "        if 2 * r + 1 >= count:\n            continue\n"
         << "        centre = torch.clamp(centre, r, count - 1 - r)\n";
  text << "        kept = kept & (abs(centre - other) <= r)\n    return kept\n";
  return text.str();
}

std::string by_coordinates(const recipe::Recipe& recipe, const layout::Layout& layout) {
  return tokens_of(layout) + window_lines(recipe.mask) +
         "\n\ndef keeps(table, q_idx, kv_idx):\n"
         "    q, k = token_of(table, q_idx), token_of(table, kv_idx)\n"
         "    text = (q >= VIDEO) | (k >= VIDEO)\n"
         "    return (q >= 0) & (k >= 0) & (text | among_video(q, k))\n";
}

std::string by_positions(const recipe::Recipe& recipe, const layout::Layout& layout) {
  std::ostringstream text;
  text << "TABLE = None\nVIDEO = " << layout.grid.volume() << "\n";
  if (recipe.mask.kind == MaskKind::none) {
    text << "\n\ndef keeps(table, q_idx, kv_idx):\n    return (q_idx < POSITIONS) & (kv_idx < "
            "POSITIONS)\n";
    return text.str();
  }
  const std::int64_t frame = std::int64_t{layout.grid.h} * layout.grid.w;
  const double multiple = recipe.mask.band_unit == recipe::BandUnit::frames
                              ? double{recipe.mask.band}
                              : layout.grid.t * (1 - std::sqrt(1 - double{recipe.mask.band}));
  text << "WIDTH, FIRST = " << mask::band_width(multiple, frame) << ", "
       << frame * recipe.mask.band_first << "  # positions\n\n\n"
       << "def keeps(table, q_idx, kv_idx):\n"
       << "    text = (q_idx >= VIDEO) | (kv_idx >= VIDEO)\n"
       << "    return text | (abs(q_idx - kv_idx) <= WIDTH) | (kv_idx < FIRST)\n";
  return text.str();
}

std::optional<std::string> by_blocks(const layout::Layout& layout, int query_block, int key_block) {
  const mask::BlockMask made = mask::sequence_blockmask(*layout.mask, query_block, key_block);
  const auto rows = static_cast<std::size_t>(made.query_blocks);
  const auto columns = static_cast<std::size_t>(made.key_blocks);
  if (rows * columns > kLongestTable) return std::nullopt;
  std::vector<std::uint8_t> keep(rows * columns, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::int32_t n = 0; n < made.full_kv_num_blocks[i]; ++n)
      keep[i * columns + static_cast<std::size_t>(made.full_kv_indices[i * columns + n])] = 1;
    for (std::int32_t n = 0; n < made.kv_num_blocks[i]; ++n) {
      const auto j = static_cast<std::size_t>(made.kv_indices[i * columns + n]);
      const auto range = [](std::size_t block, int size, std::int64_t end) {
        const std::int64_t begin = static_cast<std::int64_t>(block) * size;
        return video::Range{begin, std::min(begin + size, end)};
      };
      if (layout.mask->cover(range(i, query_block, layout.mask->queries()),
                             range(j, key_block, layout.mask->keys())) != mask::Cover::full)
        return std::nullopt;
      keep[i * columns + j] = 1;
    }
  }
  std::ostringstream text;
  text << "BLOCK = (" << query_block << ", " << key_block << ")\n# Per pair of blocks.\nTABLE = "
       << "torch.tensor(" << listed(keep) << ").reshape(" << rows << ", " << columns << ") == 1\n"
       << "\n\ndef keeps(table, q_idx, kv_idx):\n"
       << "    return table[q_idx // BLOCK[0], kv_idx // BLOCK[1]]\n";
  return text.str();
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  text.replace(text.find(what), what.size(), with);
  return text;
}

}  // namespace

std::optional<std::string> mask_mod_source(const recipe::Recipe& recipe,
                                           const layout::Layout& layout, int query_block,
                                           int key_block, const std::string& arrays) {
  std::string source = replaced(kHead, "%POSITIONS%", std::to_string(layout.order.positions()));
  switch (recipe.mask.kind) {
    case MaskKind::window:
      source += by_coordinates(recipe, layout);
      break;
    case MaskKind::none:
    case MaskKind::band:
      source += by_positions(recipe, layout);
      break;
    case MaskKind::given: {
      const auto blocks = by_blocks(layout, query_block, key_block);
      if (!blocks) return std::nullopt;
      source += *blocks;
      break;
    }
  }
  const bool causal = recipe.mask.causal == recipe::Causal::on;
  source +=
      "\n\ndef mask_mod_on(device):\n"
      "    \"\"\"mask_mod for indices on a device, where its table must stand too.\"\"\"\n"
      "    table = None if TABLE is None else TABLE.to(device)\n\n"
      "    def mask_mod(b, h, q_idx, kv_idx):\n"
      "        inside = (q_idx < POSITIONS) & (kv_idx < POSITIONS)\n"
      "        q_idx, kv_idx = q_idx * inside, kv_idx * inside  # no table is left\n"
      "        return inside & keeps(table, q_idx, kv_idx)" +
      std::string(causal ? " & (kv_idx <= q_idx)" : "") +
      "\n\n    return mask_mod\n\n\n"
      "mask_mod = mask_mod_on(\"cpu\")\n\n\ndef load(path=\"" +
      arrays +
      "\", device=\"cpu\"):\n"
      "    \"\"\"The BlockMask of the arrays on a device, with this mask_mod.\"\"\"\n"
      "    from safetensors import safe_open\n"
      "    from torch.nn.attention.flex_attention import BlockMask\n\n"
      "    with safe_open(path, \"pt\") as file:\n"
      "        names = (\"kv_num_blocks\", \"kv_indices\", \"full_kv_num_blocks\",\n"
      "                 \"full_kv_indices\")\n"
      "        arrays = [file.get_tensor(name).to(device) for name in names]\n"
      "        block = tuple(int(n) for n in file.metadata()[\"BLOCK_SIZE\"].split(\",\"))\n"
      "    return BlockMask.from_kv_blocks(*arrays, BLOCK_SIZE=block,\n"
      "                                    mask_mod=mask_mod_on(device),\n"
      "                                    seq_lengths=(POSITIONS, POSITIONS))\n";
  return source;
}

}  // namespace karat::cases
