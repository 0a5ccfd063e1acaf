// Masks that come with a case: BlockMask arrays, a boolean matrix, or windows head by head.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"
#include "karat/mask/blockmask.hpp"
#include "karat/mask/strategy.hpp"

namespace karat::cases {

/// What the rows and columns of a mask count.
enum class MaskOrder {
  tokens,    ///< the tokens' own numbers, text's too
  positions  ///< places in the order of the recipe, padding's too
};
/// @throws Error(usage) for anything but "tokens" and "positions"
MaskOrder parse_mask_order(std::string_view name, const std::string& subject);
std::string_view mask_order_name(MaskOrder order);

/// How the two kinds of arrays are read.
struct MaskReading {
  MaskOrder pairs = MaskOrder::tokens;
  MaskOrder blocks = MaskOrder::tokens;
};

/// Arrays by name; leading dimensions batch and head may be missing or 1, which holds for all:
///   mask           [S,S]    nonzero keeps, rows are queries
///   mask_id        [Q,K]    SpargeAttn's: nonzero keeps a whole block of queries and keys;
///                           block_size [2] (else 128, 64); the last blocks may be short
///   kv_num_blocks  [Q], kv_indices [Q,K], full_kv_num_blocks, full_kv_indices: PyTorch's
///                           BlockMask; block_size [2] (else 128, 128)
///   window         [3]      instead of the recipe's mask.window
/// All are bool, int8, uint8, int32 or int64. Pairs of partial blocks are kept as `mask` says.
class GivenMask {
 public:
  /// @throws Error(usage) naming `subject` when the arrays are none of these or of odd shapes
  GivenMask(files::Tensors arrays, std::string subject, MaskReading reading = {});
  /// safetensors, npy (the boolean matrix) or HDF5; BLOCK_SIZE may stand in safetensors' metadata.
  /// `order` says how all arrays are read; without it the file's metadata "mask_order" does, else
  /// blocks are of positions where the file holds position_of_token (karat mask --blockmask), and
  /// everything else is by token.
  static GivenMask open(const std::filesystem::path& path, std::optional<MaskOrder> order = {});
  /// FastVideo's windows of `heads` heads, the first one `first_head`.
  static GivenMask of_strategy(const mask::WindowStrategy& strategy, int step, int layer,
                               std::size_t first_head, std::size_t heads);

  bool has_windows() const { return arrays_.contains("window"); }
  bool has_blocks() const { return arrays_.contains("kv_num_blocks"); }
  MaskReading reading() const { return reading_; }
  /// Whether heads or batch entries differ.
  bool per_head() const;
  /// @throws Error(usage) when there are neither one nor this many batch entries and heads
  void require_heads(std::size_t batch, std::size_t heads) const;
  /// @throws Error(usage) when lists of blocks are made for other tokens or positions
  void require_order(const video::TokenOrder& order) const;
  /// @throws Error(usage) when a block is listed as partial and no `mask` says which of its pairs
  ///   are kept
  void require_pairs() const;
  /// The same mask with pairs by token.
  /// @throws Error(usage) when pairs by position are not of the order's positions
  GivenMask by_token(const video::TokenOrder& order) const;
  /// The head's layout. @pre pairs are by token
  /// @throws Error(usage) when recipe and mask do not go together.
  layout::Layout layout(recipe::Recipe recipe, layout::Setting setting, std::size_t batch,
                        std::size_t head) const;
  /// What rebuilds this mask, with the reading; mask_id as lists of full blocks.
  const files::Tensors& arrays() const { return arrays_; }

 private:
  std::vector<std::int64_t> row(const std::string& name, std::size_t rank, std::size_t batch,
                                std::size_t head) const;
  std::span<const std::uint8_t> matrix_of(std::size_t batch, std::size_t head) const;
  std::unique_ptr<mask::Mask> mask_of(const video::TokenOrder& order, std::size_t batch,
                                      std::size_t head) const;
  mask::BlockMask blocks_of(std::size_t batch, std::size_t head) const;
  /// Per query block the listed key blocks, partial ones first.
  std::vector<std::vector<std::int32_t>> lists_of(std::size_t batch, std::size_t head) const;

  files::Tensors arrays_;
  std::string subject_;
  MaskReading reading_;
};

}  // namespace karat::cases
