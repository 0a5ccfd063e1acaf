# Recipes that choose their masks by looking at Q and K, written from their pages and
# docs/recipes/operations.md alone: sparge_sm90, svg1, svg2.

import numpy as np

from attention import DenseHead, FusedExponent, Head, lost_to_smoothing, softmax_scale
from formats import F32, fl
from plain import Bf16, Svg1Spatial, Svg1Temporal
from predict import (attention_of_rows, cluster_blocks, clusters, draw_tokens, similarity_blocks)
from quantise import (INT8, guard_add, per_channel_inverse, per_group, rows, without_token_mean)
from sage import Sage2
from video import as_given, causal_pairs


class SpargeSm90(Sage2):
    QUERY_BLOCK, KEY_BLOCK = 64, 128
    SIMILARITY, MASS, SKIP = 0.6, 0.98, F32(50)
    INITIAL_MAXIMUM = MASKED_SCORE = F32(-np.inf)

    def __init__(self, grid, q, k, v, input_type):
        DenseHead.__init__(self, grid, q.shape[1])
        self.unit = softmax_scale(self.channels)
        blocks = self.order.sequence_blocks(self.KEY_BLOCK)
        k, k_mean = without_token_mean(k, input_type)
        self.lost = lost_to_smoothing(q, k_mean)
        self.blocks_kept = similarity_blocks(q, k, self.query_blocks, blocks, self.SIMILARITY,
                                             self.MASS)
        self.q = per_group(q, rows(self.query_blocks, 64), INT8, guard_add)
        self.k = per_group(k, rows(blocks, 128), INT8, guard_add)
        self.v = per_channel_inverse(v, F32(2.25))

    def key_blocks(self, index):
        blocks = self.order.sequence_blocks(self.KEY_BLOCK)
        return [block for block, kept in zip(blocks, self.blocks_kept[index]) if kept]

    def pairs(self):
        return np.repeat(np.repeat(self.blocks_kept, self.QUERY_BLOCK, 0)[:len(self.q.codes)],
                         self.KEY_BLOCK, 1)[:, :len(self.k.codes)]

    def skips(self, m, s):
        gain = fl(fl(s.max(axis=1) * self.unit) - fl(m * self.unit))
        return gain.max() + self.SKIP <= 0


def svg1(grid, q, k, v, input_type, narrowed=lambda kept: kept):
    """The spatial or the temporal program, by profiling."""
    sampled = sorted(draw_tokens(len(q), 32, seed=0, stream=0x70726F66696C6500))
    truth = attention_of_rows(q, k, v, sampled)

    def error(program):
        head = program(grid, q, k, v, input_type)
        kept = np.empty_like(head.kept)
        tokens = head.order.token_of_position
        kept[np.ix_(tokens, tokens)] = narrowed(head.kept)
        return ((attention_of_rows(q, k, v, sampled, kept[sampled]) - truth)**2).sum(), head

    spatial, temporal = error(Svg1Spatial), error(Svg1Temporal)
    return spatial[1] if spatial[0] <= temporal[0] else temporal[1]


def svg1_causal(*arguments):
    return svg1(*arguments, narrowed=lambda kept: kept & causal_pairs(len(kept)))


class Svg2(Bf16, Head):
    QUERY_CLUSTERS, KEY_CLUSTERS = 300, 1000
    key_order = None

    def __init__(self, grid, q, k, v, input_type):
        self.channels = q.shape[1]
        query_stream = 0x636C757374657251
        q_cluster, q_centres = clusters(q, self.QUERY_CLUSTERS, 5, 0, query_stream)
        k_cluster, k_centres = clusters(k, self.KEY_CLUSTERS, 5, 0, query_stream + 1)
        sizes = np.bincount(k_cluster, minlength=len(k_centres))
        self.clusters_kept = cluster_blocks(q_centres, k_centres, sizes, mass=0.9, least=0.1)
        self.order, self.query_blocks = by_cluster(grid, q_cluster, self.QUERY_BLOCK)
        self.key_order, self.blocks_of_keys = by_cluster(grid, k_cluster, self.KEY_BLOCK)
        self.cluster_of_query = q_cluster[self.order.token_of_position]
        self.cluster_of_key = k_cluster[self.key_order.token_of_position]
        self.enter(q, k, v)

    def key_blocks(self, index):
        kept = self.clusters_kept[self.cluster_of_query[self.query_blocks[index][0]]]
        return [block for block in self.blocks_of_keys if kept[self.cluster_of_key[block[0]]]]


def by_cluster(grid, cluster_of_token, block):
    """Positions cluster after cluster, tokens ascending inside, and blocks inside clusters."""
    order = as_given(grid)
    order.token_of_position = np.argsort(cluster_of_token, kind="stable")
    order.tile_of_position = cluster_of_token[order.token_of_position]
    return order, order.tile_blocks(block)


# Edited so that small cases leave out blocks, skip visits and share clusters.


class SpargePruned(SpargeSm90):
    SIMILARITY, MASS, SKIP = 0.15, 0.9, F32(-4)


class Svg2FewClusters(Svg2):
    QUERY_CLUSTERS, KEY_CLUSTERS = 6, 9
