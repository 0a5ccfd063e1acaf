"""The fpsattention preset as a kernel: E4M3, one scale a 3-D tile, P times 448, block lists.

Positions are in tile order. No block straddles two tiles: blocks come as tables of their first
position, how many they hold and their tile; a query block lists the key blocks it visits. The last
block of a tile may be short, its keys are masked and its queries not stored.

  A = Q K^T            wgmma e4m3
  s = A * ((s_q * s_k) * c)
  m', alpha, P         base 2, exp2 of the special-function unit
  l                    four sums a row, ascending columns
  O = O * alpha + T    T = (E4M3 of 448 P) V, from zero every 128 keys
  out = bf16((O * rcp(l)) * v_scale), lse = m ln 2 + lg2(l) ln 2
"""

import triton
import triton.language as tl

from rounding import add_quads, lg2, rcp, row_sum


@triton.jit
def fpsattention(q, k, vt, q_scale, k_scale, v_scale,
                 q_start, q_rows, q_tile, k_start, k_rows, k_tile, counts, indices, out, lse,
                 S, TILES, MAXB, factor,
                 D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    block = tl.program_id(0)
    head = tl.program_id(1)
    first = tl.load(q_start + block)
    rows = tl.arange(0, BM)
    columns = tl.arange(0, BN)
    dims = tl.arange(0, D)
    queries = q.load([head * S + first, 0])
    s_q = tl.load(q_scale + head * TILES + tl.load(q_tile + block))
    m = tl.full([BM], float("-inf"), tl.float32)
    sums = tl.zeros([BM, 4], tl.float32)
    o = tl.zeros([BM, D], tl.float32)
    visits = tl.load(counts + block)
    for visit in range(0, visits):
        b = tl.load(indices + block * MAXB + visit)
        start = tl.load(k_start + b)
        keys = k.load([head * S + start, 0])
        values = vt.load([head * D, start])
        s_k = tl.load(k_scale + head * TILES + tl.load(k_tile + b))
        s = tl.dot(queries, keys.T) * (s_q * s_k * factor)
        s = tl.where(columns[None, :] < tl.load(k_rows + b), s, float("-inf"))
        highest = tl.maximum(m, tl.max(s, 1))
        alpha = tl.exp2(m - highest)
        p = tl.exp2(s - highest[:, None])
        sums = add_quads(sums * alpha[:, None], p, BM, BN)
        codes = (p * 448.0).to(tl.float8e4nv)
        o = o * alpha[:, None] + tl.dot(codes, values.T)
        m = highest
    l = row_sum(sums, BM)
    scales = tl.load(v_scale + head * D + dims)
    y = o * rcp(l)[:, None] * scales[None, :]
    at = head * S + first + rows
    held = rows < tl.load(q_rows + block)
    tl.store(out + at[:, None] * D + dims[None, :], y.to(tl.bfloat16), mask=held[:, None])
    tl.store(lse + at, m * 0.6931471824645996 + lg2(l) * 0.6931471824645996, mask=held)
