// A tapped query block's l or o after each key block, inside its worst-case range, against legal
// kernels on the same block.
#pragma once

#include <optional>
#include <span>

#include "karat/bounds/legal_kernels.hpp"
#include "karat/golden/check.hpp"

namespace karat::golden {

enum class TapStage { l, o };

/// @param candidate  visited x rows (x channels), as BlockTap::l or BlockTap::o
/// The doubt names scope and query block; token and channel are in `element`.
struct TapDoubt {
  Doubt doubt;
  std::size_t element;  ///< of the stage
};
/// Rows of `channels` values, each with draws of its own from every kernel.
struct DrawnRows {
  numerics::FormatId format;
  std::size_t channels;
  std::span<const float> golden, candidate;
  std::span<const std::span<const float>> kernels;
};
std::optional<TapDoubt> beyond_legal_rows(const DrawnRows& rows);

std::optional<TapDoubt> beyond_legal_kernels(const bounds::LegalKernels& kernels,
                                             const attention::BlockTap& golden, TapStage stage,
                                             std::span<const float> candidate);

}  // namespace karat::golden
