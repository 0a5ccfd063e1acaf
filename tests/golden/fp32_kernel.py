# FPSAttention with FP32 accumulation, written from the formulas and apart from the library: E4M3
# codes and scales per tile, a window of tiles, a streaming softmax, NumPy's matrix products and
# exp2.
#   fp32_kernel.py GOLDEN.h5 CANDIDATE.npy
#
# Reads inputs, grid and recipe; nothing that karat computed.

import json
import sys

import h5py
import numpy as np

F32 = np.float32


def bf16_values(bits):
    return (bits.astype(np.uint32) << 16).view(F32)


def round_to_bf16(x):
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).view(F32)


def round_to_e4m3(x):
    """Nearest even, saturating at 448: three fraction bits from 2^-6 on, steps of 2^-9 below."""
    x = np.clip(x.astype(np.float64), -448, 448)
    exponent = np.frexp(np.where(x == 0, 1, x))[1] - 1
    step = np.exp2(np.maximum(exponent, -6) - 3.0)
    return (np.rint(x / step) * step).astype(F32)


def quantised(x, groups):
    """Codes as values, and a scale per row of `groups` (lists of rows) or per channel (None)."""
    if groups is None:
        scale = np.abs(x).max(axis=0) / F32(448)
        return round_to_e4m3(x / scale), scale
    codes, scale = np.empty_like(x), np.empty(len(x), F32)
    for rows in groups:
        s = np.abs(x[rows]).max() / F32(448)
        codes[rows], scale[rows] = round_to_e4m3(x[rows] / s), s
    return codes, scale


def tiles_of(grid, tile):
    """Tokens of each tile, row-major inside, and the tile's coordinates."""
    t, h, w = np.meshgrid(*map(np.arange, grid), indexing="ij")
    token = np.arange(t.size).reshape(grid)
    counts = [-(-g // s) for g, s in zip(grid, tile)]
    members, coordinates = [], []
    for c in np.ndindex(*counts):
        box = tuple(slice(i * s, (i + 1) * s) for i, s in zip(c, tile))
        members.append(token[box].ravel())
        coordinates.append(c)
    return members, coordinates, counts


def seen(query, key, counts, window):
    """STA: the centre is moved inside, then half a window on every axis."""
    for q, k, count, extent in zip(query, key, counts, window):
        half = extent // 2
        centre = min(max(q, half), max(half, count - 1 - half))
        if abs(k - centre) > half:
            return False
    return True


def attention(q, k, v, grid, recipe):
    tile, window = recipe["mask"]["tile"], recipe["mask"]["window"]
    members, coordinates, counts = tiles_of(grid, tile)
    (qc, sq), (kc, sk), (vc, sv) = quantised(q, members), quantised(k, members), quantised(v, None)
    c = F32(np.log2(np.e) / np.sqrt(q.shape[1]))
    multiplier = F32(recipe["p"]["multiplier"])
    out = np.empty_like(q)
    for query_tile, query_at in zip(members, coordinates):
        for begin in range(0, len(query_tile), recipe["block"]["q"]):
            rows = query_tile[begin:begin + recipe["block"]["q"]]
            m = np.full(len(rows), -np.inf, F32)
            l = np.zeros(len(rows), F32)
            o = np.zeros((len(rows), q.shape[1]), F32)
            for key_tile, key_at in zip(members, coordinates):
                if not seen(query_at, key_at, counts, window):
                    continue
                for first in range(0, len(key_tile), recipe["block"]["k"]):
                    keys = key_tile[first:first + recipe["block"]["k"]]
                    s = (qc[rows] @ kc[keys].T) * (sq[rows][:, None] * sk[keys] * c)
                    new = np.maximum(m, s.max(axis=1))
                    alpha, p = np.exp2(m - new), np.exp2(s - new[:, None])
                    l = l * alpha + p.sum(axis=1)
                    o = o * alpha[:, None] + round_to_e4m3(p * multiplier) @ vc[keys]
                    m = new
            out[rows] = o / l[:, None] * (sv / multiplier)
    return round_to_bf16(out)


def main(golden, candidate):
    with h5py.File(golden) as file:
        recipe = json.loads(file.attrs["recipe"])
        grid = [int(n) for n in file.attrs["grid"].split(",")]
        q, k, v = (bf16_values(file["inputs"][name][:]) for name in "qkv")
    out = np.empty_like(q)
    for b, h in np.ndindex(*q.shape[:2]):
        out[b, h] = attention(q[b, h], k[b, h], v[b, h], grid, recipe)
    np.save(candidate, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
