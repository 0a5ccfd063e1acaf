# Which program rebuilds which preset, and which edited recipe.

import numpy as np

from attention import DenseHead, ExactFunctions, softmax_scale, zero_where_empty
from flash import (Fa2Bf16, Fa3Bf16, Fa3Fp8, Fa3Fp8BlockHadamard, Fa3Fp8LazyRescale, Fa4Sm90Bf16,
                   Fa4Sm100Fp8, XditFlash3Fp8)
from fp8 import (AttnQatFp8, CudnnFp8, DeepseekFp8, FpsAttention, FpsAttentionCoarse, FpsAttentionFlex,
                 FpsAttentionIntermediate, FpsPowersOfTwo, NaiveFp8Sparse)
from formats import F32, e4m3_code, fl
from mufu import ex2_floor
from means import (Nabla, RainFusionFp8, RainFusionMix, Sla, SubBlock, Vsa, VsaH3)
from nvfp4 import AttnQatNvfp4
from plain import DenseF32, DenseF64, FlexBf16, StaBf16, Svg1Spatial, Svg1Temporal
from predicted import SpargePruned, SpargeSm90, Svg2, Svg2FewClusters, svg1, svg1_causal
from quantise import fp4_as_bf16, per_tensor_times
from sage import Sage1, Sage2pp, Sage2Sm89, Sage2Sm90, SageBwd
from skip import (LiteFp8, SkipSoftmaxBf16, SkipSoftmaxFp8, SkipSomeBf16, SkipSomeFp8, TrtllmSage,
                  TrtllmSageSkipSome)
from stochastic import FpsStochastic, StaStochastic
from triton import TritonPointers, TritonSparseFp8

PROGRAMS = {
    "attn_qat_fp8": AttnQatFp8,
    "attn_qat_nvfp4": AttnQatNvfp4,
    "cudnn_fp8_hopper": CudnnFp8,
    "deepseek_fp8": DeepseekFp8,
    "dense_f32": DenseF32,
    "dense_f64": DenseF64,
    "fa2_bf16": Fa2Bf16,
    "fa3_bf16": Fa3Bf16,
    "fa3_fp8": Fa3Fp8,
    "fa3_fp8_block_hadamard": Fa3Fp8BlockHadamard,
    "fa3_fp8_lazy_rescale": Fa3Fp8LazyRescale,
    "fa4_sm100_fp8": Fa4Sm100Fp8,
    "fa4_sm90_bf16": Fa4Sm90Bf16,
    "flex_bf16": FlexBf16,
    "fps_qat_fp8": FpsAttention,
    "fps_ste_bf16": FpsAttention,
    "fpsattention": FpsAttention,
    "fpsattention_coarse": FpsAttentionCoarse,
    "fpsattention_fine": FpsAttention,
    "fpsattention_flex": FpsAttentionFlex,
    "fpsattention_intermediate": FpsAttentionIntermediate,
    "lite_fp8": LiteFp8,
    "nabla": Nabla,
    "naive_fp8_sparse": NaiveFp8Sparse,
    "rainfusion_fp8": RainFusionFp8,
    "rainfusion_mix": RainFusionMix,
    "sage1": Sage1,
    "sage2_sm89": Sage2Sm89,
    "sage2_sm90": Sage2Sm90,
    "sage2pp": Sage2pp,
    "sage_bwd_int8": SageBwd,
    "skip_softmax_bf16": SkipSoftmaxBf16,
    "skip_softmax_fp8": SkipSoftmaxFp8,
    "sla": Sla,
    "sparge_sm90": SpargeSm90,
    "sta_bf16": StaBf16,
    "subblock": SubBlock,
    "svg1": svg1,
    "svg1_spatial": Svg1Spatial,
    "svg1_temporal": Svg1Temporal,
    "svg2": Svg2,
    "te_delayed": CudnnFp8,
    "triton_sparse_fp8": TritonSparseFp8,
    "trtllm_sage": TrtllmSage,
    "vsa": Vsa,
    "vsa_h3": VsaH3,
    "xdit_flash3_fp8": XditFlash3Fp8,
}

class Fa2Separate(Fa2Bf16):
    """Row sums as the source spells them, not as they are compiled for an A100."""

    def add_to_row_sum(self, l, alpha, p):
        return DenseHead.add_to_row_sum(self, l, alpha, p)


class Fa3Separate(Fa3Fp8):
    """The source's operations one by one, as no compiler with fused multiply-adds leaves them."""

    def reference(self, m_new):
        return fl(self.log2_of(m_new) - self.OFFSET)

    def add_to_row_sum(self, l, alpha, p):
        return DenseHead.add_to_row_sum(self, l, alpha, p)


class FpsRounded(ExactFunctions, FpsAttention):
    """Functions rounded correctly instead of the special-function unit's."""


class FpsFloor(FpsAttention):
    """Negative arguments of ex2 cut toward -inf."""
    power = staticmethod(ex2_floor)


class Fa3Given(Fa3Fp8):
    """Scales known beforehand."""

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q, k, v, input_type)
        self.q, self.k, self.v = per_tensor_times(q, 100), per_tensor_times(k, 90), per_tensor_times(v, 30)
        self.unit = fl(fl(self.q.scales[0] * self.k.scales[0]) * softmax_scale(self.channels))


class CudnnScaled(CudnnFp8):
    """The stored output is o times scale_O."""

    def finish(self, o, l):
        out = fl(fl(self.normalised(o, l) * fl(self.v.scales / self.MULTIPLIER)) * F32(90))
        return e4m3_code(zero_where_empty(out, l))


class StaFp4(StaBf16):
    """BF16 that FP4 can hold."""

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q, k, v, input_type)
        positions = self.order.token_of_position
        self.q, self.k, self.v = (fp4_as_bf16(x[positions]) for x in (q, k, v))


# Presets with other numbers, as files: what small cases of the preset itself do not reach.
EDITED = {
    "sparge_pruned": (SpargePruned, {"base": "sparge_sm90",
                                     "predict": {"similarity": 0.15, "mass": 0.9},
                                     "skip": {"threshold": -4}}),
    "skip_some_fp8": (SkipSomeFp8, {"base": "skip_softmax_fp8", "skip": {"factor": 300}}),
    "skip_some_bf16": (SkipSomeBf16, {"base": "skip_softmax_bf16", "skip": {"factor": 300}}),
    "trtllm_sage_some": (TrtllmSageSkipSome, {"base": "trtllm_sage", "skip": {"factor": 300}}),
    "fa3_given": (Fa3Given, {"base": "fa3_fp8", **{name: {"scale_rule": "given", "multiplier": multiplier}
                                                   for name, multiplier in (("q", 100), ("k", 90), ("v", 30))}}),
    "fa3_per_block": (Fa3Fp8BlockHadamard, {"base": "fa3_fp8_block_hadamard",
                                            **dict.fromkeys("qk", {"group": "block"})}),
    "triton_pointers": (TritonPointers, {"base": "triton_sparse_fp8", "softmax": {"exponent": "scores"}}),
    "fa3_separate": (Fa3Separate, {"base": "fa3_fp8", "softmax": {"row_sum_start": "separate"},
                                   "p": {"offset_enters": "separate"}}),
    "cudnn_scaled_o": (CudnnScaled, {"base": "cudnn_fp8_hopper", "finish": {"multiplier": 90}}),
    "sta_fp4": (StaFp4, {"base": "sta_bf16", **dict.fromkeys("qkv", {
        "format": "e2m1", "group": "channels_16", "scale": "e4m3", "enters": "bf16"})}),
    "fps_powers_of_two": (FpsPowersOfTwo, {"base": "fpsattention",
                                           **dict.fromkeys("qkv", {"scale_rule": "exponent"})}),
    "fa2_separate": (Fa2Separate, {"base": "fa2_bf16", "softmax": {"row_sum_start": "separate"}}),
    "fps_rounded": (FpsRounded, {"base": "fpsattention", "softmax": {"exp2": "rounded"},
                                 "finish": {"reciprocal": "rounded", "logarithm": "exact"}}),
    "fps_floor": (FpsFloor, {"base": "fpsattention", "softmax": {"exp2": "mufu_floor"}}),
    "svg2_few_clusters": (Svg2FewClusters, {"base": "svg2",
                                            "predict": {"query_clusters": 6, "key_clusters": 9}}),
}


class FlexNan(FlexBf16):
    """A row without keys is NaN."""

    def finish(self, o, l):
        return np.where(l[:, None] == 0, np.uint16(0x7FFF), super().finish(o, l))


STOCHASTIC = {"rounding": "stochastic"}
CAUSAL = {"mask": {"causal": "on"}}

# Presets with what docs/recipes/cases.md adds: causal masks, orders of visits, rows without keys,
# roundings.
FOR_CASES = {
    "fa3_causal": (Fa3Bf16, {"base": "fa3_bf16", **CAUSAL}),
    "fps_causal": (FpsAttention, {"base": "fpsattention", **CAUSAL}),
    "flex_causal": (FlexBf16, {"base": "flex_bf16", **CAUSAL}),
    "sage2_causal": (Sage2Sm90, {"base": "sage2_sm90", **CAUSAL}),
    "sparge_causal": (SpargePruned, EDITED["sparge_pruned"][1] | CAUSAL),
    "svg1_causal": (svg1_causal, {"base": "svg1", **CAUSAL}),
    "temporal_causal": (Svg1Temporal, {"base": "svg1_temporal", **CAUSAL}),
    "sta_partial_first": (StaBf16, {"base": "sta_bf16", "block": {"order": "partial_then_full"}, **CAUSAL}),
    "sta_descending": (StaBf16, {"base": "sta_bf16", "block": {"order": "descending"}}),
    "fa3_ascending": (Fa3Fp8, {"base": "fa3_fp8", "block": {"order": "ascending"}}),
    "flex_listed_256": (FlexBf16, {"base": "flex_bf16", "block": {"listed": 256}}),
    "flex_listed_own": (FlexBf16, {"base": "flex_bf16", "block": {"listed": 0}}),
    "flex_as_listed": (FlexBf16, {"base": "flex_bf16", "block": {"order": "given"}, "mask": {"kind": "given"}}),
    "flex_nan": (FlexNan, {"base": "flex_bf16", "finish": {"fully_masked": "nan"}}),
    "fps_stochastic": (FpsStochastic, {"base": "fpsattention", **dict.fromkeys("qkvp", STOCHASTIC)}),
    "sta_stochastic": (StaStochastic, {"base": "sta_bf16", "p": STOCHASTIC}),
}
