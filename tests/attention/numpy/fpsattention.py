# The recipe fpsattention, operation by operation, written from docs/recipes/fpsattention.md alone.

import numpy as np

from attention import Operand, TiledWindowHead, softmax_scale
from formats import E4M3_LARGEST, F32, bf16_bits, e4m3_code, fl
from steps import chain_wgmma_e4m3

TILE = (6, 8, 8)
WINDOW = (3, 3, 3)
MULTIPLIER = F32(448)


class FpsAttention(TiledWindowHead):
    def __init__(self, grid, q, k, v):
        """q, k, v: float32 [token, channel]."""
        super().__init__(grid, channels=q.shape[1], tile=TILE, window=WINDOW)
        positions = self.order.token_of_position
        self.q = quantise_tiles(q[positions], self.order)
        self.k = quantise_tiles(k[positions], self.order)
        self.v = quantise_channels(v[positions])

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        s_q = self.q.scales[self.tile_of(queries.start)]
        s_k = self.k.scales[self.tile_of(keys.start)]
        f = fl(fl(s_q * s_k) * softmax_scale(self.channels))
        return a, fl(a * f)

    def codes_of(self, p):
        return e4m3_code(fl(MULTIPLIER * p))

    def accumulate(self, o, alpha, p_codes, keys):
        t = chain_wgmma_e4m3(p_codes, self.v.codes[keys].T)
        return fl(fl(o * alpha[:, None]) + t)

    def finish(self, o, l):
        r = fl(F32(1) / l)
        out = fl(fl(o * r[:, None]) * fl(self.v.scales / MULTIPLIER))
        return bf16_bits(np.where(l[:, None] == 0, F32(0), out))


def scale_of(amax):
    s = fl(amax / E4M3_LARGEST)
    return np.where(s == 0, F32(1), s)


def quantise_tiles(x, order):
    amax = np.array([np.abs(x[begin:end]).max() for begin, end in order.tile_ranges()], F32)
    scales = scale_of(amax)
    return Operand(e4m3_code(fl(x / scales[order.tile_of_position, None])), scales)


def quantise_channels(x):
    scales = scale_of(np.abs(x).max(axis=0))
    return Operand(e4m3_code(fl(x / scales)), scales)
