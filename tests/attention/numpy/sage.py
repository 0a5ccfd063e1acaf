# SageAttention's recipes, written from their pages and docs/recipes/operations.md alone: sage1,
# sage2_sm90, sage2_sm89, sage2pp.

import numpy as np

from attention import (DenseHead, FusedExponent, fused, lost_to_smoothing, rescaled, scale_pairs,
                       softmax_scale, zero_where_empty)
from formats import E4M3_LARGEST, F32, bf16_bits, e4m3_code, f16_bits, f16_value, fl
from quantise import (INT8, guard_add, guard_one, per_channel_inverse, per_group, plain_f16,
                      row_pairs_stride_8, rows, rows_stride_8, token_groups, without_token_mean)
from steps import (chain_ada_e4m3, chain_ada_e4m3_f16, chain_ampere_f16, chain_s8,
                   chain_wgmma_e4m3)


class Sage1(DenseHead):
    QUERY_BLOCK, KEY_BLOCK = 128, 64

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        k, k_mean = without_token_mean(k, input_type)
        self.lost = lost_to_smoothing(q, k_mean)
        q = fl(q * softmax_scale(self.channels))
        key_blocks = self.order.sequence_blocks(self.KEY_BLOCK)
        self.q = per_group(q, rows(self.query_blocks, 128), INT8, guard_one)
        self.k = per_group(k, rows(key_blocks, 64), INT8, guard_one)
        self.v = plain_f16(v)

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * scale_pairs(self.q, self.k, queries, keys))

    def codes_of(self, p):
        return f16_bits(p)

    def accumulate(self, o, alpha, p_codes, keys):
        v = f16_value(self.v.codes[keys])
        return chain_ampere_f16(f16_value(p_codes), v.T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(self.normalised(o, l), l))


class SageBwd(DenseHead):
    QUERY_BLOCK, KEY_BLOCK = 128, 64

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.given_v = v
        k, self.k_mean = without_token_mean(k, input_type)
        self.lost = lost_to_smoothing(q, self.k_mean)
        key_blocks = self.order.sequence_blocks(self.KEY_BLOCK)
        self.q = per_group(q, rows(self.query_blocks, self.QUERY_BLOCK), INT8, guard_one)
        self.k, self.v = (per_group(x, rows(key_blocks, self.KEY_BLOCK), INT8, guard_one) for x in (k, v))

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        f = fl(scale_pairs(self.q, self.k, queries, keys) * softmax_scale(self.channels))
        return a, fl(a * f)

    def codes_of(self, p):
        coded = per_group(p, token_groups(len(p)), INT8, guard_one)
        self.p_scale = coded.scales  # of the rows in this block
        return coded.codes

    def accumulate(self, o, alpha, p_codes, keys):
        t = chain_s8(p_codes, self.v.codes[keys].T)
        s_v = self.v.scales[self.v.group_of_row[keys.start]]
        return fl(rescaled(o, alpha) + fl(t * fl(self.p_scale * s_v)[:, None]))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(self.normalised(o, l), l))


class Sage2(FusedExponent, DenseHead):
    INITIAL_MAXIMUM = MASKED_SCORE = F32(-5e6)
    OFFSET = F32(8.807)
    V_LIMIT = E4M3_LARGEST
    chain = staticmethod(chain_wgmma_e4m3)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.unit = softmax_scale(self.channels)
        key_blocks = self.order.sequence_blocks(self.KEY_BLOCK)
        q_groups = rows_stride_8(self.query_blocks, self.QUERY_ROWS)
        k_groups = row_pairs_stride_8(key_blocks, self.KEY_ROWS)
        k, k_mean = without_token_mean(k, input_type)
        self.lost = lost_to_smoothing(q, k_mean)
        self.q = per_group(q, q_groups, INT8, guard_add)
        self.k = per_group(k, k_groups, INT8, guard_add)
        self.v = per_channel_inverse(v, self.V_LIMIT)

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * scale_pairs(self.q, self.k, queries, keys))

    def codes_of(self, p):
        return e4m3_code(p)

    def accumulate(self, o, alpha, p_codes, keys):
        return fl(rescaled(o, alpha) + self.chain(p_codes, self.v.codes[keys].T))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(fl(self.normalised(o, l) * self.v.scales), l))


class Sage2Sm90(Sage2):
    """Until the last visit scales are folded into one factor; scores and maxima hold the offset."""
    QUERY_BLOCK, KEY_BLOCK = 64, 128
    QUERY_ROWS, KEY_ROWS = 16, 128
    HELD = Sage2.OFFSET
    OFFSET = F32(0)  # what the maximum still lacks

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        scales = scale_pairs(self.q, self.k, queries, keys)
        if self.last_visit:
            self.base, self.factor = fl(a * scales), np.full_like(scales, self.unit)
        else:
            self.base, self.factor = a, fl(scales * self.unit)
        return a, fused(self.base, self.factor, np.full_like(scales, self.HELD))

    def log2_of(self, m):
        return m

    def probabilities(self, a, s, m_new):
        masked = np.isneginf(s) | (s == self.MASKED_SCORE)
        started = fused(self.base, self.factor, m_new[:, None])
        return self.power(np.where(masked, fl(s - m_new[:, None]), started))


class Sage2Sm89(Sage2):
    QUERY_BLOCK, KEY_BLOCK = 128, 64
    QUERY_ROWS, KEY_ROWS = 32, 64
    chain = staticmethod(chain_ada_e4m3)


class Sage2pp(Sage2Sm89):
    V_LIMIT = F32(2.25)
    chain = staticmethod(chain_ada_e4m3_f16)
