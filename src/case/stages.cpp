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
          {"p_codes", encoded(tap.p, quant::entering_format(rule_of(recipe.p)), {rows, columns})},
          {"m", encoded(tap.m, numerics::FormatId::f32, {visits, rows})},
          {"l", encoded(tap.l, numerics::FormatId::f32, {visits, rows})},
          {"o", encoded(tap.o, numerics::FormatId::f32, {visits, rows, layout.channels})},
          {"query_token", files::make_tensor(files::DType::i32, {rows}, queries)},
          {"key_token", files::make_tensor(files::DType::i32, {columns}, keys)},
          {"key_block", files::make_tensor(files::DType::i32, {visits}, tap.key_block)},
          {"column_begin", files::make_tensor(files::DType::i64, {visits + 1}, tap.column_begin)}};
}

namespace {

std::vector<std::int32_t> tokens_at(const std::vector<std::int32_t>& token_at, video::Range range) {
  return {token_at.begin() + range.begin, token_at.begin() + range.end};
}

std::string name_of(const char* kind, std::size_t batch, std::size_t head, int block,
                    std::string_view stage) {
  return std::string(kind) + "." + std::to_string(batch) + "." + std::to_string(head) + "." +
         std::to_string(block) + "." + std::string(stage);
}

}  // namespace

std::string dq_tap_name(std::size_t batch, std::size_t head, int query_block,
                        std::string_view stage) {
  return name_of("dq_tap", batch, head, query_block, stage);
}
std::string dkv_tap_name(std::size_t batch, std::size_t kv_head, int key_block,
                         std::string_view stage) {
  return name_of("dkv_tap", batch, kv_head, key_block, stage);
}

files::Tensors dq_tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                              const attention::BackwardTap& tap) {
  using numerics::FormatId;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t columns = tap.key_position.size();
  const std::size_t visits = tap.key_block.size();
  const FormatId p = quant::entering_format(recipe.backward.p);
  const FormatId ds = quant::entering_format(recipe.backward.ds);
  std::vector<std::int32_t> keys;
  for (const std::int32_t position : tap.key_position)
    keys.push_back(layout.key_order.token_at[position]);
  return {{"s", encoded(tap.s, FormatId::f32, {rows, columns})},
          {"p", encoded(tap.p, FormatId::f32, {rows, columns})},
          {"p_codes", encoded(tap.p_operand, p, {rows, columns})},
          {"dp", encoded(tap.dp, FormatId::f32, {rows, columns})},
          {"ds", encoded(tap.ds, FormatId::f32, {rows, columns})},
          {"ds_codes", encoded(tap.ds_operand, ds, {rows, columns})},
          {"dq", encoded(tap.dq, FormatId::f32, {visits, rows, layout.channels})},
          {"query_token", files::make_tensor(files::DType::i32, {rows},
                                             tokens_at(layout.order.token_at, tap.queries))},
          {"key_token", files::make_tensor(files::DType::i32, {columns}, keys)},
          {"key_block", files::make_tensor(files::DType::i32, {visits}, tap.key_block)},
          {"column_begin", files::make_tensor(files::DType::i64, {visits + 1}, tap.column_begin)}};
}

files::Tensors dkv_tap_tensors(const layout::Layout& layout, const attention::KeyBlockTap& tap) {
  const auto keys = static_cast<std::size_t>(tap.keys.size());
  const std::size_t visits = tap.query_block.size();
  const files::Shape shape{visits, keys, layout.channels};
  return {{"dk", encoded(tap.dk, numerics::FormatId::f32, shape)},
          {"dv", encoded(tap.dv, numerics::FormatId::f32, shape)},
          {"key_token", files::make_tensor(files::DType::i32, {keys},
                                           tokens_at(layout.key_order.token_at, tap.keys))},
          {"query_block", files::make_tensor(files::DType::i32, {visits}, tap.query_block)}};
}

void add_backward_taps(files::Tensors& all, const recipe::Recipe& recipe,
                       const layout::Layout& layout, const GroupOfHeads& of,
                       const attention::BackwardResult& result) {
  for (const attention::BackwardTap& tap : result.query_taps)
    for (auto& [name, tensor] : dq_tap_tensors(recipe, layout, tap))
      all[dq_tap_name(of.batch, of.kv_head * of.group, tap.query_block, name)] = std::move(tensor);
  for (const attention::KeyBlockTap& tap : result.key_taps)
    for (auto& [name, tensor] : dkv_tap_tensors(layout, tap))
      all[dkv_tap_name(of.batch, of.kv_head, tap.key_block, name)] = std::move(tensor);
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
