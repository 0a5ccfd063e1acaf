// The backward pass of a kernel as plain data: what S and P are recomputed from, the formats,
// scales and instructions of the five products, and the order of every sum.
// What each field means is docs/recipe.md; the operations in order are docs/recipes/backward.md.
#pragma once

#include <string>

#include "karat/numerics/formats/format.hpp"
#include "karat/quant/rule.hpp"

namespace karat::recipe {

/// Which loops a backward has. With P = exp(S - lse), the five products are
/// S = Q K^T, dP = dO V^T, dV = P^T dO, dQ = dS K, dK = dS^T Q.
enum class BackwardLoop {
  none,         ///< the recipe has no backward
  key_blocks,   ///< one kernel over key blocks: dV and dK stay in accumulators, each key block's dQ
                ///< is added to FP32 memory
  two_kernels,  ///< a second kernel over query blocks keeps dQ in accumulators
};
enum class BlockOrder {
  ascending,
  descending,
  partial_then_full,  ///< partly masked blocks ascending, then full ones (FlexAttention)
};
enum class BackwardScores {
  forward,   ///< the forward's own operations on its codes and scales
  operands,  ///< s = fl(A*c), A the product of the backward's operands q and k
};
enum class PExponent {
  separate,  ///< x = fl(s - L)
  fused,     ///< x = fma(A, f, -L)
};
/// Which values of q, k, v or dO a product of the backward reads.
enum class Source {
  codes,        ///< as coded, the scales outside the product
  dequantised,  ///< fl(code*scale), cast to `plain`
  input,        ///< what was never quantised, cast to `plain`
};
enum class Delta {
  output,         ///< the forward's stored output
  unquantised_p,  ///< the output of the same forward whose P is rounded to BF16 and never coded
};
enum class DeltaSum { sequential, fused, pairwise };
enum class SoftmaxScale {
  end,  ///< dQ and dK are multiplied by fl(d^-1/2) at the end
  ds,   ///< dS is, before it is cast
};
enum class Promote {
  never,  ///< one chain of instructions over all blocks
  block,  ///< each block's product is formed from zero and added
};
enum class HeadSum {
  chain,  ///< the accumulators of dK and dV go on from query head to query head
  add,    ///< each query head's dK and dV, f32 and finished but for the cast, are added in order
};
enum class SmoothTerm { added, omitted };
enum class StraightThrough {
  identity,              ///< the gradient of a quantiser is 1
  zero_where_saturated,  ///< 0 where the forward's code stands for something larger
};

struct Backward {
  BackwardLoop loop = BackwardLoop::none;
  int block_q = 0;  ///< 0: the forward's
  int block_k = 0;
  BlockOrder query_order = BlockOrder::ascending;  ///< in which dV and dK add query blocks
  BlockOrder key_order = BlockOrder::ascending;    ///< in which dQ adds key blocks
  BackwardScores scores = BackwardScores::forward;
  PExponent exponent = PExponent::separate;
  Source q = Source::dequantised, k = Source::dequantised, v = Source::dequantised;
  numerics::FormatId plain = numerics::FormatId::f32;
  /// How P, dO and dS become operands: groups are `tensor` with a given multiplier, and beside it
  /// for P and dS `block` (the rows and keys of one visit) or `channels_16` (16 keys of a row).
  quant::Rule p, d_o, ds;
  Source do_in_dp = Source::codes;
  Delta delta = Delta::output;
  DeltaSum delta_sum = DeltaSum::sequential;
  SoftmaxScale softmax_scale = SoftmaxScale::end;
  std::string s = "f32.fma", dp = "f32.fma", dv = "f32.fma", dq = "f32.fma",
              dk = "f32.fma";  ///< instructions
  Promote promote = Promote::never;
  HeadSum head_sum = HeadSum::chain;
  SmoothTerm smooth_term = SmoothTerm::added;
  StraightThrough straight_through = StraightThrough::identity;
  numerics::FormatId output = numerics::FormatId::bf16;
  float dq_multiplier = 1, dk_multiplier = 1, dv_multiplier = 1;

  bool exists() const { return loop != BackwardLoop::none; }
};

}  // namespace karat::recipe
