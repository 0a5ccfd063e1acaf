# The gradients of one head of keys and values, written from docs/recipes/backward.md alone. Rows are
# positions, columns channels. A preset's own choices stand in gradients.py.

from dataclasses import dataclass, field
from typing import Callable

import numpy as np

from attention import LOG2_E, fused, rescaled, softmax_scale, zero_where_empty
from casts import bf16, dequantised, rounded_bf16
from formats import F32, F64, bf16_bits, bf16_value, fl
from steps import chain_wgmma_bf16
from video import partial_then_full, visited

MINUS_INFINITY = F32(-np.inf)


@dataclass
class Choices:
    """What a preset's page says; numbers are the steps of docs/recipes/backward.md."""
    loop: str = "two_kernels"
    block_q: int = 0
    block_k: int = 0
    query_order: str = "ascending"
    key_order: str = "ascending"
    scores: str = "forward"  # 5
    exponent: str = "separate"  # 6
    operand: Callable = dequantised  # 1: what the products read of a coded q, k or v
    v: Callable = None  # of the forward's program, where v is not read as q and k are
    d_o: Callable = bf16  # 2
    do_in_dp: Callable = None  # where it is not as coded
    delta: str = "output"  # 3
    delta_sum: str = "sequential"
    o_multiplier: float = 1  # the stored output is o times this
    p: Callable = bf16  # 8
    ds: Callable = bf16  # 10
    softmax_scale: str = "end"
    chains: dict = field(default_factory=dict)  # of s dp dv dq dk, where not BF16's
    promote: str = "never"
    head_sum: str = "chain"
    lse: str = "natural"
    cast: Callable = rounded_bf16  # 16
    multipliers: dict = field(default_factory=dict)  # of dq dk dv, where not 1

    def chain(self, product):
        return self.chains.get(product, chain_wgmma_bf16)


@dataclass
class QueryHead:
    """What one query head brings, rows in positions."""
    forward: object  # the forward's program
    o: np.ndarray
    lse: np.ndarray
    d_o: np.ndarray


@dataclass
class Visit:
    """The stages of one pair of blocks."""
    queries: tuple
    keys: tuple
    s: np.ndarray  # [row, key], log2 units
    p: np.ndarray
    p_operand: object  # casts.Cast
    dp: np.ndarray
    ds: np.ndarray
    ds_operand: object


class Accumulator:
    """Sums over blocks: one chain that goes on, or each block's product added in FP32."""

    def __init__(self, chain, by_blocks, shape):
        self.chain, self.by_blocks = chain, by_blocks
        self.total, self.factor = np.zeros(shape, F32), None

    def add(self, a, b, factor):
        if self.by_blocks:
            self.total = fl(self.total + times(self.chain(a, b), factor))
        else:
            self.total, self.factor = self.chain(a, b, self.total), factor

    def value(self):
        return self.total if self.by_blocks else times(self.total, self.factor)


class Gradients:
    """All query heads that share one head of keys and values.

    delta      per query head [position]
    dq, dk, dv in the output's format; dq per query head
    visits     of the first query head, by (query block, key block)
    dq_after, dk_after, dv_after  lists of (other block, accumulator) after each visit, per block
    """

    def __init__(self, choices, heads):
        self.choices, self.heads = choices, heads
        first = heads[0].forward
        self.query_blocks = first.blocks_of(choices.block_q) if choices.block_q else first.query_blocks
        self.key_blocks = first.blocks_of(choices.block_k) if choices.block_k else first.all_key_blocks()
        self.channels = first.channels
        self.k = choices.operand(first.k)
        self.v = choices.v(first) if choices.v else choices.operand(first.v)
        self.k_mean = getattr(first, "k_mean", None)  # what smoothing took
        self.kept = first.pairs() if first.kept is None else first.kept
        self.visits, self.delta, self.dq = {}, [], []
        self.dq_after, self.dk_after, self.dv_after = {}, {}, {}
        self.run()

    def run(self):
        self.single_heads = []
        for head in self.heads:
            of = OneHead(self, head)
            self.single_heads.append(of)
            self.delta.append(of.delta)
        made = [self.of_queries(of, first) for of, first in self.numbered()]
        self.dq = [self.written("dq", x) for x in made]
        self.dk, self.dv = self.of_keys()

    def numbered(self):
        return [(of, index == 0) for index, of in enumerate(self.single_heads)]

    def of_queries(self, of, first):
        """dQ of one query head, FP32."""
        c = self.choices
        dq = np.zeros((len(of.delta), self.channels), F32)
        by_blocks = c.loop == "key_blocks" or c.promote == "block"
        for index, queries in enumerate(self.query_blocks):
            sum_ = Accumulator(c.chain("dq"), by_blocks, (queries[1] - queries[0], self.channels))
            after, r = [], np.zeros(queries[1] - queries[0], F32)
            for keys in in_order(c.key_order, self.kept, queries, self.key_blocks):
                visit = of.visit(queries, keys)
                k = self.k.rows(keys)
                sum_.add(visit.ds_operand.values, k.values.T, product(visit.ds_operand.scale, k.scale))
                after.append((self.key_blocks.index(keys), sum_.total))
                if self.k_mean is not None:
                    r = row_sum(r, times(visit.ds_operand.values, visit.ds_operand.scale))
                if first:
                    self.visits[index, self.key_blocks.index(keys)] = visit
            if first:
                self.dq_after[index] = after
            x = sum_.value()
            if self.k_mean is not None:
                x = fl(x + fl(r[:, None] * self.k_mean))
            dq[slice(*queries)] = self.scaled_at_end(x)
        return dq

    def of_keys(self):
        """dK and dV, in the output's format."""
        c = self.choices
        dk, dv = (np.zeros((len(self.kept[0]), self.channels), F32) for _ in range(2))
        for index, keys in enumerate(self.key_blocks):
            shape = keys[1] - keys[0], self.channels
            finished = []
            self.dk_after[index], self.dv_after[index] = [], []
            for of, first in self.numbered():
                if first or c.head_sum == "add":
                    sum_k = Accumulator(c.chain("dk"), c.promote == "block", shape)
                    sum_v = Accumulator(c.chain("dv"), c.promote == "block", shape)
                for queries in in_order(c.query_order, self.kept.T, keys, self.query_blocks):
                    visit = of.visit(queries, keys)
                    p, ds, d_o, q = visit.p_operand, visit.ds_operand, of.d_o.rows(queries), of.q.rows(queries)
                    sum_v.add(p.values.T, d_o.values.T, product(p.scale, d_o.scale))
                    sum_k.add(ds.values.T, q.values.T, product(ds.scale, q.scale))
                    self.dk_after[index].append((self.query_blocks.index(queries), sum_k.total))
                    self.dv_after[index].append((self.query_blocks.index(queries), sum_v.total))
                finished.append((self.scaled_at_end(sum_k.value()), sum_v.value()))
            if c.head_sum == "chain":
                finished = finished[-1:]
            of_k, of_v = finished[0]
            for x_k, x_v in finished[1:]:
                of_k, of_v = fl(of_k + x_k), fl(of_v + x_v)
            dk[slice(*keys)], dv[slice(*keys)] = of_k, of_v
        return self.written("dk", dk), self.written("dv", dv)

    def scaled_at_end(self, x):
        return fl(x * root(self.channels)) if self.choices.softmax_scale == "end" else x

    def written(self, name, x):
        multiplier = F32(self.choices.multipliers.get(name, 1))
        return self.choices.cast(x if multiplier == 1 else fl(x * multiplier))


class OneHead:
    """One query head: its operands, delta, and any pair of blocks."""

    def __init__(self, gradients, head):
        c = gradients.choices
        self.choices, self.head, self.gradients = c, head, gradients
        self.q = c.operand(head.forward.q)
        self.d_o = c.d_o(head.d_o)
        self.do_in_dp = c.do_in_dp(head.d_o) if c.do_in_dp else self.d_o
        self.o = output_of_uncoded_p(head.forward) if c.delta == "unquantised_p" else head.o
        o_scale = None if c.o_multiplier == 1 else fl(F32(1) / F32(c.o_multiplier))
        delta = times(row_products(c.delta_sum, self.o, self.do_in_dp.values),
                      product(o_scale, self.do_in_dp.scale))
        self.delta = np.where(np.isneginf(head.lse), F32(0), delta)
        self.l = head.lse if c.lse == "log2" else fl(head.lse * F32(LOG2_E))
        if head.forward.lost is not None:
            self.l = fl(self.l - head.forward.lost.astype(F32))

    def visit(self, queries, keys):
        c, forward, channels = self.choices, self.head.forward, self.gradients.channels
        rows, columns = slice(*queries), slice(*keys)
        l = self.l[rows, None]
        if c.scores == "forward":
            a, s = forward.scores(rows, columns)
            f = getattr(forward, "unit", F32(1))
        else:
            q, k = self.q.rows(queries), self.gradients.k.rows(keys)
            a, f = c.chain("s")(q.values, k.values), softmax_scale(channels)
            s = fl(a * f)
        x = fused(a, f, l) if c.exponent == "fused" else fl(s - l)
        s = fl(a * f) if c.exponent == "fused" else s
        kept = self.gradients.kept[rows, columns] & ~np.isneginf(l)
        p = np.where(kept, forward.power(np.where(kept, x, F32(0))), F32(0))
        d_o, v = self.do_in_dp.rows(queries), self.gradients.v.rows(keys)
        dp = times(c.chain("dp")(d_o.values, v.values), product(d_o.scale, v.scale))
        ds = fl(p * fl(dp - self.delta[rows, None]))
        if c.softmax_scale == "ds":
            ds = fl(ds * root(channels))
        ds = np.where(kept, ds, F32(0))
        return Visit(queries, keys, s, p, c.p(p), dp, ds, c.ds(ds))


def in_order(order, kept, one, others):
    """The blocks that hold a kept pair with the block `one` of rows of `kept`."""
    if order == "partial_then_full":
        return partial_then_full(kept, one, others, 0)
    return visited(kept, one, others if order == "ascending" else others[::-1])


def row_sum(r, x):
    """r plus the values of each row, ascending."""
    for column in range(x.shape[1]):
        r = fl(r + x[:, column])
    return r


def row_products(order, o, g):
    """sum_j o_j g_j of every row."""
    total = np.zeros(len(o), F32)
    if order == "pairwise":
        products = fl(o * g)
        width = 1 << (o.shape[1] - 1).bit_length()
        tree = np.pad(products, ((0, 0), (0, width - o.shape[1])))
        while tree.shape[1] > 1:
            tree = fl(tree[:, ::2] + tree[:, 1::2])
        return tree[:, 0]
    for j in range(o.shape[1]):
        if order == "fused":
            total = fused(o[:, j], g[:, j], -total)
        else:
            total = fl(total + fl(o[:, j] * g[:, j]))
    return total


def output_of_uncoded_p(forward):
    """The output, FP32 values of BF16, of the same forward with P in BF16 and v dequantised."""
    uncoded = type("Uncoded", (UncodedP, type(forward)), {})
    head = uncoded.__new__(uncoded)
    head.__dict__.update(forward.__dict__)
    return np.concatenate([bf16_value(head.run(i).out) for i in range(len(head.query_blocks))])


class UncodedP:
    def codes_of(self, p):
        return bf16_bits(p)

    def accumulate(self, o, alpha, p_codes, keys):
        v = dequantised(self.v).values[keys]
        return chain_wgmma_bf16(bf16_value(p_codes), v.T, rescaled(o, alpha))

    def finish(self, o, l):
        return bf16_bits(zero_where_empty(self.normalised(o, l), l))


def root(channels):
    return F32(1 / np.sqrt(F64(channels)))


def product(a, b):
    """fl(a*b), where both are; None where nothing is to be multiplied."""
    if a is None or b is None:
        return b if a is None else a
    return fl(a * b)


def times(x, factor):
    return x if factor is None else fl(x * factor)
