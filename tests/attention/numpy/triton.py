# Triton's kernel, written from its page and docs/recipes/operations.md alone: triton_sparse_fp8.
# Nothing is flushed but what the special-function unit flushes.

import numpy as np

from attention import DenseHead, softmax_scale, thread_tree
from formats import F32, bf16_bits, e4m3_code
from mufu import div_full, ex2, fma, log2f
from quantise import E4M3, guard_one, per_channel, per_group, rows
from steps import chain_wgmma_e4m3


class TritonSparseFp8(DenseHead):
    QUERY_BLOCK, KEY_BLOCK = 128, 128
    MULTIPLIER = F32(448)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.q = per_group(q, rows(self.query_blocks, self.QUERY_BLOCK), E4M3, guard_one)
        self.k = per_group(k, rows(self.all_key_blocks(), self.KEY_BLOCK), E4M3, guard_one)
        self.v = per_channel(v)

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        s_q, s_k = self.q.scales[self.q.group_of_row[queries]], self.k.scales[self.k.group_of_row[keys]]
        self.factor = (softmax_scale(self.channels) * s_q)[:, None] * s_k[None, :]
        return a, a * self.factor

    def maximum(self, m, s):
        return np.maximum(m, s.max(axis=1)) + F32(0)

    def alpha(self, m, m_new):
        return ex2(m - m_new)

    def exponents(self, a, s, m_new):
        return np.where(np.isneginf(s), s, fma(a, self.factor, -m_new[:, None]))

    def probabilities(self, a, s, m_new):
        return ex2(self.exponents(a, s, m_new))

    def add_to_row_sum(self, l, alpha, p):
        l = l.copy()
        l[:, 0] = fma(l[:, 0], alpha, thread_tree(p, lambda a, b: a + b))
        return l

    def codes_of(self, p):
        return e4m3_code(self.MULTIPLIER * p)

    def accumulate(self, o, alpha, p_codes, keys):
        return chain_wgmma_e4m3(p_codes, self.v.codes[keys].T, o * alpha[:, None])

    def finish(self, o, l):
        out = div_full(o, (l * self.MULTIPLIER)[:, None]) * self.v.scales
        return bf16_bits(np.where(l[:, None] == 0, np.uint32(0x7FFFFFFF).view(F32), out))

    def log_sum_exp(self, m, l, queries):
        return np.where(l == 0, F32(-np.inf), m + log2f(l))


class TritonPointers(TritonSparseFp8):
    """As compiled with pointers: the scores that exponents subtract from are the rounded ones."""

    def exponents(self, a, s, m_new):
        return s - m_new[:, None]
