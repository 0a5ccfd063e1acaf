// What a golden file holds, dataset by dataset. A file is held against this table once, when it is
// opened, so that whatever reads it afterwards meets what the writer would have written: the seal
// keeps accidents out, the table what was changed and sealed again.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::golden {

/// What the datasets of a file are held against.
struct SchemaFacts {
  const recipe::Recipe& recipe;
  std::size_t tokens;            ///< grid and text together
  const layout::Layout* layout;  ///< of all heads; null where each has its own
};

/// Query blocks whose inner stages the file holds, ascending, by batch entry and head.
using TappedBlocks = std::map<std::pair<std::size_t, std::size_t>, std::vector<int>>;

/// Blocks whose inner stages a file holds: of the forward, and of the backward where there is one.
struct Tapped {
  TappedBlocks forward, dq;
  TappedBlocks dkv;  ///< key blocks, by batch entry and head of k and v
};

/// Every dataset that the recipe calls for is there, of its type, in a shape that fits the recipe,
/// the layout and the other datasets, and nothing else is. Values are not looked at.
/// @param subject the file, for messages
/// @throws Error(input_output) about the first dataset that does not fit
Tapped require_schema(const std::vector<files::TensorInfo>& datasets, const SchemaFacts& facts,
                      const std::string& subject);

}  // namespace karat::golden
