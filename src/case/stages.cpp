// Rows of operands and tapped blocks into tensors.
#include "karat/case/stages.hpp"

#include <algorithm>
#include <utility>

#include "karat/case/formats.hpp"

namespace karat::cases {

OperandTensors operand_tensors(const quant::Quantised& operand, const video::TokenOrder& order,
                               std::size_t channels) {
  const std::size_t tokens = order.position_of.size();
  std::vector<float> rows(tokens * channels);
  for (std::size_t token = 0; token < tokens; ++token)
    std::copy_n(&operand.values[static_cast<std::size_t>(order.position_of[token]) * channels],
                channels, &rows[token * channels]);
  OperandTensors made{.codes = encoded(rows, operand.format, {tokens, channels}), .scale = {}};
  if (!operand.scales.empty())
    made.scale = encoded(operand.scales, numerics::FormatId::f32, {operand.scales.size()});
  return made;
}

std::string tap_name(std::size_t batch, std::size_t head, int query_block, std::string_view stage) {
  return "tap." + std::to_string(batch) + "." + std::to_string(head) + "." +
         std::to_string(query_block) + "." + std::string(stage);
}

files::Tensors tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const attention::BlockTap& tap) {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t columns = tap.key_position.size();
  const std::size_t visits = tap.key_block.size();
  std::vector<std::int32_t> queries, keys;
  for (std::int64_t i = tap.queries.begin; i < tap.queries.end; ++i)
    queries.push_back(layout.order.token_at[i]);
  for (const std::int32_t position : tap.key_position)
    keys.push_back(layout.key_order.token_at[position]);
  return {{"a", encoded(tap.a, numerics::FormatId::f32, {rows, columns})},
          {"s", encoded(tap.s, numerics::FormatId::f32, {rows, columns})},
          {"p_codes", encoded(tap.p, recipe.p.format, {rows, columns})},
          {"m", encoded(tap.m, numerics::FormatId::f32, {visits, rows})},
          {"l", encoded(tap.l, numerics::FormatId::f32, {visits, rows})},
          {"o", encoded(tap.o, numerics::FormatId::f32, {visits, rows, layout.channels})},
          {"query_token", files::make_tensor(files::DType::i32, {rows}, queries)},
          {"key_token", files::make_tensor(files::DType::i32, {columns}, keys)},
          {"key_block", files::make_tensor(files::DType::i32, {visits}, tap.key_block)},
          {"column_begin", files::make_tensor(files::DType::i64, {visits + 1}, tap.column_begin)}};
}

void append_head(files::Tensors& all, const std::string& name, std::size_t batch, std::size_t heads,
                 const files::Tensor& head) {
  files::Tensor& tensor = all[name];
  if (tensor.shape.empty()) {
    tensor.dtype = head.dtype;
    tensor.shape = head.shape;
    tensor.shape.insert(tensor.shape.begin(), {batch, heads});
  }
  tensor.bytes.insert(tensor.bytes.end(), head.bytes.begin(), head.bytes.end());
}

}  // namespace karat::cases
