// Masks that come with a case: BlockMask arrays, a boolean matrix, or windows head by head.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"
#include "karat/mask/blockmask.hpp"
#include "karat/mask/strategy.hpp"

namespace karat::cases {

/// Arrays by name; leading dimensions batch and head may be missing or 1, which holds for all:
///   mask           [S,S]    nonzero keeps, rows are queries, in the tokens' own order
///   kv_num_blocks  [Q], kv_indices [Q,K], full_kv_num_blocks, full_kv_indices: PyTorch's BlockMask
///                           over the positions of the recipe's order; block_size [2] (else 128,
///                           128)
///   window         [3]      instead of the recipe's mask.window
/// Partial blocks without `mask` are kept whole.
class GivenMask {
 public:
  /// @throws Error(usage) naming `subject` when the arrays are none of these or of odd shapes
  GivenMask(files::Tensors arrays, std::string subject);
  /// safetensors, npy (the boolean matrix) or HDF5; BLOCK_SIZE may stand in safetensors' metadata.
  static GivenMask open(const std::filesystem::path& path);
  /// FastVideo's windows of `heads` heads, the first one `first_head`.
  static GivenMask of_strategy(const mask::WindowStrategy& strategy, int step, int layer,
                               std::size_t first_head, std::size_t heads);

  bool has_windows() const { return arrays_.contains("window"); }
  /// Whether heads or batch entries differ.
  bool per_head() const;
  /// @throws Error(usage) when there are neither one nor this many batch entries and heads
  void require_heads(std::size_t batch, std::size_t heads) const;
  /// The head's layout. @throws Error(usage) when recipe and mask do not go together.
  layout::Layout layout(recipe::Recipe recipe, layout::Setting setting, std::size_t batch,
                        std::size_t head) const;
  /// What rebuilds this mask.
  const files::Tensors& arrays() const { return arrays_; }

 private:
  std::vector<std::int64_t> row(const std::string& name, std::size_t rank, std::size_t batch,
                                std::size_t head) const;
  std::span<const std::uint8_t> matrix_of(std::size_t batch, std::size_t head) const;
  layout::GivenMask mask_of(std::size_t batch, std::size_t head) const;
  mask::BlockMask blocks_of(std::size_t batch, std::size_t head) const;

  files::Tensors arrays_;
  std::string subject_;
};

}  // namespace karat::cases
