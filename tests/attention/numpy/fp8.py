# Recipes of E4M3 operands and multiplied P, written from their pages and docs/recipes/operations.md
# alone: fpsattention and its phases, fpsattention_flex, naive_fp8_sparse, deepseek_fp8,
# attn_qat_fp8, cudnn_fp8_hopper.

import numpy as np

from attention import (LOG2_E, MINUS_INFINITY, DenseHead, ListedHead, TiledWindowHead, bf16_row_sum,
                       rescaled, scale_pairs, softmax_scale, zero_where_empty)
from formats import E4M3_LARGEST, F32, bf16_bits, e4m3_code, e4m3_value, fl
from mufu import lg2
from quantise import (E4M3, guard_floor_1e_4, guard_one, per_channel, per_group, per_tensor,
                      per_tensor_times, power_of_two, tile_groups, token_groups)
from steps import chain_wgmma_e4m3
from video import Order, window_pairs

TILE = (6, 8, 8)


class MultipliedE4m3:
    """E4M3 codes of 448*P; P V promoted to FP32 after every block of keys."""
    MULTIPLIER = F32(448)

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        f = fl(scale_pairs(self.q, self.k, queries, keys) * softmax_scale(self.channels))
        return a, fl(a * f)

    def codes_of(self, p):
        return e4m3_code(fl(self.MULTIPLIER * p))

    def accumulate(self, o, alpha, p_codes, keys):
        t = chain_wgmma_e4m3(p_codes, self.v.codes[keys].T)
        return fl(rescaled(o, alpha) + t)

    def finish(self, o, l):
        out = fl(self.normalised(o, l) * fl(self.v.scales / self.MULTIPLIER))
        return bf16_bits(zero_where_empty(out, l))


class FpsAttention(MultipliedE4m3, TiledWindowHead):
    WINDOW = (3, 3, 3)
    SCALE_TILE = (6, 8, 8)

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1], TILE, self.WINDOW)
        positions = self.order.token_of_position
        groups = tile_groups(self.order, self.SCALE_TILE)
        self.q = per_group(q[positions], groups, E4M3, guard_one)
        self.k = per_group(k[positions], groups, E4M3, guard_one)
        self.v = per_channel(v[positions])


class FpsPowersOfTwo(FpsAttention):
    """Scales as OCP MX has them."""

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q, k, v, input_type)
        positions = self.order.token_of_position
        groups = tile_groups(self.order, self.SCALE_TILE)
        self.q = per_group(q[positions], groups, E4M3, power_of_two)
        self.k = per_group(k[positions], groups, E4M3, power_of_two)
        self.v = per_channel(v[positions], power_of_two)


class FpsAttentionCoarse(FpsAttention):
    WINDOW = (3, 3, 1)
    SCALE_TILE = (24, 32, 32)


class FpsAttentionIntermediate(FpsAttention):
    WINDOW = (3, 5, 1)
    SCALE_TILE = (12, 16, 16)


class NaiveFp8Sparse(MultipliedE4m3, TiledWindowHead):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1], TILE, window=(3, 3, 3))
        positions = self.order.token_of_position
        self.q, self.k, self.v = (per_tensor(x[positions]) for x in (q, k, v))


class DeepseekFp8(MultipliedE4m3, DenseHead):
    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        groups = token_groups(len(q))
        self.q = per_group(q, groups, E4M3, guard_floor_1e_4)
        self.k = per_group(k, groups, E4M3, guard_floor_1e_4)
        self.v = per_channel(v, guard_floor_1e_4)


class CudnnFp8(MultipliedE4m3, DenseHead):
    """Scales given; the output in E4M3."""
    QUERY_BLOCK = 128

    def __init__(self, grid, q, k, v, input_type):
        super().__init__(grid, q.shape[1])
        self.q, self.k, self.v = (per_tensor_times(x, 64) for x in (q, k, v))

    def finish(self, o, l):
        out = fl(self.normalised(o, l) * fl(self.v.scales / self.MULTIPLIER))
        return e4m3_code(zero_where_empty(out, l))


class AttnQatFp8(FpsAttention):
    """Dense, blocks along tiles all the same; lse in log2 units."""
    WINDOW = (10**6,) * 3  # wider than any grid

    def add_to_row_sum(self, l, alpha, p):
        return bf16_row_sum(l, alpha, p)

    def log_sum_exp(self, m, l, queries):
        return np.where(l == 0, MINUS_INFINITY, fl(m + lg2(l)))


class FpsAttentionFlex(ListedHead):
    def __init__(self, grid, q, k, v, input_type):
        order = Order(grid, TILE)
        super().__init__(order, q.shape[1], window_pairs(order, (3, 3, 3)))
        positions = order.token_of_position
        groups = tile_groups(order, TILE)
        self.q = per_group(q[positions], groups, E4M3, guard_one)
        self.k = per_group(k[positions], groups, E4M3, guard_one)
        self.v = per_channel(v[positions])

    def scores(self, queries, keys):
        a = chain_wgmma_e4m3(self.q.codes[queries], self.k.codes[keys])
        return a, fl(a * F32(LOG2_E))

    def codes_of(self, p):
        return e4m3_code(p)

    def accumulate(self, o, alpha, p_codes, keys):
        return chain_wgmma_e4m3(p_codes, self.v.codes[keys].T, rescaled(o, alpha))

    def finish(self, o, l):
        cast = e4m3_value(e4m3_code(zero_where_empty(self.normalised(o, l), l)))
        return bf16_bits(fl(cast * self.v.scales))
