# The recipe dense_f32, operation by operation, written from docs/recipes/dense_f32.md alone.

import numpy as np

from attention import DenseHead, Operand, softmax_scale
from formats import F32, fl
from steps import chain_f32_fma


class DenseF32(DenseHead):
    def __init__(self, grid, q, k, v):
        """q, k, v: float32 [token, channel]."""
        super().__init__(grid, channels=q.shape[1])
        self.q, self.k, self.v = Operand(q), Operand(k), Operand(v)

    def scores(self, queries, keys):
        a = chain_f32_fma(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * softmax_scale(self.channels))

    def codes_of(self, p):
        return p

    def accumulate(self, o, alpha, p_codes, keys):
        return chain_f32_fma(p_codes, self.v.codes[keys].T, fl(o * alpha[:, None]))

    def finish(self, o, l):
        r = fl(F32(1) / l)
        return np.where(l[:, None] == 0, F32(0), fl(o * r[:, None]))
