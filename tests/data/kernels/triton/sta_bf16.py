"""The sta_bf16 preset as a kernel: BF16, whole tiles of a window, block lists, plain pointers.

Positions are in tile order. Blocks come as tables of their first position and how many they hold;
a query block lists the key blocks it visits. A tile's last block may be short.

  s = (Q K^T) * c      wgmma bf16
  m', alpha, P         base 2, exp2 of the special-function unit
  l                    four sums a row, ascending columns
  O = O * alpha, then O += BF16(P) V in one accumulator
  out = bf16(O * rcp(l)), lse = m ln 2 + lg2(l) ln 2
"""

import triton
import triton.language as tl

from rounding import add_quads, lg2, rcp, row_sum


@triton.jit
def sta_bf16(q, k, v, q_start, q_rows, k_start, k_rows, counts, indices, out, lse,
             S, MAXB, factor,
             D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    block = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    rows = tl.load(q_start + block) + tl.arange(0, BM)
    held = tl.arange(0, BM) < tl.load(q_rows + block)
    columns = tl.arange(0, BN)
    dims = tl.arange(0, D)
    base = head * S * D
    at = base + rows[:, None] * D + dims[None, :]
    queries = tl.load(q + at, mask=held[:, None], other=0.0)
    m = tl.full([BM], float("-inf"), tl.float32)
    sums = tl.zeros([BM, 4], tl.float32)
    o = tl.zeros([BM, D], tl.float32)
    visits = tl.load(counts + block)
    for visit in range(0, visits):
        b = tl.load(indices + block * MAXB + visit)
        there = columns < tl.load(k_rows + b)
        positions = tl.load(k_start + b) + columns
        places = base + positions[:, None] * D + dims[None, :]
        keys = tl.load(k + places, mask=there[:, None], other=0.0)
        values = tl.load(v + places, mask=there[:, None], other=0.0)
        s = tl.dot(queries, keys.T) * factor
        s = tl.where(there[None, :], s, float("-inf"))
        highest = tl.maximum(m, tl.max(s, 1))
        alpha = tl.exp2(m - highest)
        p = tl.exp2(s - highest[:, None])
        sums = add_quads(sums * alpha[:, None], p, BM, BN)
        o = tl.dot(p.to(tl.bfloat16), values, o * alpha[:, None])
        m = highest
    l = row_sum(sums, BM)
    y = o * rcp(l)[:, None]
    tl.store(out + at, y.to(tl.bfloat16), mask=held[:, None])
    tl.store(lse + head * S + rows, m * 0.6931471824645996 + lg2(l) * 0.6931471824645996, mask=held)
