"""The backward of flex_bf16: delta, then dQ by query blocks, then dK and dV by key blocks.

Positions are in tile order, blocks of 64 are cut along the sequence; partly masked ones come first,
then full ones. Tiles come as in flex_bf16.py.

  delta = sum of o * dO in FP32, a binary tree of neighbours
  L     = lse * log2 e
  P     = exp2((Q K^T) * c - L), masked pairs 0
  dS    = P * (dO V^T - delta)
  dV += BF16(P)^T dO, dK += BF16(dS)^T Q, dQ += BF16(dS) K: one accumulator each
  dQ and dK times d^-1/2 at the end
"""

import triton
import triton.language as tl

from flex_bf16 import in_window


@triton.jit
def of_neighbours(x, ROWS: tl.constexpr, N: tl.constexpr):
    """The sum of each row of x [ROWS, N] as a binary tree of neighbours."""
    if N == 1:
        return tl.reshape(x, [ROWS])
    else:
        return of_neighbours(tl.sum(tl.reshape(x, [ROWS, N // 2, 2]), 2), ROWS, N // 2)


@triton.jit
def flex_delta(out, d_out, delta, S, D: tl.constexpr, BM: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    head = tl.program_id(1).to(tl.int64)
    at = head * S * D + rows[:, None] * D + tl.arange(0, D)[None, :]
    o = tl.load(out + at, mask=rows[:, None] < S, other=0.0).to(tl.float32)
    g = tl.load(d_out + at, mask=rows[:, None] < S, other=0.0).to(tl.float32)
    tl.store(delta + head * S + rows, of_neighbours(o * g, BM, D), mask=rows < S)


@triton.jit
def dq_visit(queries, keys, values, d_out, L, delta, dq, factor, kept, MASKED: tl.constexpr):
    p = tl.exp2(tl.dot(queries, keys.T) * factor - L[:, None])
    if MASKED:
        p = tl.where(kept, p, 0.0)
    ds = p * (tl.dot(d_out, values.T) - delta[:, None])
    return tl.dot(ds.to(tl.bfloat16), keys, dq)


@triton.jit
def flex_dq(q, k, v, d_out, lse, delta, centre, tile,
            partial_counts, partial_indices, full_counts, full_indices, dq,
            S, MAXB, half_t, half_h, half_w, factor, softmax_scale,
            D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    block = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    base = head * S * D
    rows = block * BM + tl.arange(0, BM)
    held = rows < S
    columns = tl.arange(0, BN)
    dims = tl.arange(0, D)
    at = base + rows[:, None] * D + dims[None, :]
    queries = tl.load(q + at, mask=held[:, None], other=0.0)
    grads = tl.load(d_out + at, mask=held[:, None], other=0.0)
    L = tl.load(lse + head * S + rows, mask=held, other=0.0) * 1.4426950216293335
    row_delta = tl.load(delta + head * S + rows, mask=held, other=0.0)
    centres = tl.load(centre + rows, mask=held, other=0)
    total = tl.zeros([BM, D], tl.float32)
    for i in range(0, tl.load(partial_counts + block)):
        keys_at = tl.load(partial_indices + block * MAXB + i) * BN + columns
        there = keys_at < S
        places = base + keys_at[:, None] * D + dims[None, :]
        keys = tl.load(k + places, mask=there[:, None], other=0.0)
        values = tl.load(v + places, mask=there[:, None], other=0.0)
        tiles = tl.load(tile + keys_at, mask=there, other=0)
        kept = in_window(centres[:, None], tiles[None, :], half_t, half_h, half_w) & there[None, :]
        total = dq_visit(queries, keys, values, grads, L, row_delta, total, factor, kept, True)
    for i in range(0, tl.load(full_counts + block)):
        keys_at = tl.load(full_indices + block * MAXB + i) * BN + columns
        there = keys_at < S
        places = base + keys_at[:, None] * D + dims[None, :]
        keys = tl.load(k + places, mask=there[:, None], other=0.0)
        values = tl.load(v + places, mask=there[:, None], other=0.0)
        total = dq_visit(queries, keys, values, grads, L, row_delta, total, factor, True, False)
    tl.store(dq + at, (total * softmax_scale).to(tl.bfloat16), mask=held[:, None])


@triton.jit
def dkv_visit(queries, keys, values, d_out, L, delta, dk, dv, factor, kept, MASKED: tl.constexpr):
    p = tl.exp2(tl.dot(keys, queries.T) * factor - L[None, :])
    if MASKED:
        p = tl.where(kept, p, 0.0)
    dv = tl.dot(p.to(tl.bfloat16), d_out, dv)
    ds = p * (tl.dot(values, d_out.T) - delta[None, :])
    return tl.dot(ds.to(tl.bfloat16), queries, dk), dv


@triton.jit
def flex_dkv(q, k, v, d_out, lse, delta, centre, tile,
             partial_counts, partial_indices, full_counts, full_indices, dk, dv,
             S, MAXB, half_t, half_h, half_w, factor, softmax_scale,
             D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    block = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    base = head * S * D
    keys_at = block * BN + tl.arange(0, BN)
    there = keys_at < S
    rows_of = tl.arange(0, BM)
    dims = tl.arange(0, D)
    at = base + keys_at[:, None] * D + dims[None, :]
    keys = tl.load(k + at, mask=there[:, None], other=0.0)
    values = tl.load(v + at, mask=there[:, None], other=0.0)
    tiles = tl.load(tile + keys_at, mask=there, other=0)
    total_k = tl.zeros([BN, D], tl.float32)
    total_v = tl.zeros([BN, D], tl.float32)
    for i in range(0, tl.load(partial_counts + block)):
        rows = tl.load(partial_indices + block * MAXB + i) * BM + rows_of
        held = rows < S
        places = base + rows[:, None] * D + dims[None, :]
        queries = tl.load(q + places, mask=held[:, None], other=0.0)
        grads = tl.load(d_out + places, mask=held[:, None], other=0.0)
        L = tl.load(lse + head * S + rows, mask=held, other=0.0) * 1.4426950216293335
        row_delta = tl.load(delta + head * S + rows, mask=held, other=0.0)
        centres = tl.load(centre + rows, mask=held, other=0)
        kept = in_window(centres[None, :], tiles[:, None], half_t, half_h, half_w) & held[None, :]
        total_k, total_v = dkv_visit(
            queries, keys, values, grads, L, row_delta, total_k, total_v, factor, kept, True
        )
    for i in range(0, tl.load(full_counts + block)):
        rows = tl.load(full_indices + block * MAXB + i) * BM + rows_of
        held = rows < S
        places = base + rows[:, None] * D + dims[None, :]
        queries = tl.load(q + places, mask=held[:, None], other=0.0)
        grads = tl.load(d_out + places, mask=held[:, None], other=0.0)
        L = tl.load(lse + head * S + rows, mask=held, other=0.0) * 1.4426950216293335
        row_delta = tl.load(delta + head * S + rows, mask=held, other=0.0)
        total_k, total_v = dkv_visit(
            queries, keys, values, grads, L, row_delta, total_k, total_v, factor, True, False
        )
    tl.store(dk + at, (total_k * softmax_scale).to(tl.bfloat16), mask=there[:, None])
    tl.store(dv + at, total_v.to(tl.bfloat16), mask=there[:, None])
