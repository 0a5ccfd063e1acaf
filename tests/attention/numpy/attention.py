# What every recipe shares: a query block streams over its blocks of keys with a running maximum, four
# partial row sums and an accumulator O. A recipe's own program fills in the rest. Clear before fast.

from dataclasses import dataclass

import numpy as np

from exp2 import exp2
from formats import F32, F64, fl
from video import Order, window_mask

QUERY_BLOCK, KEY_BLOCK = 64, 128
MINUS_INFINITY = F32(-np.inf)


@dataclass
class Operand:
    """Q, K or V as they enter the tensor core."""
    codes: np.ndarray  # [position, channel]: E4M3 codes, BF16 bits or float32
    scales: np.ndarray = None  # per group, where the format has them


@dataclass
class KeyBlock:
    """What one query block computes on one block of keys; rows first."""
    begin: int  # positions
    end: int
    a: np.ndarray  # [row, key]
    s: np.ndarray
    p_codes: np.ndarray  # P as it enters P V: codes like an operand's
    m: np.ndarray  # [row], after this block
    l: np.ndarray  # [row, 4], after this block
    o: np.ndarray  # [row, channel], after this block


@dataclass
class QueryBlock:
    begin: int
    end: int
    key_blocks: list
    l: np.ndarray  # [row]
    out: np.ndarray  # [row, channel], in the output's format
    lse: np.ndarray  # [row]


class Head:
    """One batch entry and head of a recipe. A recipe defines

    order                           the positions of the tokens
    q, k, v                         the operands
    query_blocks                    list of (begin, end) in positions
    key_blocks(index)               (begin, end) of the blocks of keys the query block visits, in order
    scores(queries, keys)           A and s of two slices of positions
    codes_of(p)                     P as it enters P V
    accumulate(o, alpha, p_codes, keys)   O after a block
    finish(o, l)                    the output rows
    """

    def run(self, index):
        begin, end = self.query_blocks[index]
        rows = end - begin
        m = np.full(rows, MINUS_INFINITY)
        l = np.zeros((rows, 4), F32)
        o = np.zeros((rows, self.channels), F32)
        key_blocks = []
        for key_begin, key_end in self.key_blocks(index):
            keys = slice(key_begin, key_end)
            a, s = self.scores(slice(begin, end), keys)
            m, alpha, p = softmax_step(m, s)
            l = add_to_row_sum(l, alpha, p)
            p_codes = self.codes_of(p)
            o = self.accumulate(o, alpha, p_codes, keys)
            key_blocks.append(KeyBlock(key_begin, key_end, a, s, p_codes, m, l, o))
        total = total_row_sum(l)
        return QueryBlock(begin, end, key_blocks, total, self.finish(o, total),
                          log_sum_exp(m, total))


class TiledWindowHead(Head):
    """Blocks that follow tiles, and a window of tiles around the query's."""

    def __init__(self, grid, channels, tile, window):
        self.channels = channels
        self.order = Order(grid, tile)
        self.kept = window_mask(self.order.tiles_per_axis, window)
        self.query_blocks = self.order.tile_blocks(QUERY_BLOCK)

    def key_blocks(self, index):
        kept = self.kept[self.tile_of(self.query_blocks[index][0])]
        return [(begin, end) for begin, end in self.order.tile_blocks(KEY_BLOCK)
                if kept[self.tile_of(begin)]]

    def tile_of(self, position):
        return self.order.tile_of_position[position]


class DenseHead(Head):
    """Tokens as given, blocks along their sequence, every block of keys visited."""

    def __init__(self, grid, channels):
        self.channels = channels
        self.order = Order(grid, tile=(1, 1, 1))
        self.query_blocks = self.order.sequence_blocks(QUERY_BLOCK)

    def key_blocks(self, index):
        return self.order.sequence_blocks(KEY_BLOCK)


def softmax_scale(channels):
    """c = d^-1/2 * log2(e), in FP64, rounded to FP32."""
    return F32(F64(1.4426950408889634) / np.sqrt(F64(channels)))


def softmax_step(m, s):
    """The new maximum, alpha and P of one block of scores."""
    m_new = np.maximum(m, s.max(axis=1))
    m_new = np.where(m_new == 0, F32(0), m_new)
    m_new = np.where(fl(m_new - m) <= 0, m, m_new)  # a subnormal difference keeps the old maximum
    nothing = np.isneginf(m_new)
    alpha = np.where(nothing, F32(1), exp2(fl(m - m_new)))
    p = np.where(nothing[:, None], F32(0), exp2(fl(s - m_new[:, None])))
    return m_new, alpha, p


def add_to_row_sum(l, alpha, p):
    l = fl(l * alpha[:, None])
    for j in range(p.shape[1]):
        i = j // 2 % 4
        l[:, i] = fl(l[:, i] + p[:, j])
    return l


def total_row_sum(l):
    return fl(fl(l[:, 0] + l[:, 2]) + fl(l[:, 1] + l[:, 3]))


def log_sum_exp(m, l):
    """Natural; the one stage that is not defined to the last bit."""
    natural = (m.astype(F64) + np.log2(l.astype(F64))) * np.log(F64(2))
    return np.where(l == 0, MINUS_INFINITY, natural.astype(F32))
