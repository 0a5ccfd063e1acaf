# attn_qat_nvfp4, written from its page and docs/recipes/operations.md alone.

import numpy as np

from attention import MINUS_INFINITY, DenseHead, bf16_row_sum, rescaled, softmax_scale, zero_where_empty
from formats import bf16_bits, bf16_value, fl
from mufu import lg2
from quantise import fp4_as_bf16, fp4_values
from steps import chain_wgmma_bf16


class AttnQatNvfp4(DenseHead):
    QUERY_BLOCK, KEY_BLOCK = 128, 64

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.q, self.k, self.v = (fp4_as_bf16(x) for x in (q, k, v))

    def scores(self, queries, keys):
        a = chain_wgmma_bf16(bf16_value(self.q.codes[queries]), bf16_value(self.k.codes[keys]))
        return a, fl(a * softmax_scale(self.channels))

    def add_to_row_sum(self, l, alpha, p):
        return bf16_row_sum(l, alpha, p)

    def codes_of(self, p):
        return bf16_bits(fp4_values(p))

    def accumulate(self, o, alpha, p_codes, keys):
        v = bf16_value(self.v.codes[keys])
        return chain_wgmma_bf16(bf16_value(p_codes), v.T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(self.normalised(o, l), l))

    def log_sum_exp(self, m, l, queries):
        return np.where(l == 0, MINUS_INFINITY, fl(m + lg2(l)))
