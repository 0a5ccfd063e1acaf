// A golden file as the bundles that other test suites read.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "karat/golden/golden_file.hpp"

namespace karat::golden {

enum class BundleKind {
  hipdnn,  ///< hipDNN golden bundles (RFC 0011 of rocm-libraries): docs/bundles.md
};
/// @throws Error(usage) for another name
BundleKind parse_bundle(std::string_view name);

/// What the outputs of a bundle are.
enum class ReferenceStrategy {
  matched_precision,  ///< the recipe's own bits
  precision_uplift,   ///< attention of the inputs in f64, under the recipe's mask
};
/// @throws Error(usage) for another name
ReferenceStrategy parse_strategy(std::string_view name);

/// Writes a case as NAME.json (the graph), NAME.tensorUID.bin (raw, little-endian) and
/// NAME.meta.json into a folder, and with gradients NAME_backward beside it; o and the statistics
/// that the backward reads are those of the forward's bundle. A mask that was given, or predicted
/// from Q and K, is an input attn_mask [B,H,S,S]. The same file gives the same bytes.
/// @param name without path or ending
/// @return the files, in the order of writing
/// @throws Error(usage) for a name with other characters than letters, digits, '_' and '-', for a
///   case of codes, for precision_uplift where the file's truth is of some rows alone, and for a
///   given or predicted mask of more than 2^30 pairs
std::vector<std::filesystem::path> write_bundle(const GoldenFile& golden, BundleKind kind,
                                                ReferenceStrategy strategy, const std::string& name,
                                                const std::filesystem::path& folder);

}  // namespace karat::golden
