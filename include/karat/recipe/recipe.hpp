// The kernel as plain data: every operation and rounding that decides its bits.
// What each field means is docs/recipe.md; the JSON form is karat/recipe/json.hpp.
#pragma once

#include <optional>
#include <string>

#include "karat/mask/window.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/quant/rule.hpp"
#include "karat/recipe/backward.hpp"
#include "karat/video/token_order.hpp"

namespace karat::recipe {

enum class MaskKind {
  none,
  window,
  band,   ///< SparseVideoGen: positions near the query's, and the first frames
  given,  ///< comes with the workload, as BlockMask arrays or a boolean matrix
};
enum class TokenSequence {
  tiles,        ///< tile after tile
  token_major,  ///< all frames of one place, then the next place
};
enum class BandUnit { frames, density };
enum class Causal { off, on };
struct Mask {
  MaskKind kind = MaskKind::none;
  TokenSequence order = TokenSequence::tiles;
  video::Extent3 tile{6, 8, 8};  ///< decides the token order too; {1,1,1} keeps the original order
  video::Extent3 window{3, 3, 3};
  mask::Unit unit = mask::Unit::tiles;
  mask::Border border = mask::Border::clamp;
  mask::Centre centre = mask::Centre::query;
  video::Ragged ragged = video::Ragged::partial;
  float band = 0.25f;  ///< half-width of the band, in band_unit
  BandUnit band_unit = BandUnit::density;
  int band_first = 0;  ///< frames' worth of first positions that every query sees
  Causal causal = Causal::off;
};

enum class PredictRule {
  never,
  similarity,  ///< SpargeAttn: pooled scores of blocks whose rows are alike
  clusters,    ///< SparseVideoGen 2: k-means over queries and keys
  profile,     ///< SparseVideoGen 1: spatial or temporal band by sampled rows
  means,       ///< NABLA, SubBlock, VSA, SLA: products of block means
};
enum class Select { mass, share, tail };
enum class Crossing { dropped, kept };
enum class ShareRounding { down, up };
enum class Ties { lower_first, higher_first };
enum class Sink { off, on };
enum class PredictUnit { blocks, tiles };
enum class Means { f64, bf16 };
enum class MeanScores { f64, f32, bf16 };
enum class CentreKeys { off, on };
enum class TextBlocks {
  ranked,         ///< as any other block
  queries_dense,  ///< text queries see every key; text keys are ranked
  dense,          ///< and are seen by every query
};
/// A mask made from each head's own Q and K before the kernel runs.
struct Predict {
  PredictRule rule = PredictRule::never;
  Select select = Select::mass;
  float mass = 0.98f;
  Crossing crossing = Crossing::dropped;
  float least = 0;     ///< Select::mass: share of the key blocks kept in any case
  float share = 0.5f;  ///< Select::share
  ShareRounding share_rounding = ShareRounding::down;
  float tail = 0.1f;  ///< Select::tail
  Ties ties = Ties::lower_first;
  float similarity = 0.6f;
  Sink sink = Sink::off;
  int query_clusters = 300;
  int key_clusters = 1000;
  int iterations = 5;
  int rows = 32;  ///< PredictRule::profile: sampled
  int seed = 0;
  // PredictRule::means:
  PredictUnit unit = PredictUnit::blocks;  ///< Branch::kind coarse too
  int parts = 1;
  Means means = Means::f64;
  MeanScores scores = MeanScores::f64;
  CentreKeys centre = CentreKeys::off;
  TextBlocks text = TextBlocks::ranked;
};

using quant::CodeRule;
using quant::Enters;
using quant::Group;
using quant::Guard;
using quant::Rotate;
using quant::ScaleFormat;
using quant::ScaleRule;
using quant::Smooth;
using quant::SmoothMean;

/// How q, k or v becomes codes and scales.
using Operand = quant::Rule;

enum class ScaleOrder {
  product_first,
  sequential,
  folded_into_q,
  fused,
  scaled_then_fused,
  query_first,        ///< c multiplies s_q before s_k does
  folded_until_last,  ///< the last visit of a query block scales its accumulators first
};
/// The exponent is one fused multiply-add; scores and maxima are not yet in log2 units.
constexpr bool is_fused(ScaleOrder order) {
  return order == ScaleOrder::fused || order == ScaleOrder::scaled_then_fused;
}
enum class ScoreScale { applied, omitted };
struct Qk {
  std::string instruction = "f32.fma";
  ScaleOrder scale_order = ScaleOrder::product_first;
  ScoreScale score_scale = ScoreScale::applied;
};

enum class Exp2 {
  rounded,     ///< correctly rounded to f32
  mufu,        ///< ex2.approx.ftz.f32; a negative argument is cut toward zero to 23 fraction bits
  mufu_floor,  ///< the same, cut toward -Inf
  exact,       ///< f64, not rounded until the next cast
};
constexpr bool is_mufu(Exp2 exp2) { return exp2 == Exp2::mufu || exp2 == Exp2::mufu_floor; }
enum class RowSum {
  unquantized,
  quantized,
  bf16,  ///< P rounded to BF16, whatever it is coded to
};
enum class RowSumOrder {
  wgmma_quad,
  sequential,
  pairwise,
  thread_tree,  ///< a tree of each lane's columns, the lanes, then one addition to l
  packed_quad,  ///< FlashAttention-4: a block in eight sums, added up at its end
};
/// How a visit begins a partial sum: fl(fl(l*alpha) + P) | fma(l, alpha, P).
enum class RowSumStart { separate, fused_first };
enum class Lse { natural, log2 };
/// What P's exponents are made of, where scale_order does not fuse them already.
enum class Exponent {
  scores,       ///< fl(s - R), R what the maximum and P's offset give
  accumulator,  ///< fma(A, f, -R): the score's own rounding is not in it
};
struct Softmax {
  Exp2 exp2 = Exp2::rounded;
  float rescale_threshold = 0;        ///< log2 units; the old maximum stays while m' - m <= this
  std::optional<float> masked_score;  ///< empty: -inf
  std::optional<float> initial_max;   ///< empty: -inf
  Exponent exponent = Exponent::scores;
  RowSum row_sum = RowSum::unquantized;
  RowSumOrder row_sum_order = RowSumOrder::wgmma_quad;
  RowSumStart row_sum_start = RowSumStart::separate;
  Lse lse = Lse::natural;
};

enum class PApply { multiply, exponent_offset };
/// Where P's offset k meets the maximum m, whose factor is u.
enum class OffsetEnters {
  separate,  ///< R = fl(fl(m*u) - k)
  fused,     ///< R = fma(m, u, -k)
  scores,    ///< s = fma(A, f, -k), so that m holds it: R = m
};
struct P {
  numerics::FormatId format = numerics::FormatId::f32;
  float multiplier =
      1;             ///< PApply::multiply: code = RN(fl(multiplier * P)), divided out at the end
  float offset = 0;  ///< PApply::exponent_offset: P = exp2(fl(s - fl(m' - offset))), log2 units
  PApply apply = PApply::multiply;
  OffsetEnters offset_enters = OffsetEnters::separate;
  /// Elements of one scale. tensor: all of P, by multiplier or offset; token: the keys of one row
  /// and key block; channels_16: 16 keys of a row, counted from the block's first.
  Group group = Group::tensor;
  ScaleFormat scale = ScaleFormat::f32;      ///< of groups
  ScaleRule scale_rule = ScaleRule::divide;  ///< of groups
  Enters enters = Enters::codes;             ///< of groups
  numerics::Rounding rounding = numerics::Rounding::nearest_even;
  numerics::Overflow overflow = numerics::Overflow::saturate;
};

/// Whether groups of P have scales from their own largest values.
inline bool is_grouped(const P& p) {
  return p.group != Group::tensor && quant::has_scale(p.format);
}
/// How a row of P becomes codes and scales where it is grouped; otherwise its format and rounding.
inline quant::Rule rule_of(const P& p) {
  return {.format = p.format,
          .group = p.group,
          .scale = p.scale,
          .scale_rule = p.scale_rule,
          .enters = p.enters,
          .rounding = p.rounding,
          .overflow = p.overflow};
}

struct Pv {
  std::string instruction = "f32.fma";
  int promote_every = 0;  ///< keys; 0 = never (the chain starts from the rescaled O)
};

enum class KeyOrder { ascending, descending, partial_then_full, given };
struct Block {
  int q = 64;
  int k = 128;
  video::Align align = video::Align::tile;
  KeyOrder order = KeyOrder::ascending;
  int listed = 0;  ///< positions of the blocks that partial_then_full sorts by; 0: q and k
};

enum class SkipRule {
  never,
  block_maximum,  ///< when max over the block's rows of (row maximum - m) + threshold <= 0
  exponential,    ///< when 2^max over the rows of (row maximum - m) < fl(factor/keys)
  next_step,      ///< as block_maximum, but the block is computed and left out in the next step
};
/// Leaving out a visited block's exponentials, row sum and P V once its scores are seen to be small
/// (SpargeAttn's second stage, BLASST). The first block is never skipped; O and l are rescaled
/// anyway. LiteAttention skips in the next denoising step instead (next_step).
struct Skip {
  SkipRule rule = SkipRule::never;
  float threshold = 50;  ///< log2 units
  float factor = 1000;   ///< over the number of keys: lambda of SkipRule::exponential
  int rows = 0;          ///< the last ones of a full query block, which decide; 0: all
};
/// Whether skipped blocks are left out of the launch that finds them.
constexpr bool skips_now(SkipRule rule) {
  return rule == SkipRule::block_maximum || rule == SkipRule::exponential;
}

/// How o is divided: times fl(1/l) | times rcp.approx.ftz.f32 of l | div.full.f32.
enum class Reciprocal { rounded, mufu, div_full };
/// What o is divided by; P's multiplier is part of it or of the scale behind it.
enum class Divisor {
  row_sum,     ///< l, then times fl(s_v/multiplier)
  multiplied,  ///< fl(l*multiplier), then times s_v
};
/// Of the log-sum-exp: f64 and one rounding | lg2.approx.ftz.f32 | log2f of CUDA's libdevice, f32
/// operations behind both.
enum class Logarithm { exact, mufu, libdevice };
enum class FullyMasked { zero, nan };
enum class Cast {
  after_scale,   ///< out = cast(fl(fl(O*r) * s_v/multiplier))
  before_scale,  ///< out = bf16(fl(cast(fl(O*r)) * s_v/multiplier)): the kernel's cast comes first
};
struct Finish {
  Reciprocal reciprocal = Reciprocal::rounded;
  Divisor divisor = Divisor::row_sum;
  Logarithm logarithm = Logarithm::exact;
  Cast cast = Cast::after_scale;
  FullyMasked fully_masked = FullyMasked::zero;
  float multiplier = 1;  ///< o times this is cast
};

enum class BranchKind {
  none,
  linear,  ///< SLA: linear attention over all keys
  coarse,  ///< VSA: attention between the means of blocks
};
/// What a kernel beside the sparse one adds to its output.
struct Branch {
  BranchKind kind = BranchKind::none;
  float weight = 1;       ///< in place of a trained gate or projection
  float epsilon = 1e-5f;  ///< BranchKind::linear: added to the denominator
  numerics::FormatId format = numerics::FormatId::bf16;  ///< of what its operations hand on
};

struct Recipe {
  std::string name = "unnamed";
  std::string about;  ///< one line for people; decides nothing
  Mask mask;
  Predict predict;
  Operand q, k, v;
  Qk qk;
  Softmax softmax;
  P p;
  Pv pv;
  Block block;
  Skip skip;
  Finish finish;
  Branch branch;
  numerics::FormatId output = numerics::FormatId::bf16;
  numerics::Subnormals subnormals = numerics::Subnormals::flush;
  Backward backward;
};

}  // namespace karat::recipe
