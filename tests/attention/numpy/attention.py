# What every recipe shares: a query block streams over its blocks of keys with a running maximum,
# four partial row sums and an accumulator O. A recipe's own program fills in the rest. Clear before
# fast.

from dataclasses import dataclass

import numpy as np

from exp2 import exp2
from formats import F32, F64, bf16_bits, bf16_value, fl
from mufu import ex2, lg2, rcp
from steps import fill, fill_to_multiple, round_sum_to_f32
from video import Order, as_given, partial_then_full, visited, window_mask

MINUS_INFINITY, LN_2 = F32(-np.inf), F32(np.log(F64(2)))


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
    m: np.ndarray  # [row]
    l: np.ndarray
    out: np.ndarray  # [row, channel], in the output's format
    lse: np.ndarray  # [row]


class Head:
    """One batch entry and head of a recipe. A recipe defines

    order, key_order                the positions of the queries' and the keys' tokens
    q, k, v                         the operands
    query_blocks, all_key_blocks()  lists of (begin, end) in positions
    key_blocks(index)               those of keys that the query block visits, in order
    kept                            None, or the mask of pairs of positions; pairs() is never None
    scores(queries, keys)           A and s of two slices of positions
    codes_of(p)                     P as it enters P V
    accumulate(o, alpha, p_codes, keys)   O after a block
    finish(o, l)                    the output rows

    and, where they differ from the usual, the numbers and the softmax below.
    """

    QUERY_BLOCK, KEY_BLOCK = 64, 128
    RESCALE_THRESHOLD = F32(0)
    INITIAL_MAXIMUM = MASKED_SCORE = MINUS_INFINITY
    KEY_ORDER, LISTED = "ascending", 0
    OFFSET = F32(0)  # P is 2^OFFSET times as large
    key_order = property(lambda self: self.order)
    kept = visits = None
    power, reciprocal = staticmethod(ex2), staticmethod(rcp)
    branch = finishing = None  # per token: what is added to the output; the block at work
    lost = None  # per position: what the smoothing of K took from every score, log2 units

    def keep(self, kept, key_order, listed=0):
        """Another mask of pairs of positions, another order of visits."""
        blocks = self.all_key_blocks()
        in_order = {"ascending": lambda queries: visited(kept, queries, blocks),
                    "descending": lambda queries: visited(kept, queries, blocks[::-1]),
                    "partial_then_full": lambda queries: partial_then_full(kept, queries, blocks, listed)}
        self.kept = kept
        self.visits = [in_order[key_order](queries) for queries in self.query_blocks]

    def run(self, index):
        begin, end = self.finishing = self.query_blocks[index]
        queries, rows = slice(begin, end), end - begin
        m = np.full(rows, self.INITIAL_MAXIMUM)
        l = np.zeros((rows, 4), F32)
        o = np.zeros((rows, self.channels), F32)
        key_blocks = []
        visits = self.visits[index] if self.visits else self.key_blocks(index)
        for key_begin, key_end in visits:
            keys = slice(key_begin, key_end)
            self.last_visit = len(key_blocks) + 1 == len(visits)
            a, s = self.scores(queries, keys)
            if self.kept is not None:
                s = np.where(self.kept[queries, keys], s, self.MASKED_SCORE)
            skipped = len(key_blocks) > 0 and self.skips(m, s)
            m, alpha, p = self.softmax(m, a, s)
            p = np.where(skipped, p.dtype.type(0), p)
            l = self.add_to_row_sum(l, alpha, p)
            p_codes = self.codes_of(p)
            o = rescaled(o, alpha) if skipped else self.accumulate(o, alpha, p_codes, keys)
            key_blocks.append(KeyBlock(key_begin, key_end, a, s, p_codes, m, l, o))
        total = total_row_sum(l)
        return QueryBlock(begin, end, key_blocks, m, total, self.finish(o, total),
                          self.log_sum_exp(m, total, queries))

    def add_to_row_sum(self, l, alpha, p):
        """The partial sums after a block."""
        return add_terms(fl((l * alpha[:, None]).astype(F32)), p)

    def skips(self, m, s):
        """Whether the block is left out once its scores are known."""
        return False

    def softmax(self, m, a, s):
        """The new maximum, alpha and P of one block."""
        m_new = self.maximum(m, s)
        alpha, p = self.alpha(m, m_new), self.probabilities(a, s, m_new)
        nothing = np.isneginf(m_new)
        p = np.where(nothing[:, None], p.dtype.type(0), p)
        return m_new, np.where(nothing, alpha.dtype.type(1), alpha), p

    def maximum(self, m, s):
        m_new = np.maximum(m, s.max(axis=1))
        m_new = np.where(m_new == 0, F32(0), m_new)
        # Without a threshold a subnormal difference keeps the old maximum.
        return np.where(self.log2_of(fl(m_new - m)) <= self.RESCALE_THRESHOLD, m, m_new)

    def alpha(self, m, m_new):
        return self.power(self.log2_of(fl(m - m_new)))

    def log2_of(self, m):
        """A maximum or a difference of two in log2 units."""
        return m

    def probabilities(self, a, s, m_new):
        return self.power(fl(s - fl(m_new - self.OFFSET)[:, None]))

    def normalised(self, o, l):
        """fl(O * r); what a row without keys gets is the caller's affair."""
        return fl(o * self.reciprocal(l)[:, None])

    def log_sum_exp(self, m, l, queries):
        maximum = self.log2_of(m)
        if self.OFFSET != 0:
            maximum = fl(maximum - self.OFFSET)
        natural = fl(fl(maximum * LN_2) + fl(lg2(l) * LN_2))
        if self.lost is not None:
            natural = fl(natural + fl(self.lost[queries].astype(F32) * LN_2))
        return np.where(l == 0, MINUS_INFINITY, natural)


class ExactFunctions:
    """2^x and 1/l rounded correctly, the log-sum-exp in FP64: no GPU's kernel.

    This lse is the one stage that is not defined to the last bit."""
    power = staticmethod(exp2)

    @staticmethod
    def reciprocal(l):
        return fl(F32(1) / l)

    def log_sum_exp(self, m, l, queries):
        log2 = m.astype(F64) + np.log2(l.astype(F64))
        return np.where(l == 0, MINUS_INFINITY, (log2 * np.log(F64(2))).astype(F32))


class FusedExponent:
    """Scores and maxima are not in log2 units: `unit` times them is, inside a fused multiply-add."""

    def log2_of(self, m):
        return fl(m * self.unit)

    def reference(self, m_new):
        return fl(self.log2_of(m_new) - self.OFFSET)

    def probabilities(self, a, s, m_new):
        return self.power(fused(s, self.unit, self.reference(m_new)[:, None]))


class FusedOffset(FusedExponent):
    """The maximum times `unit`, less the offset, is one fused multiply-add."""

    def reference(self, m_new):
        return fused(m_new, self.unit, self.OFFSET)


class TiledWindowHead(Head):
    """Blocks that follow tiles, and a window of tiles around the query's."""

    def __init__(self, grid, channels, tile, window):
        self.channels = channels
        self.order = Order(grid, tile)
        self.tiles_seen = window_mask(self.order.tiles_per_axis, window)
        self.query_blocks = self.order.tile_blocks(self.QUERY_BLOCK)

    def blocks_of(self, size):
        return self.order.tile_blocks(size)

    def all_key_blocks(self):
        return self.blocks_of(self.KEY_BLOCK)

    def key_blocks(self, index):
        seen = self.tiles_seen[self.tile_of(self.query_blocks[index][0])]
        return [(begin, end) for begin, end in self.all_key_blocks() if seen[self.tile_of(begin)]]

    def pairs(self):
        of = self.tile_of(slice(None))
        return self.tiles_seen[of[:, None], of[None, :]]

    def tile_of(self, position):
        return self.order.tile_of_position[position]


class DenseHead(Head):
    """Tokens as given, blocks along their sequence, every block of keys visited."""

    def __init__(self, grid, channels):
        self.channels = channels
        self.order = as_given(grid)
        self.query_blocks = self.order.sequence_blocks(self.QUERY_BLOCK)

    def blocks_of(self, size):
        return self.order.sequence_blocks(size)

    def all_key_blocks(self):
        return self.blocks_of(self.KEY_BLOCK)

    def key_blocks(self, index):
        blocks = self.all_key_blocks()
        return blocks[::-1] if self.KEY_ORDER == "descending" else blocks

    def pairs(self):
        length = len(self.order.token_of_position)
        return np.ones((length, length), bool)


class ListedHead(Head):
    """Blocks along the sequence of any order, any mask of pairs; partial blocks of keys first."""

    QUERY_BLOCK, KEY_BLOCK = 128, 64
    KEY_ORDER, LISTED = "partial_then_full", 128

    def __init__(self, order, channels, kept):
        self.channels, self.order = channels, order
        self.query_blocks = order.sequence_blocks(self.QUERY_BLOCK)
        self.keep(kept, self.KEY_ORDER, self.LISTED)

    def blocks_of(self, size):
        return self.order.sequence_blocks(size)

    def all_key_blocks(self):
        return self.blocks_of(self.KEY_BLOCK)

    def pairs(self):
        return self.kept


LOG2_E = F64(1.4426950408889634)


def softmax_scale(channels):
    """c = d^-1/2 * log2(e), in FP64, rounded to FP32."""
    return F32(LOG2_E / np.sqrt(F64(channels)))


def lost_to_smoothing(q, k_mean):
    """q . mean of K in FP64, channels ascending, times d^-1/2 * log2(e)."""
    total = np.zeros(len(q))
    for channel in range(q.shape[1]):
        total = total + q[:, channel].astype(F64) * F64(k_mean[channel])
    return total * (LOG2_E / np.sqrt(F64(q.shape[1])))


def scale_pairs(q, k, queries, keys):
    """fl(s_q * s_k) of every row and key."""
    s_q, s_k = q.scales[q.group_of_row[queries]], k.scales[k.group_of_row[keys]]
    return fl(s_q[:, None] * s_k[None, :])


def fused(a, f, reference):
    """fma(a, f, -reference): one rounding, then fl's flush."""
    return fl(round_sum_to_f32(a.astype(F64) * np.asarray(f, F64), -np.asarray(reference, F64)))


def rescaled(o, alpha):
    return fl(o * alpha[:, None])


def zero_where_empty(out, l):
    return np.where(l[:, None] == 0, F32(0), out)


def add_fused_first(l, alpha, p):
    """As add_to_row_sum(), each sum's product fused with its first addition; P in float32."""
    first = fill_to_multiple(p, 8)[:, :8:2]
    rest = p.copy()
    rest[:, :8:2] = 0
    return add_terms(fused(l, alpha[:, None], -first), rest)


def thread_tree(p, add=lambda a, b: fl(a + b)):
    """Each lane's columns in a balanced tree, neighbours first; then the lanes."""
    groups = 1
    while 8 * groups < p.shape[1]:
        groups *= 2
    columns = fill(p, 8 * groups).reshape(len(p), groups, 4, 2)
    level = add(columns[..., 0], columns[..., 1])
    while level.shape[1] > 1:
        level = add(level[:, 0::2], level[:, 1::2])
    lanes = level[:, 0]
    return add(add(lanes[:, 0], lanes[:, 2]), add(lanes[:, 1], lanes[:, 3]))


def add_terms(l, p):
    columns = fill_to_multiple(p, 8).reshape(len(p), -1, 4, 2)  # fl(l + 0) = l
    for eight in range(columns.shape[1]):
        for odd in range(2):
            l = fl((l + columns[:, eight, :, odd]).astype(F32))
    return l


def bf16_row_sum(l, alpha, p):
    """The partial sums after a block where they add P rounded to BF16."""
    return add_terms(fl((l * alpha[:, None]).astype(F32)), bf16_value(bf16_bits(p)))


def add_packed(l, alpha, p):
    """The sum after a block, in l[:, 0]: eight sums over the columns, the first from the past."""
    columns = fill_to_multiple(p, 8).reshape(len(p), -1, 8)
    sums = np.zeros((len(p), 8), F32)
    sums[:, 0] = fl(l[:, 0] * alpha)
    for eight in range(columns.shape[1]):
        sums = fl(sums + columns[:, eight])
    while sums.shape[1] > 2:  # packed pairs: the first and the second, the third and the fourth
        pairs = sums.reshape(len(p), -1, 2, 2)
        sums = fl(pairs[:, :, 0] + pairs[:, :, 1]).reshape(len(p), -1)
    total = np.zeros_like(l)
    total[:, 0] = fl(sums[:, 0] + sums[:, 1])
    return total


def total_row_sum(l):
    return fl(fl(l[:, 0] + l[:, 2]) + fl(l[:, 1] + l[:, 3]))
