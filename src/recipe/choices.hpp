// Spelling and meaning of every enumerator that a recipe can hold.
// One spelling each: the JSON form has no synonyms.
#pragma once

#include "karat/recipe/fields.hpp"

namespace karat::recipe {

template <class Enum>
constexpr Choice choice(std::string_view name, Enum value, std::string_view meaning) {
  return {name, static_cast<int>(value), meaning};
}

inline constexpr Choice kMaskKind[] = {
    choice("none", MaskKind::none, "every pair of tokens"),
    choice("window", MaskKind::window, "a window of tiles around each tile"),
    choice("band", MaskKind::band, "positions near the query's, and the first frames"),
    choice("given", MaskKind::given, "comes with the workload: BlockMask arrays, boolean matrix"),
};
inline constexpr Choice kTokenSequence[] = {
    choice("tiles", TokenSequence::tiles, "tile after tile, row-major inside"),
    choice("token_major", TokenSequence::token_major, "all frames of a place, then the next"),
};
inline constexpr Choice kBandUnit[] = {
    choice("frames", BandUnit::frames, "multiple of a frame's tokens"),
    choice("density", BandUnit::density, "share s of all pairs: L*(1-sqrt(1-s)) tokens"),
};
inline constexpr Choice kCausal[] = {
    choice("off", Causal::off, "keys before and behind the query"),
    choice("on", Causal::on, "only keys up to the query's position"),
};
inline constexpr Choice kUnit[] = {
    choice("tiles", mask::Unit::tiles, "|dc| <= w/2 (integer division), c = tile coordinates"),
    choice("tokens_by_tile", mask::Unit::tokens_by_tile, "2*T*|dc| <= W, W in tokens"),
    choice("tokens_exact", mask::Unit::tokens_exact, "|dt| <= W/2 per token; partial tiles"),
};
inline constexpr Choice kBorder[] = {
    choice("truncate", mask::Border::truncate, "what sticks out of the grid is lost"),
    choice("clamp", mask::Border::clamp, "the centre moves inside the grid"),
};
inline constexpr Choice kCentre[] = {
    choice("query", mask::Centre::query, "the window lies around the query's tile"),
    choice("key", mask::Centre::key, "around the key's tile; under clamp the transpose"),
};
inline constexpr Choice kRagged[] = {
    choice("partial", video::Ragged::partial, "edge tiles are smaller"),
    choice("pad", video::Ragged::pad, "edge tiles are padded to full size and the padding masked"),
};
inline constexpr Choice kPredictRule[] = {
    choice("never", PredictRule::never, "the mask section alone"),
    choice("similarity", PredictRule::similarity,
           "pooled scores of blocks whose rows are alike (SpargeAttn; top-k)"),
    choice("clusters", PredictRule::clusters, "k-means over queries and keys (SparseVideoGen 2)"),
    choice("profile", PredictRule::profile,
           "of spatial and temporal band the one with less error (SparseVideoGen 1)"),
    choice("means", PredictRule::means,
           "scores of the means of blocks or tiles (NABLA, SubBlock, VSA, SLA); joins a window"),
};
inline constexpr Choice kSelect[] = {
    choice("mass", Select::mass, "the heaviest key blocks that hold predict.mass of the weight"),
    choice("share", Select::share, "the heaviest predict.share of the key blocks (top-k)"),
    choice("tail", Select::tail, "all but the lightest, which hold less than predict.tail (NABLA)"),
};
inline constexpr Choice kShareRounding[] = {
    choice("down", ShareRounding::down, "floor(fl(share*n)), at least one"),
    choice("up", ShareRounding::up, "ceil(fl(share*n)), at least one"),
};
inline constexpr Choice kTies[] = {
    choice("lower_first", Ties::lower_first, "the lower index counts as heavier"),
    choice("higher_first", Ties::higher_first, "the higher index counts as heavier"),
};
inline constexpr Choice kPredictUnit[] = {
    choice("blocks", PredictUnit::blocks, "of block.q and block.k positions"),
    choice("tiles", PredictUnit::tiles, "mask tiles; the text is one more"),
};
inline constexpr Choice kMeans[] = {
    choice("f64", Means::f64, "sums and means in FP64"),
    choice("bf16", Means::bf16, "sums in FP32, ascending; BF16(fl(sum/n))"),
};
inline constexpr Choice kMeanScores[] = {
    choice("f64", MeanScores::f64, "in FP64, channels ascending, times d^-1/2"),
    choice("f32", MeanScores::f32, "a chain of f32.fma, times fl(d^-1/2)"),
    choice("bf16", MeanScores::bf16, "BF16(fl(BF16(chain)*fl(d^-1/2)))"),
};
inline constexpr Choice kCentreKeys[] = {
    choice("off", CentreKeys::off, "keys as they are"),
    choice("on", CentreKeys::on, "k minus its mean over tokens, as k.smooth_mean rounds it"),
};
inline constexpr Choice kTextBlocks[] = {
    choice("ranked", TextBlocks::ranked, "as blocks of video"),
    choice("queries_dense", TextBlocks::queries_dense,
           "text queries see every key; text keys are ranked"),
    choice("dense", TextBlocks::dense, "text sees every key and every query sees text"),
};
inline constexpr Choice kBranchKind[] = {
    choice("none", BranchKind::none, "the sparse kernel alone"),
    choice("linear", BranchKind::linear, "linear attention over all keys, softmax features (SLA)"),
    choice("coarse", BranchKind::coarse, "attention between means of predict.unit (VSA)"),
};
inline constexpr Choice kBranchFormat[] = {
    choice("bf16", numerics::FormatId::bf16, "each operation's result is rounded to it"),
    choice("f32", numerics::FormatId::f32, "as computed"),
};
inline constexpr Choice kCrossing[] = {
    choice("dropped", Crossing::dropped, "keep while the sum with the block is <= mass"),
    choice("kept", Crossing::kept, "keep while the sum before the block is < mass"),
};
inline constexpr Choice kSink[] = {
    choice("off", Sink::off, "no"),
    choice("on", Sink::on, "every query block sees the first key block"),
};
inline constexpr Choice kOperandFormat[] = {
    choice("e4m3", numerics::FormatId::e4m3, "FP8, coded with scales"),
    choice("e5m2", numerics::FormatId::e5m2, "FP8, coded with scales"),
    choice("int8", numerics::FormatId::int8, "coded with scales"),
    choice("int4", numerics::FormatId::int4, "coded with scales"),
    choice("e2m1", numerics::FormatId::e2m1, "FP4, coded with scales"),
    choice("f16", numerics::FormatId::f16, "rounded, no scale"),
    choice("bf16", numerics::FormatId::bf16, "rounded, no scale"),
    choice("f32", numerics::FormatId::f32, "values as given"),
};
inline constexpr Choice kPFormat[] = {
    choice("e4m3", numerics::FormatId::e4m3, "FP8 codes"),
    choice("e5m2", numerics::FormatId::e5m2, "FP8 codes"),
    choice("int8", numerics::FormatId::int8, "integer codes"),
    choice("e2m1", numerics::FormatId::e2m1, "FP4 codes"),
    choice("f16", numerics::FormatId::f16, "rounded"),
    choice("bf16", numerics::FormatId::bf16, "rounded"),
    choice("f32", numerics::FormatId::f32, "as computed"),
};
inline constexpr Choice kGroup[] = {
    choice("tensor", Group::tensor, "all tokens and channels of a (batch, head)"),
    choice("all_heads", Group::all_heads, "all tokens and channels of all batch entries and heads"),
    choice("tile", Group::tile, "the tokens of a 3-D tile, all channels"),
    choice("token", Group::token, "one token, all channels"),
    choice("channel", Group::channel, "one channel, all tokens"),
    choice("tile_channel", Group::tile_channel, "one channel of the tokens of a 3-D tile"),
    choice("rows", Group::rows, "`rows` consecutive positions of a block (SageAttention per warp)"),
    choice("rows_stride_8", Group::rows_stride_8,
           "those of `rows` positions equal modulo 8 (SageAttention2 per thread, Q)"),
    choice("row_pairs_stride_8", Group::row_pairs_stride_8, "pairs likewise (per thread, K)"),
    choice("block", Group::block, "the positions of one block, all channels"),
    choice("channels_16", Group::channels_16, "16 consecutive channels of one token (NVFP4)"),
};
inline constexpr Choice kPGroup[] = {
    choice("tensor", Group::tensor, "all of P, by multiplier or offset"),
    choice("token", Group::token, "the keys of one row and key block (SageBwd)"),
    choice("channels_16", Group::channels_16, "16 keys of a row, from the block's first (NVFP4)"),
};
inline constexpr Choice kScaleFormat[] = {
    choice("f32", ScaleFormat::f32, "as computed"),
    choice("bf16", ScaleFormat::bf16, "rounded to nearest even"),
    choice("ue8m0_up", ScaleFormat::ue8m0_up, "power of two, not below (NVIDIA)"),
    choice("ue8m0_nearest", ScaleFormat::ue8m0_nearest,
           "nearest power of two, ties up (ml_dtypes)"),
    choice("ue8m0_floor", ScaleFormat::ue8m0_floor, "power of two, not above"),
    choice("e4m3", ScaleFormat::e4m3, "nearest even, saturating (NVFP4); what becomes 0 is 1"),
};
inline constexpr Choice kScaleRule[] = {
    choice("divide", ScaleRule::divide, "fl(amax/M)"),
    choice("multiply", ScaleRule::multiply, "fl(amax*fl(1/M))"),
    choice("exponent", ScaleRule::exponent, "2^(floor(log2 amax) - floor(log2 M)) (OCP MX)"),
    choice("given", ScaleRule::given, "fl(1/multiplier); codes are RN(fl(x*multiplier))"),
};
inline constexpr Choice kPScaleRule[] = {
    choice("divide", ScaleRule::divide, "fl(amax/M)"),
    choice("multiply", ScaleRule::multiply, "fl(amax*fl(1/M))"),
    choice("exponent", ScaleRule::exponent, "2^(floor(log2 amax) - floor(log2 M)) (OCP MX)"),
};
inline constexpr Choice kEnters[] = {
    choice("codes", Enters::codes, "the codes; scales stay outside the product"),
    choice("bf16", Enters::bf16, "fl(code*s) rounded to BF16: fake quantisation"),
};
inline constexpr Choice kCodeRule[] = {
    choice("divide", CodeRule::divide, "fl(x/s)"),
    choice("reciprocal", CodeRule::reciprocal, "fl(x*fl(1/s))"),
    choice("inverse_scale", CodeRule::inverse_scale, "fl(x*fl(M/amax))"),
};
inline constexpr Choice kGuard[] = {
    choice("one", Guard::one, "a group whose scale would be 0 gets s = 1, codes RN(x)"),
    choice("floor_1e-7", Guard::floor_1e_7, "amax is at least 1e-7"),
    choice("add_1e-7", Guard::add_1e_7, "1e-7 is added to s"),
    choice("floor_1e-4", Guard::floor_1e_4, "amax is at least 1e-4"),
};
inline constexpr Choice kRounding[] = {
    choice("nearest_even", numerics::Rounding::nearest_even, "ties to even"),
    choice("toward_zero", numerics::Rounding::toward_zero, "truncation"),
    choice("up", numerics::Rounding::up, "toward +infinity"),
    choice("down", numerics::Rounding::down, "toward -infinity"),
    choice("nearest_away", numerics::Rounding::nearest_away, "ties away from zero"),
    choice("stochastic", numerics::Rounding::stochastic,
           "by fixed Philox words (recipes/cases.md)"),
};
inline constexpr Choice kOverflow[] = {
    choice("saturate", numerics::Overflow::saturate, "the largest finite value (satfinite)"),
    choice("nan", numerics::Overflow::nan, "NaN"),
    choice("infinity", numerics::Overflow::infinity, "infinity, where the format has one"),
};
inline constexpr Choice kSmooth[] = {
    choice("none", Smooth::none, "values as they are"),
    choice("mean", Smooth::mean, "the mean over tokens of each channel is subtracted first"),
};
inline constexpr Choice kRotate[] = {
    choice("none", Rotate::none, "values as they are"),
    choice("hadamard", Rotate::hadamard, "H*D*x/sqrt(d), D random signs: q.k stays as it is"),
};
inline constexpr Choice kSkipRule[] = {
    choice("never", SkipRule::never, "every visited block is computed"),
    choice("block_maximum", SkipRule::block_maximum,
           "no exponentials, row sum and P V when max(row maximum - m) + threshold <= 0"),
    choice("exponential", SkipRule::exponential,
           "none when 2^max(row maximum - m) < fl(factor/keys) (BLASST)"),
    choice("next_step", SkipRule::next_step,
           "as block_maximum, but in the next denoising step (LiteAttention)"),
};
inline constexpr Choice kCast[] = {
    choice("after_scale", Cast::after_scale, "cast(fl(fl(O*r)*fl(s_v/multiplier)))"),
    choice("before_scale", Cast::before_scale, "bf16(fl(cast(fl(O*r))*fl(s_v/multiplier)))"),
};
inline constexpr Choice kSmoothMean[] = {
    choice("input_type", SmoothMean::input_type, "the exact mean rounded to the input's type"),
    choice("f32", SmoothMean::f32, "the exact mean rounded to f32"),
};
inline constexpr Choice kScaleOrder[] = {
    choice("product_first", ScaleOrder::product_first, "s = fl(A*f), f = fl(fl(s_q*s_k)*c)"),
    choice("sequential", ScaleOrder::sequential, "s = fl(fl(fl(A*s_q)*s_k)*c)"),
    choice("folded_into_q", ScaleOrder::folded_into_q, "c multiplies Q before it is coded"),
    choice("fused", ScaleOrder::fused, "the exponent is fma(A, f, -m*f)"),
    choice("scaled_then_fused", ScaleOrder::scaled_then_fused,
           "s = fl(A*fl(s_q*s_k)), the exponent is fma(s, c, -m*c)"),
    choice("query_first", ScaleOrder::query_first, "s = fl(A*f), f = fl(fl(c*s_q)*s_k)"),
    choice("folded_until_last", ScaleOrder::folded_until_last,
           "product_first; in a query block's last visit A becomes fl(A*fl(s_q*s_k)), f is c"),
};
inline constexpr Choice kScoreScale[] = {
    choice("applied", ScoreScale::applied, "s_q, s_k and c enter the kernel"),
    choice("omitted", ScoreScale::omitted, "softmax sees raw code units"),
};
inline constexpr Choice kExp2[] = {
    choice("rounded", Exp2::rounded, "correctly rounded to f32"),
    choice("mufu", Exp2::mufu, "ex2.approx.ftz.f32; x < 0 cut toward zero at 2^-23"),
    choice("mufu_floor", Exp2::mufu_floor, "ex2.approx.ftz.f32; x < 0 cut toward -inf at 2^-23"),
    choice("exact", Exp2::exact, "f64, not rounded until the next cast"),
};
inline constexpr Choice kRowSum[] = {
    choice("unquantized", RowSum::unquantized, "adds P before it is coded"),
    choice("quantized", RowSum::quantized,
           "adds decoded codes, each times fl(1/multiplier) or its group's scale"),
    choice("bf16", RowSum::bf16, "adds P rounded to BF16"),
};
inline constexpr Choice kRowSumOrder[] = {
    choice("wgmma_quad", RowSumOrder::wgmma_quad, "four partial sums, column n to (n>>1)&3"),
    choice("sequential", RowSumOrder::sequential, "one sum, ascending"),
    choice("pairwise", RowSumOrder::pairwise, "a balanced tree per block"),
    choice("thread_tree", RowSumOrder::thread_tree,
           "a tree of the columns of each (n>>1)&3, then of the four; one addition to l (Triton)"),
    choice("packed_quad", RowSumOrder::packed_quad,
           "a block in four pairs of sums, column n to pair (n>>1)&3; l begins the first"),
};
inline constexpr Choice kRowSumStart[] = {
    choice("separate", RowSumStart::separate, "fl(fl(l*alpha)+P)"),
    choice("fused_first", RowSumStart::fused_first, "fma(l, alpha, P)"),
};
inline constexpr Choice kExponent[] = {
    choice("scores", Exponent::scores, "fl(s-R), R = m - offset, or as scale_order fuses it"),
    choice("accumulator", Exponent::accumulator, "fma(A, f, -R): s is rounded for m alone"),
};
inline constexpr Choice kLse[] = {
    choice("natural", Lse::natural, "(m + log2 l) * ln 2"),
    choice("log2", Lse::log2, "m + log2 l"),
};
inline constexpr Choice kPApply[] = {
    choice("multiply", PApply::multiply, "code = RN(fl(multiplier*P))"),
    choice("exponent_offset", PApply::exponent_offset, "P = exp2(fl(s-fl(m-offset)))"),
};
inline constexpr Choice kOffsetEnters[] = {
    choice("separate", OffsetEnters::separate, "R = fl(fl(m*u)-offset)"),
    choice("fused", OffsetEnters::fused, "R = fma(m, u, -offset)"),
    choice("scores", OffsetEnters::scores, "s = fma(A, f, -offset), R = m"),
};
inline constexpr Choice kAlign[] = {
    choice("tile", video::Align::tile, "a block never straddles two mask tiles"),
    choice("sequence", video::Align::sequence, "fixed size along the reordered sequence"),
};
inline constexpr Choice kKeyOrder[] = {
    choice("ascending", KeyOrder::ascending, "first key block first"),
    choice("descending", KeyOrder::descending, "last key block first (FlashAttention-3)"),
    choice("partial_then_full", KeyOrder::partial_then_full,
           "partial blocks ascending, then full ones (FlexAttention)"),
    choice("given", KeyOrder::given, "as the lists that come with the workload"),
};
inline constexpr Choice kReciprocal[] = {
    choice("rounded", Reciprocal::rounded, "fl(1/l)"),
    choice("mufu", Reciprocal::mufu, "rcp.approx.ftz.f32"),
    choice("div_full", Reciprocal::div_full,
           "div.full.f32: fl(fl(o*g)*rcp(fl(l*g))), g = 1 but at the ends"),
};
inline constexpr Choice kDivisor[] = {
    choice("row_sum", Divisor::row_sum, "l, then times fl(s_v/multiplier)"),
    choice("multiplied", Divisor::multiplied, "fl(l*multiplier), then times s_v"),
};
inline constexpr Choice kLogarithm[] = {
    choice("exact", Logarithm::exact, "log2 l in f64, lse rounded once"),
    choice("mufu", Logarithm::mufu, "lg2.approx.ftz.f32, f32 operations behind it"),
    choice("libdevice", Logarithm::libdevice, "CUDA's log2f, f32 operations behind it"),
};
inline constexpr Choice kFullyMasked[] = {
    choice("zero", FullyMasked::zero, "0, lse -inf"),
    choice("nan", FullyMasked::nan, "NaN"),
};
inline constexpr Choice kOutput[] = {
    choice("bf16", numerics::FormatId::bf16, "nearest even"),
    choice("f16", numerics::FormatId::f16, "nearest even"),
    choice("f32", numerics::FormatId::f32, "as computed"),
    choice("e4m3", numerics::FormatId::e4m3,
           "nearest even, saturating: a literal FlexAttention kernel"),
};
inline constexpr Choice kSubnormals[] = {
    choice("flush", numerics::Subnormals::flush, "subnormal FP32 results become signed zero"),
    choice("keep", numerics::Subnormals::keep, "subnormal FP32 results are kept"),
};

}  // namespace karat::recipe
