"""The flex_bf16 preset as a kernel: BF16, a window of tiles as a mask function, BlockMask lists.

Positions are in tile order, blocks are cut along the sequence: 128 queries, listed blocks of 128
keys, two steps of 64 keys each. Partial blocks come first, then full ones. Tiles come as three
coordinates of ten bits: of the window's centre for a query, of its own tile for a key.
Tensor descriptors are made in the kernel.

  s = (Q K^T) * c      wgmma bf16; masked pairs are -inf
  m', alpha, P         base 2, exp2 of the special-function unit
  l = l * alpha + sum of P, as Triton sums
  O = O * alpha, then O += BF16(P) V in one accumulator
  out = bf16(O / l), lse = m + log2(l)
"""

import triton
import triton.language as tl


@triton.jit
def near(centre, tile, shift: tl.constexpr, half):
    return tl.abs(((centre >> shift) & 1023) - ((tile >> shift) & 1023)) <= half


@triton.jit
def in_window(centre, tile, half_t, half_h, half_w):
    near_t, near_h = near(centre, tile, 20, half_t), near(centre, tile, 10, half_h)
    return near_t & near_h & near(centre, tile, 0, half_w)


@triton.jit
def visit(queries, keys, values, m, l, o, factor, kept, MASKED: tl.constexpr):
    s = tl.dot(queries, keys.T) * factor
    if MASKED:
        s = tl.where(kept, s, float("-inf"))
    highest = tl.maximum(m, tl.max(s, 1))
    seen = tl.where(highest == float("-inf"), 0.0, highest)
    alpha = tl.exp2(m - seen)
    p = tl.exp2(s - seen[:, None])
    l = l * alpha + tl.sum(p, 1)
    o = tl.dot(p.to(tl.bfloat16), values, o * alpha[:, None])
    return highest, l, o


@triton.jit
def flex_bf16(q, k, v, centre, tile, partial_counts, partial_indices, full_counts, full_indices,
              out, lse, S, MAXB, half_t, half_h, half_w, factor,
              D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
              LISTED: tl.constexpr):  # fmt: skip
    block = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    base = head * S * D
    q_tiles = tl.make_tensor_descriptor(q + base, [S, D], [D, 1], [BM, D])
    k_tiles = tl.make_tensor_descriptor(k + base, [S, D], [D, 1], [BN, D])
    v_tiles = tl.make_tensor_descriptor(v + base, [S, D], [D, 1], [BN, D])
    out_tiles = tl.make_tensor_descriptor(out + base, [S, D], [D, 1], [BM, D])
    rows = block * BM + tl.arange(0, BM)
    columns = tl.arange(0, BN)
    queries = q_tiles.load([block * BM, 0])
    centres = tl.load(centre + rows, mask=rows < S, other=0)
    m = tl.full([BM], float("-inf"), tl.float32)
    l = tl.zeros([BM], tl.float32)
    o = tl.zeros([BM, D], tl.float32)
    steps: tl.constexpr = LISTED // BN
    for i in range(0, tl.load(partial_counts + block) * steps):
        at = tl.load(partial_indices + block * MAXB + i // steps) * LISTED + i % steps * BN
        keys = k_tiles.load([at, 0])
        values = v_tiles.load([at, 0])
        there = at + columns < S
        tiles = tl.load(tile + at + columns, mask=there, other=0)
        kept = in_window(centres[:, None], tiles[None, :], half_t, half_h, half_w) & there[None, :]
        m, l, o = visit(queries, keys, values, m, l, o, factor, kept, True)
    for i in range(0, tl.load(full_counts + block) * steps):
        at = tl.load(full_indices + block * MAXB + i // steps) * LISTED + i % steps * BN
        keys = k_tiles.load([at, 0])
        values = v_tiles.load([at, 0])
        m, l, o = visit(queries, keys, values, m, l, o, factor, True, False)
    y = o / tl.where(l == 0.0, 1.0, l)[:, None]
    out_tiles.store([block * BM, 0], y.to(tl.bfloat16))
    tl.store(lse + head * S + rows, m + tl.log2(l), mask=rows < S)
