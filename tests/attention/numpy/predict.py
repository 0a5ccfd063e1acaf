# Masks made from a head's own Q and K before its kernel runs, written from
# docs/recipes/operations.md and the pages of sparge_sm90, svg1 and svg2 alone.

import math

import numpy as np

from formats import F32, F64, fl
from philox import random_word
from steps import chain_f32_fma


def draw_tokens(tokens, count, seed, stream):
    """Distinct tokens in the order of drawing: words of the stream modulo the number of tokens."""
    drawn, index = [], 0
    while len(drawn) < min(tokens, count):
        token = random_word(seed, stream, index) % tokens
        index += 1
        if token not in drawn:
            drawn.append(token)
    return drawn


def heaviest(weights, mass, crossing_kept, least=0.0):
    """Indices of the heaviest entries: while the sum with one (crossing dropped) or before it (kept) is within
    `mass` of the total; at least ceil(least*n), and one."""
    order = np.argsort(-weights, kind="stable")
    sums = np.cumsum(weights[order])  # ascending along the order, FP64
    total = sums[-1]
    before = np.concatenate([[0.0], sums[:-1]])
    within = before < F64(F32(mass)) * total if crossing_kept else sums <= F64(F32(mass)) * total
    kept = len(weights) if within.all() else int(np.argmin(within))
    kept = max(kept, math.ceil(F32(least) * F32(len(weights))), 1)
    return np.sort(order[:kept])


def products(a, b):
    """a b^T in FP64, ascending: equal rows give equal numbers, which a library's product need not."""
    total = np.zeros((len(a), len(b)))
    for i in range(a.shape[1]):
        total = total + a[:, None, i].astype(F64) * b[None, :, i].astype(F64)
    return total


def mean_cosine(rows):
    """The mean of all pairwise cosines, the diagonal included; a zero row has cosine 0 with every row."""
    rows = rows.astype(F64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    units = rows / np.where(lengths == 0, 1, lengths)[:, None]
    return (units.sum(axis=0)**2).sum() / len(rows)**2


def similarity_blocks(q, k, query_blocks, key_blocks, similarity, mass):
    """SpargeAttn: kept[query block, key block] from pooled Q and K, K without its token mean."""
    def pooled(x, blocks):
        return (np.array([x[begin:end].astype(F64).mean(axis=0) for begin, end in blocks]),
                np.array([mean_cosine(x[begin:end]) > F64(F32(similarity)) for begin, end in blocks]))

    pooled_q, trusted_q = pooled(q, query_blocks)
    pooled_k, trusted_k = pooled(k, key_blocks)
    scores = products(pooled_q, pooled_k) / math.sqrt(q.shape[1])
    kept = np.zeros(scores.shape, bool)
    for row in range(len(scores)):
        if trusted_q[row] and trusted_k.any():
            largest = scores[row, trusted_k].max()
            weights = np.where(trusted_k, np.exp(scores[row] - largest), 0.0)
            kept[row, heaviest(weights, mass, crossing_kept=False)] = True
    kept[~trusted_q, :] = True
    kept[:, ~trusted_k] = True
    return kept


def clusters(x, count, iterations, seed, stream):
    """k-means: each token's cluster and the centres."""
    centres = x[draw_tokens(len(x), count, seed, stream)]
    for _ in range(iterations):
        of_token = nearest(x, centres)
        centres = centres.copy()
        for cluster in np.unique(of_token):
            centres[cluster] = running_mean(x[of_token == cluster])
    return nearest(x, centres), centres


def nearest(x, centres):
    half_squares = np.array([running_sum((c.astype(F64)**2)[:, None])[0] / 2 for c in centres], F32)
    return np.argmax(fl(chain_f32_fma(x, centres) - half_squares), axis=1)


def running_sum(rows):
    total = np.zeros(rows.shape[1])
    for row in rows:
        total = total + row
    return total


def running_mean(rows):
    return (running_sum(rows.astype(F64)) / len(rows)).astype(F32)


def cluster_blocks(q_centres, k_centres, k_sizes, mass, least):
    """SparseVideoGen 2: kept[query cluster, key cluster]."""
    scores = products(q_centres, k_centres) / math.sqrt(q_centres.shape[1])
    kept = np.zeros(scores.shape, bool)
    for row in range(len(scores)):
        weights = k_sizes * np.exp(scores[row] - scores[row].max())
        kept[row, heaviest(weights, mass, crossing_kept=True, least=least)] = True
    return kept


def attention_of_rows(q, k, v, rows, kept=None):
    """The rows' outputs in FP64; kept[row, key] or every key."""
    scores = products(q[rows], k) / math.sqrt(q.shape[1])
    if kept is not None:
        scores = np.where(kept, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return products(weights, v.T) / products(weights, np.ones((1, len(v))))
