# Recipes that look at a block's scores before they compute it, written from their pages and
# docs/recipes/operations.md alone: skip_softmax_fp8, skip_softmax_bf16, trtllm_sage, lite_fp8.

import numpy as np

from attention import (DenseHead, FusedExponent, rescaled, scale_pairs, softmax_scale,
                       zero_where_empty)
from flash import Fa3Fp8, FusedBf16, FusedFp8
from formats import F32, bf16_bits, e4m3_code, fl
from quantise import INT8, guard_one, per_channel, per_group, rows, token_groups
from steps import chain_s8, chain_wgmma_e4m3


def largest_gain(head, m, s):
    """The largest fl(fl(b*u) - fl(m*u)) of some rows, b the row's largest score; -inf without keys."""
    b = s.max(axis=1)
    with np.errstate(invalid="ignore"):
        gain = fl(head.log2_of(b) - head.log2_of(m))
    return np.where(np.isneginf(b), F32(-np.inf), gain).max()


class SkipsByExponential:
    """Blocks of which no row has an exponential of fl(factor/L) or more are left out."""
    FACTOR = F32(1000)

    def skips(self, m, s):
        return self.power(np.array([largest_gain(self, m, s)], F32))[0] < fl(self.FACTOR / F32(len(self.k.codes)))


class SkipSoftmaxFp8(SkipsByExponential, FusedFp8):
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 64, 128, "ascending"


class SkipSoftmaxBf16(SkipsByExponential, FusedBf16):
    QUERY_BLOCK, KEY_BLOCK, KEY_ORDER = 64, 128, "ascending"


class TrtllmSage(SkipsByExponential, FusedExponent, DenseHead):
    QUERY_BLOCK, KEY_BLOCK = 64, 128
    OFFSET = F32(8)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.unit = softmax_scale(self.channels)
        self.q = per_group(q, token_groups(len(q)), INT8, guard_one)
        self.k = per_group(k, rows(self.all_key_blocks(), 16), INT8, guard_one)
        self.v = per_channel(v)

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * scale_pairs(self.q, self.k, queries, keys))

    def codes_of(self, p):
        return e4m3_code(p)

    def accumulate(self, o, alpha, p_codes, keys):
        return fl(rescaled(o, alpha) + chain_wgmma_e4m3(p_codes, self.v.codes[keys].T))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(fl(self.normalised(o, l) * self.v.scales), l))


class LiteFp8(Fa3Fp8):
    THRESHOLD, DECIDING_ROWS = F32(10), 64

    def leaving(self, index):
        """The blocks of keys, (begin, end), that query block `index` does not visit in the next step."""
        rows = self.query_blocks[index][1] - self.query_blocks[index][0]
        deciding = slice(self.QUERY_BLOCK - self.DECIDING_ROWS, rows)
        if deciding.start >= rows:
            return []
        small, m = [], None
        for block in self.run(index).key_blocks:
            if m is not None and fl(largest_gain(self, m[deciding], block.s[deciding]) + self.THRESHOLD) <= 0:
                small.append((block.begin, block.end))
            m = block.m
        return small


# Edited so that small cases leave out blocks, and keep some.


class SkipSomeFp8(SkipSoftmaxFp8):
    FACTOR = F32(300)


class SkipSomeBf16(SkipSoftmaxBf16):
    FACTOR = F32(300)


class TrtllmSageSkipSome(TrtllmSage):
    FACTOR = F32(300)
