// Stages of a head as tensors, under the names of docs/golden.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "karat/attention/taps.hpp"
#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"
#include "karat/quant/quantise.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::cases {

/// One operand of one head: codes [S,D] in original token order, scale [groups] where the format
/// has one.
struct OperandTensors {
  files::Tensor codes;
  std::optional<files::Tensor> scale;
};
OperandTensors operand_tensors(const quant::Quantised& operand, const video::TokenOrder& order,
                               std::size_t channels);

/// "tap.0.3.12.s": the stage of one tapped query block, as exports name it.
std::string tap_name(std::size_t batch, std::size_t head, int query_block, std::string_view stage);
/// The stages of one tapped query block as tensors: a, s, p_codes [rows, columns]; m, l [visited,
/// rows]; o [visited, rows, channels]; query_token, key_token, key_block, column_begin.
files::Tensors tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const attention::BlockTap& tap);

/// Appends one head to the tensor [batch, heads, ...] of that name; heads come in order.
void append_head(files::Tensors& all, const std::string& name, std::size_t batch, std::size_t heads,
                 const files::Tensor& head);

}  // namespace karat::cases
