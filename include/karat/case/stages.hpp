// Stages of a head as tensors, under the names of docs/golden.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "karat/attention/backward.hpp"
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

/// "dq_tap.0.3.12.ds": the stage of one tapped query block of a backward; dkv_tap of a key block.
std::string dq_tap_name(std::size_t batch, std::size_t head, int query_block,
                        std::string_view stage);
std::string dkv_tap_name(std::size_t batch, std::size_t kv_head, int key_block,
                         std::string_view stage);
/// s, p, p_codes, dp, ds, ds_codes [rows, columns]; dq [visited, rows, channels]; query_token,
/// key_token, key_block, column_begin. p_codes and ds_codes are what the products read, in the
/// format in which it enters.
files::Tensors dq_tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                              const attention::BackwardTap& tap);
/// dk, dv [visited, keys, channels]; key_token, query_block.
files::Tensors dkv_tap_tensors(const layout::Layout& layout, const attention::KeyBlockTap& tap);

/// Query heads that share one head of k and v.
struct GroupOfHeads {
  std::size_t batch, kv_head, group;
};
/// All taps of a backward under their names; those of dq are of the group's first head.
void add_backward_taps(files::Tensors& all, const recipe::Recipe& recipe,
                       const layout::Layout& layout, const GroupOfHeads& of,
                       const attention::BackwardResult& result);

/// Appends one head to the tensor [batch, heads, ...] of that name; heads come in order.
void append_head(files::Tensors& all, const std::string& name, std::size_t batch, std::size_t heads,
                 const files::Tensor& head);

}  // namespace karat::cases
