// Recordings of one query block's intermediate stages.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/video/token_order.hpp"

namespace karat::attention {

/// Key blocks are concatenated in the order of visiting: column c of the wide arrays belongs to
/// visited block b with column_begin[b] <= c < column_begin[b + 1].
struct BlockTap {
  int query_block = 0;
  video::Range queries;                    ///< positions of the rows
  std::vector<std::int32_t> key_block;     ///< visited blocks, in order
  std::vector<std::int64_t> column_begin;  ///< one more than key blocks
  std::vector<std::int32_t> key_position;  ///< per column
  std::vector<float> a;                    ///< rows x columns, raw accumulator of Q K^T
  std::vector<float> s;                    ///< rows x columns, scaled and masked, log2 units
  std::vector<float> p;                    ///< rows x columns, P as the PV instruction reads it
  std::vector<std::uint8_t> p_codes;       ///< rows x columns where P has an 8-bit format
  std::vector<float> m;                    ///< visited x rows, after each key block
  std::vector<float> l;                    ///< visited x rows, the partial sums added up
  std::vector<float> o;                    ///< visited x rows x channels, unnormalised accumulator
  // What bounds would otherwise compute, skipped visits apart; empty unless workings are asked for.
  std::vector<float> x;  ///< rows x columns, exponents of P
  /// T of every visited segment of keys, before scales and promotion: segments x rows x channels,
  /// those of a visit from product_begin on. Of recipes that promote alone.
  std::vector<float> t;
  std::vector<std::int32_t> product_begin;  ///< one more than key blocks
};

/// Whether taps hold exponents and products beside the stages.
enum class Workings { dropped, tapped };

}  // namespace karat::attention
