# The recipe sta_bf16, operation by operation, written from docs/recipes/sta_bf16.md alone.

import numpy as np

from attention import Operand, TiledWindowHead, softmax_scale
from formats import F32, bf16_bits, bf16_value, fl
from steps import chain_wgmma_bf16

TILE = (6, 8, 8)
WINDOW = (3, 3, 3)
BF16_LARGEST = F32((2 - 2.0**-7) * 2.0**127)


class StaBf16(TiledWindowHead):
    def __init__(self, grid, q, k, v):
        """q, k, v: float32 [token, channel]."""
        super().__init__(grid, channels=q.shape[1], tile=TILE, window=WINDOW)
        positions = self.order.token_of_position
        self.q, self.k, self.v = (Operand(bf16_saturated(x[positions])) for x in (q, k, v))

    def scores(self, queries, keys):
        a = chain_wgmma_bf16(bf16_value(self.q.codes[queries]),
                             bf16_value(self.k.codes[keys]))
        return a, fl(a * softmax_scale(self.channels))

    def codes_of(self, p):
        return bf16_bits(p)

    def accumulate(self, o, alpha, p_codes, keys):
        v = bf16_value(self.v.codes[keys])
        return chain_wgmma_bf16(bf16_value(p_codes), v.T, fl(o * alpha[:, None]))

    def finish(self, o, l):
        r = fl(F32(1) / l)
        return bf16_bits(np.where(l[:, None] == 0, F32(0), fl(o * r[:, None])))


def bf16_saturated(x):
    """BF16 bits; what rounds above the largest finite number becomes that number."""
    return bf16_bits(np.clip(bf16_value(bf16_bits(x)), -BF16_LARGEST, BF16_LARGEST))
