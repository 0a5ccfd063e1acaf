// The rows. docs/golden.md says what each holds.
#include "dataset_table.hpp"

namespace karat::golden::schema {

using enum Size;

const std::vector<Row>& stage_rows() {
  static const std::vector<Row> kRows{
      {"stages/o", Type::output, {batch, heads, tokens, channels}},
      {"stages/m", Type::f32, {batch, heads, tokens}},
      {"stages/l", Type::f32, {batch, heads, tokens}},
      {"stages/lse", Type::f32, {batch, heads, tokens}},
      {"stages/q_codes", Type::q, {batch, heads, tokens, channels}},
      {"stages/k_codes", Type::k, {batch, kv_heads, tokens, channels}},
      {"stages/v_codes", Type::v, {batch, kv_heads, tokens, channels}},
      {"stages/q_scale", Type::f32, {batch, heads, q_groups}, There::q_scaled},
      {"stages/k_scale", Type::f32, {batch, kv_heads, k_groups}, There::k_scaled},
      {"stages/v_scale", Type::f32, {batch, kv_heads, v_groups}, There::v_scaled},
      {"stages/branch", Type::branch, {batch, heads, tokens, channels}, There::branched},
      {"inputs/q", Type::given, {batch, heads, tokens, channels}, There::with_group},
      {"inputs/k", Type::given, {batch, kv_heads, tokens, channels}, There::with_group},
      {"inputs/v", Type::given, {batch, kv_heads, tokens, channels}, There::with_group},
      {"bound/o_low", Type::output, {batch, heads, tokens, channels}, There::with_group},
      {"bound/o_high", Type::output, {batch, heads, tokens, channels}, There::with_group},
      {"bound/l_low", Type::f32, {batch, heads, tokens}, There::with_group},
      {"bound/l_high", Type::f32, {batch, heads, tokens}, There::with_group},
      {"bound/lse_low", Type::f32, {batch, heads, tokens}, There::with_group},
      {"bound/lse_high", Type::f32, {batch, heads, tokens}, There::with_group},
      {"truth/rows", Type::i32, {rows_of_truth}},
      {"truth/dense_o", Type::f64, {batch, heads, rows_of_truth, channels}},
      {"truth/dense_lse", Type::f64, {batch, heads, rows_of_truth}},
      {"truth/sparse_o", Type::f64, {batch, heads, rows_of_truth, channels}},
      {"truth/sparse_lse", Type::f64, {batch, heads, rows_of_truth}},
      {"inputs/do", Type::given_do, {batch, heads, tokens, channels}, There::backward},
      {"stages/delta", Type::f32, {batch, heads, tokens}, There::backward},
      {"stages/o_unquantised_p",
       Type::uncoded_output,
       {batch, heads, tokens, channels},
       There::uncoded_output},
      {"stages/dq", Type::gradient, {batch, heads, tokens, channels}, There::backward},
      {"stages/dk", Type::gradient, {batch, kv_heads, tokens, channels}, There::backward},
      {"stages/dv", Type::gradient, {batch, kv_heads, tokens, channels}, There::backward},
      {"truth/gradient_rows", Type::i32, {gradient_rows}, There::backward},
      {"truth/dense_dq", Type::f64, {batch, heads, gradient_rows, channels}, There::backward},
      {"truth/dense_dk", Type::f64, {batch, kv_heads, gradient_rows, channels}, There::backward},
      {"truth/dense_dv", Type::f64, {batch, kv_heads, gradient_rows, channels}, There::backward},
      {"truth/sparse_dq", Type::f64, {batch, heads, gradient_rows, channels}, There::backward},
      {"truth/sparse_dk", Type::f64, {batch, kv_heads, gradient_rows, channels}, There::backward},
      {"truth/sparse_dv", Type::f64, {batch, kv_heads, gradient_rows, channels}, There::backward},
  };
  return kRows;
}

const std::vector<Row>& order_rows() {
  static const std::vector<Row> kRows{
      {"position_of_token", Type::i32, {tokens}},
      {"token_at_position", Type::i32, {positions}},
      {"key_position_of_token", Type::i32, {tokens}, There::with_group},
      {"key_token_at_position", Type::i32, {key_positions}, There::with_group},
  };
  return kRows;
}

const std::vector<Row>& mask_rows() {
  static const std::vector<Row> kRows{
      {"kv_num_blocks", Type::i32, {query_blocks}},
      {"kv_indices", Type::i32, {query_blocks, most_partial}},
      {"full_kv_num_blocks", Type::i32, {query_blocks}},
      {"full_kv_indices", Type::i32, {query_blocks, most_full}},
      {"query_block_begin", Type::i64, {query_borders}},
      {"key_block_begin", Type::i64, {key_borders}},
  };
  return kRows;
}

const std::vector<Row>& tap_rows() {
  static const std::vector<Row> kRows{
      {"a", Type::f32, {rows, columns}},     {"s", Type::f32, {rows, columns}},
      {"p_codes", Type::p, {rows, columns}}, {"m", Type::f32, {visits, rows}},
      {"l", Type::f32, {visits, rows}},      {"o", Type::f32, {visits, rows, channels}},
      {"query_token", Type::i32, {rows}},    {"key_token", Type::i32, {columns}},
      {"key_block", Type::i32, {visits}},    {"column_begin", Type::i64, {borders}},
  };
  return kRows;
}

const std::vector<Row>& dq_tap_rows() {
  static const std::vector<Row> kRows{
      {"s", Type::f32, {rows, columns}},
      {"p", Type::f32, {rows, columns}},
      {"p_codes", Type::backward_p, {rows, columns}},
      {"dp", Type::f32, {rows, columns}},
      {"ds", Type::f32, {rows, columns}},
      {"ds_codes", Type::backward_ds, {rows, columns}},
      {"dq", Type::f32, {visits, rows, channels}},
      {"query_token", Type::i32, {rows}},
      {"key_token", Type::i32, {columns}},
      {"key_block", Type::i32, {visits}},
      {"column_begin", Type::i64, {borders}},
  };
  return kRows;
}

const std::vector<Row>& dkv_tap_rows() {
  static const std::vector<Row> kRows{
      {"dk", Type::f32, {visits, rows, channels}},
      {"dv", Type::f32, {visits, rows, channels}},
      {"key_token", Type::i32, {rows}},
      {"query_block", Type::i32, {visits}},
  };
  return kRows;
}

}  // namespace karat::golden::schema
