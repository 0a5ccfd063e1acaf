# Recipes of operands without scales, written from their pages and docs/recipes/operations.md alone:
# dense_f32, dense_f64, sta_bf16, flex_bf16, svg1_spatial, svg1_temporal.

import numpy as np

from attention import (DenseHead, ExactFunctions, ListedHead, TiledWindowHead, rescaled, softmax_scale,
                       zero_where_empty)
from formats import F32, F64, bf16_bits, bf16_value, fl
from quantise import plain_bf16, plain_f32
from steps import chain_exact, chain_f32_fma, chain_wgmma_bf16
from video import Order, as_given, band_pairs, token_major, window_pairs

TILE, WINDOW = (6, 8, 8), (3, 3, 3)


class DenseF32(ExactFunctions, DenseHead):
    chain = staticmethod(chain_f32_fma)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, channels=q.shape[1])
        self.q, self.k, self.v = plain_f32(q), plain_f32(k), plain_f32(v)

    def scores(self, queries, keys):
        a = self.chain(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * softmax_scale(self.channels))

    def codes_of(self, p):
        return p.astype(F32)

    def accumulate(self, o, alpha, p_codes, keys):
        start = fl((o * alpha[:, None]).astype(F32))
        return self.chain(p_codes, self.v.codes[keys].T, start)

    def finish(self, o, l):
        return zero_where_empty(self.normalised(o, l), l)


class DenseF64(DenseF32):
    chain = staticmethod(chain_exact)

    def alpha(self, m, m_new):
        return np.exp2(fl(m - m_new).astype(F64))

    def probabilities(self, a, s, m_new):
        return np.exp2(fl(s - m_new[:, None]).astype(F64))


class Bf16:
    """BF16 operands, FP32 softmax, one accumulator for the whole row."""
    chain = staticmethod(chain_wgmma_bf16)

    def enter(self, q, k, v):
        queries, keys = self.order.token_of_position, self.key_order.token_of_position
        self.q = plain_bf16(q[queries])
        self.k, self.v = plain_bf16(k[keys]), plain_bf16(v[keys])

    def scores(self, queries, keys):
        a = self.chain(bf16_value(self.q.codes[queries]), bf16_value(self.k.codes[keys]))
        return a, fl(a * softmax_scale(self.channels))

    def codes_of(self, p):
        return bf16_bits(p)

    def accumulate(self, o, alpha, p_codes, keys):
        v = bf16_value(self.v.codes[keys])
        return self.chain(bf16_value(p_codes), v.T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(self.normalised(o, l), l))


class StaBf16(Bf16, TiledWindowHead):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1], TILE, WINDOW)
        self.enter(q, k, v)


class FlexBf16(Bf16, ListedHead):
    def __init__(self, grid, q, k, v, input_type):
        order = Order(grid, TILE)
        super().__init__(order, q.shape[1], window_pairs(order, WINDOW))
        self.enter(q, k, v)


class Svg1Spatial(Bf16, ListedHead):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(as_given(grid), q.shape[1], band_pairs(grid, 0.25, first_frames=1))
        self.enter(q, k, v)


class Svg1Temporal(Bf16, ListedHead):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(token_major(grid), q.shape[1], band_pairs(grid, 0.25, first_frames=0))
        self.enter(q, k, v)
