# Recipes with stochastic rounding, written from docs/recipes/cases.md and their presets' pages
# alone.

import numpy as np

from attention import TiledWindowHead
from formats import E4M3_LARGEST, E4M3_VALUES, F32, F64, bf16_value
from fp8 import TILE, FpsAttention
from philox import philox
from plain import StaBf16
from quantise import guard_one, per_channel, per_group, tile_groups

MAGNITUDES = E4M3_VALUES[:0x7F].astype(F64)


def words(stream, count):
    """Words 0 .. count-1 of a stream of seed 0."""
    block = np.arange(-(-count // 4), dtype=np.uint64)
    nought = np.zeros_like(block)
    return np.stack(philox((block, nought, nought + np.uint64(stream), nought), (0, 0)), axis=1).reshape(-1)[:count]


def goes_up(fraction, word):
    """Whether a discarded fraction of a step, in [0, 1), is rounded away from zero."""
    return np.floor(fraction * 2.0**31) + (word >> np.uint64(1)).astype(F64) >= 2.0**31


def e4m3_code(x, word):
    magnitude = np.minimum(np.abs(x).astype(F64), E4M3_LARGEST)
    below = np.searchsorted(MAGNITUDES, magnitude, side="right") - 1
    step = MAGNITUDES[np.minimum(below + 1, 0x7E)] - MAGNITUDES[below]
    up = goes_up((magnitude - MAGNITUDES[below]) / np.where(step == 0, 1, step), word)
    return (below + up | np.where(np.signbit(x), 0x80, 0)).astype(np.uint8)


def bf16_bits(x, word):
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    return ((bits >> 16) + goes_up((bits & 0xFFFF) * 2.0**-16, word)).astype(np.uint16)


def e4m3_of(stream):
    """An operand's rounding: row after row of positions."""
    return lambda x: e4m3_code(x, words(stream, x.size).reshape(x.shape))


class FpsStochastic(FpsAttention):
    def __init__(self, grid, q, k, v, input_type):
        TiledWindowHead.__init__(self, grid, q.shape[1], TILE, self.WINDOW)
        positions = self.order.token_of_position
        groups = tile_groups(self.order, self.SCALE_TILE)
        self.q = per_group(q[positions], groups, (e4m3_of(1), E4M3_LARGEST), guard_one)
        self.k = per_group(k[positions], groups, (e4m3_of(2), E4M3_LARGEST), guard_one)
        self.v = per_channel(v[positions], round_to=e4m3_of(3))

    def codes_of(self, p):
        return e4m3_code(self.MULTIPLIER * p, words(0, p.shape[1]))


class StaStochastic(StaBf16):
    def codes_of(self, p):
        return bf16_bits(p, words(0, p.shape[1]))
