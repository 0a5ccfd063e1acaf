# FlashAttention's recipes, written from their pages and docs/recipes/operations.md alone: fa2_bf16,
# fa3_bf16, fa3_fp8, fa3_fp8_lazy_rescale, fa3_fp8_block_hadamard.

from attention import (DenseHead, FusedExponent, FusedOffset, add_fused_first, rescaled, scale_pairs,
                       softmax_scale, zero_where_empty)
from formats import F32, bf16_bits, bf16_value, e4m3_code, fl
from plain import Bf16
from quantise import E4M3, guard_one, per_group, per_tensor, rotated, rows
from steps import chain_ampere_bf16, chain_wgmma_e4m3


class Fa3Bf16(FusedExponent, Bf16, DenseHead):
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 128, 176, "descending"

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.enter(q, k, v)

    def scores(self, queries, keys):
        a = self.chain(bf16_value(self.q.codes[queries]), bf16_value(self.k.codes[keys]))
        return a, a

    @property
    def unit(self):
        return softmax_scale(self.channels)

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

    def accumulate(self, o, alpha, p_codes, keys):
        return chain_wgmma_e4m3(p_codes, self.v.codes[keys].T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(fl(self.normalised(o, l) * self.v.scales), l))


class Fa3Fp8(FusedOffset, OffsetFp8):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.q, self.k, self.v = per_tensor(q), per_tensor(k), per_tensor(v)
        self.unit = fl(fl(self.q.scales[0] * self.k.scales[0]) * softmax_scale(self.channels))

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        return a, a

    def add_to_row_sum(self, l, alpha, p):
        return add_fused_first(l, alpha, p)


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
