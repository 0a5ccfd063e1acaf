# Recipes that choose key blocks by the scores of means, and what a second branch adds, written from
# their pages and docs/recipes/operations.md alone: nabla, subblock, vsa, vsa_h3, sla,
# rainfusion_fp8, rainfusion_mix.

import math

import numpy as np

from attention import (DenseHead, TiledWindowHead, rescaled, scale_pairs, softmax_scale,
                       zero_where_empty)
from exp2 import exp2
from formats import F32, F64, bf16_bits, bf16_value, fl
from fp8 import MultipliedE4m3
from plain import Bf16
from predict import products
from quantise import (E4M3, INT8, guard_one, per_channel, per_group, rotated, rows,
                      without_token_mean)
from steps import chain_f32_fma, chain_s8, chain_wgmma_e4m3
from video import cut

LOG2_E = F32(1.4426950408889634)


def bf16(x):
    return bf16_value(bf16_bits(x))


# Means and scores.


def means_f64(x, ranges):
    """Sums over ascending positions and means in FP64."""
    return np.array([running(x[begin:end].astype(F64)) / (end - begin) for begin, end in ranges])


def means_bf16(x, ranges):
    """BF16 of fl(sum/n), sums in FP32 over ascending positions."""
    return np.array([bf16(running(x[begin:end]) / F32(end - begin)) for begin, end in ranges], F32)


def running(rows_of_range):
    total = np.zeros(rows_of_range.shape[1], rows_of_range.dtype)
    for row in rows_of_range:
        total = total + row
    return total


def scores_f64(q, k):
    return products(q, k) / math.sqrt(q.shape[1])


def scores_bf16(q, k):
    scale = F32(1 / np.sqrt(F64(q.shape[1])))
    return bf16(bf16(chain_f32_fma(q, k)) * scale)


def log_sum_exp(scores, rows_of, columns_of):
    """One score per pair of blocks from those of their pieces."""
    pairs = np.empty((len(rows_of), len(columns_of)))
    for i, of_query in enumerate(rows_of):
        for j, of_key in enumerate(columns_of):
            piece = scores[np.ix_(of_query, of_key)]
            pairs[i, j] = piece.max() + np.log(np.exp(piece - piece.max()).sum())
    return pairs


def pieces(ranges, size):
    """All ranges cut into pieces of `size`, and each range's piece numbers."""
    cuts = [cut(begin, end, size) for begin, end in ranges]
    first = np.cumsum([0] + [len(c) for c in cuts])
    return sum(cuts, []), [range(a, b) for a, b in zip(first, first[1:])]


# Which entries of a row of scores are kept.


def top(scores, share, rounding):
    """The highest rounding(fl(share*n)), at least one; of equal ones the lower index."""
    count = max(int(rounding(F32(share) * F32(scores.shape[1]))), 1)
    kept = np.zeros(scores.shape, bool)
    for row, best in zip(kept, np.argsort(-scores, axis=1, kind="stable")):
        row[best[:count]] = True
    return kept


def without_tail(scores, tail):
    """All but the lightest, whose sums from the lightest on stay below tail of the whole."""
    kept = np.zeros(scores.shape, bool)
    for row, of_row in zip(kept, scores):
        weights = np.exp(of_row - of_row.max())
        ascending = np.argsort(-weights, kind="stable")[::-1]
        sums = np.cumsum(weights[ascending])
        row[ascending[sums >= F64(F32(tail)) * sums[-1]]] = True
    return kept


# Heads that visit the kept blocks.


class BlockHead(Bf16, DenseHead):
    """Blocks along the sequence, of which blocks_kept[query block, key block] are visited."""
    QUERY_BLOCK = KEY_BLOCK = 64

    def key_blocks(self, index):
        return [block for block, kept in zip(self.all_key_blocks(), self.blocks_kept[index]) if kept]

    def pairs(self):
        wide = np.repeat(self.blocks_kept, [e - b for b, e in self.query_blocks], 0)
        return np.repeat(wide, [e - b for b, e in self.all_key_blocks()], 1)


class SubBlock(BlockHead):
    SHARE, PARTS = 0.25, 4

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        cuts, of_block = pieces(self.query_blocks, self.QUERY_BLOCK // self.PARTS)
        scores = scores_f64(means_f64(q, cuts), means_f64(k, cuts))
        self.blocks_kept = top(log_sum_exp(scores, of_block, of_block), self.SHARE, math.floor)
        self.enter(q, k, v)


class Sla(BlockHead):
    SHARE, EPSILON = 0.05, F32(1e-5)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        centred, _ = without_token_mean(k, input_type)
        scores = scores_f64(means_f64(q, self.query_blocks), means_f64(centred, self.query_blocks))
        self.blocks_kept = top(scores, self.SHARE, math.floor)
        self.enter(q, k, v)
        self.branch = linear_branch(q, k, v, self.EPSILON)

    def finish(self, o, l):
        return with_branch(self, super().finish(o, l))


class TileHead(Bf16, TiledWindowHead):
    """Tiles, of which tiles_kept[query tile, key tile] are visited."""
    QUERY_BLOCK = KEY_BLOCK = 64
    TILE = (4, 4, 4)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1], self.TILE, (1, 1, 1))
        self.choose(q[self.order.token_of_position], k[self.order.token_of_position])
        self.tiles_seen = self.tiles_kept
        self.enter(q, k, v)


class Vsa(TileHead):
    SHARE = 0.125

    def choose(self, q, k):
        ranges = self.order.tile_ranges()
        self.tiles_kept = top(scores_bf16(means_bf16(q, ranges), means_bf16(k, ranges)), self.SHARE,
                              math.ceil)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q, k, v, input_type)
        positions = self.order.token_of_position
        self.branch = np.empty(q.shape, F32)
        self.branch[positions] = coarse_branch(q[positions], k[positions], v[positions],
                                               self.order.tile_ranges())

    def finish(self, o, l):
        return with_branch(self, super().finish(o, l))


class VsaH3(TileHead):
    KEY_BLOCK, TILE, SHARE = 128, (4, 8, 8), 0.125

    def choose(self, q, k):
        ranges = self.order.tile_ranges()
        kept = top(scores_bf16(means_bf16(q, ranges), means_bf16(k, ranges)), self.SHARE, math.ceil)
        if self.order.grid.text:
            kept[-1] = True  # queries of text see every key
        self.tiles_kept = kept


class Nabla(TileHead):
    TILE, WINDOW, TAIL = (1, 8, 8), (11, 3, 3), 0.1

    def choose(self, q, k):
        ranges = self.order.tile_ranges()
        kept = without_tail(scores_f64(means_f64(q, ranges), means_f64(k, ranges)), self.TAIL)
        near = np.ones((1, 1), bool)
        for count, window in zip(self.order.tiles_per_axis, self.WINDOW):
            u, v = np.indices((count, count))
            near = np.kron(near, np.abs(u - v) <= window // 2)
        video = len(near)
        kept[:video, :video] |= near
        kept[video:, :] = True  # text sees and is seen by all
        kept[:, video:] = True
        self.tiles_kept = kept


class RainFusionFp8(MultipliedE4m3, BlockHead):
    QUERY_BLOCK = KEY_BLOCK = 128
    SHARE = 0.2

    def __init__(self, grid, q, k, v, input_type):
        DenseHead.__init__(self, grid, q.shape[1])
        self.choose(q, k)
        groups = rows(self.query_blocks, self.QUERY_BLOCK)
        self.q, self.k = (per_group(rotated(x, seed=0), groups, E4M3, guard_one) for x in (q, k))
        self.v = per_group(v, groups, E4M3, guard_one)

    def choose(self, q, k):
        scores = scores_f64(means_f64(q, self.query_blocks), means_f64(k, self.query_blocks))
        self.blocks_kept = top(scores, self.SHARE, math.floor)

    def accumulate(self, o, alpha, p_codes, keys):
        t = chain_wgmma_e4m3(p_codes, self.v.codes[keys].T)
        if len(self.v.scales) > 1:
            t = fl(t * self.v.scales[self.v.group_of_row[keys.start]])
        return fl(rescaled(o, alpha) + t)

    def finish(self, o, l):
        last = self.v.scales[0] if len(self.v.scales) == 1 else F32(1)
        out = fl(self.normalised(o, l) * fl(last / self.MULTIPLIER))
        return bf16_bits(zero_where_empty(out, l))


class RainFusionMix(RainFusionFp8):
    def __init__(self, grid, q, k, v, input_type):
        DenseHead.__init__(self, grid, q.shape[1])
        self.choose(q, k)
        groups = rows(self.query_blocks, self.QUERY_BLOCK)
        self.q, self.k = (per_group(x, groups, INT8, guard_one) for x in (q, k))
        self.v = per_channel(v)

    def scores(self, queries, keys):
        a = chain_s8(self.q.codes[queries], self.k.codes[keys])
        f = fl(scale_pairs(self.q, self.k, queries, keys) * softmax_scale(self.channels))
        return a, fl(a * f)

    accumulate = MultipliedE4m3.accumulate
    finish = MultipliedE4m3.finish


# Second branches, every operation's result in BF16.


def softmax_bf16(x):
    """BF16(fl(e / sum of e)), e = exp2(fl(fl(x - largest) * log2 e)), correctly rounded."""
    e = exp2(fl(fl(x - x.max(axis=1, keepdims=True)) * LOG2_E))
    total = np.zeros(len(x), F32)
    for column in range(x.shape[1]):
        total = fl(total + e[:, column])
    return bf16(fl(e / total[:, None]))


def linear_branch(q, k, v, epsilon):
    phi_q, phi_k = softmax_bf16(q), softmax_bf16(k)
    kv = bf16(chain_f32_fma(phi_k.T, v.T))  # [feature, channel]
    z = np.zeros(k.shape[1], F32)
    for row in phi_k:
        z = fl(z + row)
    numerator = bf16(chain_f32_fma(phi_q, kv.T))
    below = bf16(chain_f32_fma(phi_q, bf16(z)[None, :]))
    denominator = bf16(fl(epsilon + below))
    return bf16(fl(numerator / denominator))


def coarse_branch(q, k, v, ranges):
    means = [means_bf16(x, ranges) for x in (q, k, v)]
    p = softmax_bf16(scores_bf16(means[0], means[1]))
    of_range = bf16(chain_f32_fma(p, means[2].T))
    return np.repeat(of_range, [end - begin for begin, end in ranges], 0)


def with_branch(head, out):
    """BF16(fl(out + branch)) of the rows that are being finished."""
    begin, end = head.finishing
    branch = head.branch[head.order.token_of_position[begin:end]]
    return bf16_bits(fl(bf16_value(out) + fl(F32(1) * branch)))
