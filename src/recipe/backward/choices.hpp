// Spelling and meaning of the backward's enumerators.
#pragma once

#include "../choices.hpp"

namespace karat::recipe {

inline constexpr Choice kBackwardLoop[] = {
    choice("none", BackwardLoop::none, "the recipe has no backward"),
    choice("key_blocks", BackwardLoop::key_blocks,
           "one kernel over key blocks; each block's dQ is added to FP32 memory"),
    choice("two_kernels", BackwardLoop::two_kernels,
           "a second kernel over query blocks keeps dQ in accumulators"),
};
inline constexpr Choice kBlockOrder[] = {
    choice("ascending", BlockOrder::ascending, "first block first"),
    choice("descending", BlockOrder::descending, "last block first"),
    choice("partial_then_full", BlockOrder::partial_then_full,
           "partly masked blocks ascending, then full ones (FlexAttention)"),
};
inline constexpr Choice kBackwardScores[] = {
    choice("forward", BackwardScores::forward, "as the forward, from its codes and scales"),
    choice("operands", BackwardScores::operands, "fl(A*c) of backward.q and backward.k"),
};
inline constexpr Choice kPExponent[] = {
    choice("separate", PExponent::separate, "fl(s-L)"),
    choice("fused", PExponent::fused, "fma(A, f, -L)"),
};
inline constexpr Choice kSource[] = {
    choice("codes", Source::codes, "as coded, scales outside the product"),
    choice("dequantised", Source::dequantised, "fl(code*s), cast to plain"),
    choice("input", Source::input, "never quantised, cast to plain"),
};
inline constexpr Choice kPlain[] = {
    choice("bf16", numerics::FormatId::bf16, "nearest even"),
    choice("f16", numerics::FormatId::f16, "nearest even"),
    choice("f32", numerics::FormatId::f32, "as computed"),
};
inline constexpr Choice kDelta[] = {
    choice("output", Delta::output, "the stored output"),
    choice("unquantised_p", Delta::unquantised_p,
           "the output of the same forward with P rounded to BF16 and never coded"),
};
inline constexpr Choice kDeltaSum[] = {
    choice("sequential", DeltaSum::sequential, "fl(sum+fl(o*do)), channels ascending"),
    choice("fused", DeltaSum::fused, "fma(o, do, sum), channels ascending"),
    choice("pairwise", DeltaSum::pairwise, "products in f32, then a binary tree"),
};
inline constexpr Choice kSoftmaxScale[] = {
    choice("end", SoftmaxScale::end, "dQ and dK times fl(d^-1/2)"),
    choice("ds", SoftmaxScale::ds, "dS times fl(d^-1/2) before it is cast"),
};
inline constexpr Choice kPromote[] = {
    choice("never", Promote::never, "one chain of instructions over all blocks"),
    choice("block", Promote::block, "each block's product from zero, added in f32"),
};
inline constexpr Choice kHeadSum[] = {
    choice("chain", HeadSum::chain, "accumulators go on from query head to query head"),
    choice("add", HeadSum::add, "each query head's f32 gradient is added in order"),
};
inline constexpr Choice kSmoothTerm[] = {
    choice("added", SmoothTerm::added, "dQ gains rowsum(dS) times k's mean"),
    choice("omitted", SmoothTerm::omitted, "it does not"),
};
inline constexpr Choice kStraightThrough[] = {
    choice("identity", StraightThrough::identity, "1 everywhere"),
    choice("zero_where_saturated", StraightThrough::zero_where_saturated,
           "0 where the code stands for something larger"),
};
inline constexpr Choice kGradient[] = {
    choice("bf16", numerics::FormatId::bf16, "nearest even"),
    choice("f16", numerics::FormatId::f16, "nearest even"),
    choice("f32", numerics::FormatId::f32, "as computed"),
    choice("e4m3", numerics::FormatId::e4m3, "nearest even, saturating"),
    choice("e5m2", numerics::FormatId::e5m2, "nearest even, saturating"),
};

}  // namespace karat::recipe
