// Every dataset of a golden file: its name, type, shape and when it is there. A new one is a row.
#pragma once

#include <string_view>
#include <vector>

namespace karat::golden::schema {

/// Of an element: what the recipe writes there, or always the same.
enum class Type {
  given,
  q,
  k,
  v,
  p,
  output,
  f32,
  f64,
  i32,
  i64,
  branch,  ///< what a second branch adds
  given_do,
  uncoded_output,  ///< of the forward that delta sums
  gradient,
  backward_p,
  backward_ds,
};

enum class Size {
  batch,
  heads,
  kv_heads,
  tokens,
  channels,
  q_groups,
  k_groups,
  v_groups,
  rows_of_truth,
  gradient_rows,
  positions,      ///< of queries
  key_positions,  ///< of keys
  query_blocks,
  key_blocks,
  query_borders,  ///< one more than query blocks
  key_borders,
  most_partial,  ///< partial blocks of the row that has most
  most_full,
  rows,     ///< of a tapped query block
  columns,  ///< of its visited key blocks, side by side
  visits,
  borders,  ///< one more than visits
  count,
};

/// When a dataset has to be there.
enum class There {
  always,
  with_group,  ///< all of this condition within a folder, or none
  q_scaled,
  k_scaled,
  v_scaled,
  branched,        ///< where the recipe has a second branch
  backward,        ///< all of this condition, or none
  uncoded_output,  ///< likewise, where delta sums another output
};

struct Row {
  std::string_view name;
  Type type;
  std::vector<Size> shape;
  There there = There::always;
};

/// Those with one place in the file.
const std::vector<Row>& stage_rows();
/// Under "order", once for all heads or per head as "order/B/H".
const std::vector<Row>& order_rows();
/// Under "mask", likewise.
const std::vector<Row>& mask_rows();
/// Under "stages/tap/B/H/BLOCK".
const std::vector<Row>& tap_rows();
/// Under "stages/dq_tap/B/H/BLOCK".
const std::vector<Row>& dq_tap_rows();
/// Under "stages/dkv_tap/B/KVHEAD/BLOCK".
const std::vector<Row>& dkv_tap_rows();

}  // namespace karat::golden::schema
