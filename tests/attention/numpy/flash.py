# FlashAttention's recipes, written from their pages and docs/recipes/operations.md alone: fa2_bf16,
# fa3_bf16, fa3_fp8, fa3_fp8_lazy_rescale, fa3_fp8_block_hadamard, xdit_flash3_fp8, fa4_sm90_bf16,
# fa4_sm100_fp8.

from attention import (DenseHead, FusedExponent, FusedOffset, add_fused_first, add_packed, rescaled,
                       scale_pairs, softmax_scale, zero_where_empty)
from formats import F32, bf16_bits, bf16_value, e4m3_code, fl
from plain import Bf16
from quantise import E4M3, guard_one, per_group, per_tensor, per_tensor_of_all, rotated, rows
from steps import chain_ampere_bf16, chain_tcgen05_e4m3, chain_wgmma_e4m3


class FusedBf16(FusedExponent, Bf16, DenseHead):
    """Plain BF16, the exponent fused; nothing else is."""

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.enter(q, k, v)

    def scores(self, queries, keys):
        a = self.chain(bf16_value(self.q.codes[queries]), bf16_value(self.k.codes[keys]))
        return a, a

    @property
    def unit(self):
        return softmax_scale(self.channels)


class Fa3Bf16(FusedBf16):
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 128, 176, "descending"

    def add_to_row_sum(self, l, alpha, p):
        return add_fused_first(l, alpha, p)


class Fa2Bf16(Fa3Bf16):
    QUERY_BLOCK, KEY_BLOCK = 128, 64
    chain = staticmethod(chain_ampere_bf16)


class OffsetFp8(DenseHead):
    """E4M3 codes of P = 2^8 times the usual; one accumulator for the whole row."""
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 128, 224, "descending"
    OFFSET = F32(8)

    def codes_of(self, p):
        return e4m3_code(p)

    chain = staticmethod(chain_wgmma_e4m3)

    def accumulate(self, o, alpha, p_codes, keys):
        return self.chain(p_codes, self.v.codes[keys].T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(fl(self.normalised(o, l) * self.v.scales), l))


class FusedFp8(FusedExponent, OffsetFp8):
    """One scale a tensor, the exponent fused; nothing else is."""

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.q, self.k, self.v = per_tensor(q), per_tensor(k), per_tensor(v)
        self.unit = fl(fl(self.q.scales[0] * self.k.scales[0]) * softmax_scale(self.channels))

    def scores(self, queries, keys):
        a = self.chain(self.q.codes[queries], self.k.codes[keys])
        return a, a


class Fa3Fp8(FusedOffset, FusedFp8):
    def add_to_row_sum(self, l, alpha, p):
        return add_fused_first(l, alpha, p)


class XditFlash3Fp8(Fa3Fp8):
    OF_ALL_HEADS = True

    def __init__(self, grid, q, k, v, input_type, largest):
        super().__init__(grid, q, k, v, input_type)
        self.q, self.k, self.v = (per_tensor_of_all(x, most) for x, most in zip((q, k, v), largest))
        self.unit = fl(fl(self.q.scales[0] * self.k.scales[0]) * softmax_scale(self.channels))


class Fa4Sm90Bf16(FusedBf16):
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 128, 128, "descending"


class Fa4Sm100Fp8(FusedFp8):
    KEY_BLOCK = 128
    chain = staticmethod(chain_tcgen05_e4m3)

    def add_to_row_sum(self, l, alpha, p):
        return add_packed(l, alpha, p)


class Fa3Fp8LazyRescale(Fa3Fp8):
    RESCALE_THRESHOLD = F32(4)


class Fa3Fp8BlockHadamard(OffsetFp8):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        q_groups = rows(self.query_blocks, self.QUERY_BLOCK)
        k_groups = rows(self.order.sequence_blocks(self.KEY_BLOCK), self.KEY_BLOCK)
        self.q = per_group(rotated(q, seed=0), q_groups, E4M3, guard_one)
        self.k = per_group(rotated(k, seed=0), k_groups, E4M3, guard_one)
        self.v = per_tensor(v)

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        f = fl(scale_pairs(self.q, self.k, queries, keys) * softmax_scale(self.channels))
        return a, fl(a * f)
