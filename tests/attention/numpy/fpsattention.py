# The recipe fpsattention, operation by operation, written from docs/recipes/fpsattention.md alone: its
# sections are the functions below. One batch entry and one head at a time; clear before fast.

from dataclasses import dataclass

import numpy as np

from exp2 import exp2
from formats import E4M3_LARGEST, F32, F64, bf16_bits, e4m3_code, fl
from steps import chain_wgmma_e4m3
from video import Order, window_mask

TILE = (6, 8, 8)
WINDOW = (3, 3, 3)
QUERY_BLOCK, KEY_BLOCK = 64, 128
MULTIPLIER = F32(448)
MINUS_INFINITY = F32(-np.inf)


@dataclass
class Quantised:
    codes: np.ndarray  # [position, channel]
    scales: np.ndarray  # per group


@dataclass
class KeyBlock:
    """What one query block computes on one block of keys; arrays of [row, key] or [row]."""
    begin: int
    end: int
    a: np.ndarray
    s: np.ndarray
    p_codes: np.ndarray
    m: np.ndarray  # the running maximum after this block
    l: np.ndarray  # the four partial sums after this block, [row, 4]
    o: np.ndarray  # O after this block, [row, channel]


@dataclass
class QueryBlock:
    begin: int
    end: int
    key_blocks: list
    l: np.ndarray
    out: np.ndarray  # BF16 bits, [row, channel]
    lse: np.ndarray


class Head:
    """Sections 1 to 4 for q, k, v of shape [token, channel], float32."""

    def __init__(self, grid, q, k, v):
        self.order = Order(grid, TILE)
        positions = self.order.token_of_position
        self.q = quantise_tiles(q[positions], self.order)
        self.k = quantise_tiles(k[positions], self.order)
        self.v = quantise_channels(v[positions])
        self.kept = window_mask(self.order.tiles_per_axis, WINDOW)
        self.query_blocks = list(self.order.blocks(QUERY_BLOCK))
        self.key_blocks = list(self.order.blocks(KEY_BLOCK))


def scale_of(amax):
    s = fl(amax / E4M3_LARGEST)
    return np.where(s == 0, F32(1), s)


def quantise_tiles(x, order):
    amax = np.array([np.abs(x[slice(*order.tile_range(t))]).max()
                     for t in range(order.tile_count())], F32)
    scales = scale_of(amax)
    return Quantised(e4m3_code(fl(x / scales[order.tile_of_position, None])), scales)


def quantise_channels(x):
    scales = scale_of(np.abs(x).max(axis=0))
    return Quantised(e4m3_code(fl(x / scales)), scales)


def query_block(head, index):
    """Sections 5 and 6 for one query block."""
    tile, begin, end = head.query_blocks[index]
    q = head.q.codes[begin:end]
    rows, channels = q.shape
    softmax_scale = F32(F64(1.4426950408889634) / np.sqrt(F64(channels)))
    m = np.full(rows, MINUS_INFINITY)
    l = np.zeros((rows, 4), F32)
    o = np.zeros((rows, channels), F32)
    key_blocks = []
    for key_tile, key_begin, key_end in head.key_blocks:
        if not head.kept[tile, key_tile]:
            continue
        a = chain_wgmma_e4m3(q, head.k.codes[key_begin:key_end])
        f = fl(fl(head.q.scales[tile] * head.k.scales[key_tile]) * softmax_scale)
        s = fl(a * f)

        m_new = np.maximum(m, s.max(axis=1))
        m_new = np.where(m_new == 0, F32(0), m_new)
        alpha = exp2(fl(m - m_new))
        p = exp2(fl(s - m_new[:, None]))
        m = m_new

        l = fl(l * alpha[:, None])
        for j in range(key_end - key_begin):
            i = j // 2 % 4
            l[:, i] = fl(l[:, i] + p[:, j])

        p_codes = e4m3_code(fl(MULTIPLIER * p))
        t = chain_wgmma_e4m3(p_codes, head.v.codes[key_begin:key_end].T)
        o = fl(fl(o * alpha[:, None]) + t)
        key_blocks.append(KeyBlock(key_begin, key_end, a, s, p_codes, m, l.copy(), o))

    total = fl(fl(l[:, 0] + l[:, 2]) + fl(l[:, 1] + l[:, 3]))
    return QueryBlock(begin, end, key_blocks, total, finish(o, total, head.v.scales),
                      log_sum_exp(m, total))


def finish(o, l, v_scales):
    r = fl(F32(1) / l)
    out = fl(fl(o * r[:, None]) * fl(v_scales / MULTIPLIER))
    return bf16_bits(np.where(l[:, None] == 0, F32(0), out))


def log_sum_exp(m, l):
    """Not defined to the last bit."""
    natural = (m.astype(F64) + np.log2(l.astype(F64))) * np.log(F64(2))
    return np.where(l == 0, MINUS_INFINITY, natural.astype(F32))
