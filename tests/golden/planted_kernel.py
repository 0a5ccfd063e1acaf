# FPSAttention written from docs/recipes/fpsattention.md alone, with bugs that can be switched on.
#   planted_kernel.py GOLDEN.h5 FOLDER
#
# Reads inputs, grid and recipe; nothing that karat computed. Writes FOLDER/BUG.npy with O for every
# bug, and FOLDER/none.npy.

import json
import sys

import h5py
import numpy as np

from fp32_kernel import F32, bf16_values, quantised, round_to_bf16, round_to_e4m3, seen

BUGS = ("none", "no_multiplier", "no_softmax_scale", "scales_per_tensor", "bf16_p",
        "output_in_tile_order", "heads_swapped", "mask_off_by_one_tile", "v_scales_reordered",
        "q_and_k_scales_swapped", "short_block_dropped", "h_and_w_transposed_in_tiling",
        "head_dim_padded_to_128")


def exponent(x):
    """Of E4M3 values: not renormalised below 2^-6."""
    return np.maximum(np.frexp(x)[1] - 1, -6)


def step(a, b, c):
    """One tensor-core step on 32 channels or keys: a [m, 32], b [32, n], c [m, n] or None."""
    product = a[:, :, None] * b[None]
    largest = np.where(product != 0, exponent(a)[:, :, None] + exponent(b)[None], -10000).max(axis=1)
    if c is not None:
        largest = np.maximum(largest, np.where(c != 0, np.frexp(c)[1] - 1, -10000))
    grid = np.exp2(np.maximum(largest, -1000) - 13.0)
    total = np.trunc(product / grid[:, None]).sum(axis=1)
    if c is not None:
        total = total + np.trunc(c / grid)
    fraction, power = np.frexp(total * grid)
    return np.ldexp(np.trunc(np.ldexp(fraction, 14)), power - 14)


def chain(a, b):
    """A row times a column in steps of 32; a short last step is filled with zeros."""
    total = None
    for begin in range(0, a.shape[1], 32):
        total = step(a[:, begin:begin + 32].astype(float), b[begin:begin + 32].astype(float), total)
    return total.astype(F32)


def tiling(grid, tile, axes):
    """Tokens tile by tile. `axes`: the order in which tiles, and tokens inside each, are counted."""
    counts = [g // s for g, s in zip(grid, tile)]
    token = np.arange(np.prod(grid)).reshape([n for pair in zip(counts, tile) for n in pair])
    outer, inner = [2 * a for a in axes], [2 * a + 1 for a in axes]
    return token.transpose(outer + inner).reshape(np.prod(counts), -1), counts


def attention(q, k, v, grid, recipe, bug):
    tile, block = recipe["mask"]["tile"], recipe["block"]
    axes = (0, 2, 1) if bug == "h_and_w_transposed_in_tiling" else (0, 1, 2)
    members, counts = tiling(grid, tile, axes)
    order = members.ravel()
    q, k, v = q[order], k[order], v[order]
    size = members.shape[1]
    tiles = [np.arange(n * size, (n + 1) * size) for n in range(len(members))]
    groups = [np.arange(len(q))] if bug == "scales_per_tensor" else tiles
    (qc, sq), (kc, sk), (vc, sv) = quantised(q, groups), quantised(k, groups), quantised(v, None)
    if bug == "q_and_k_scales_swapped":
        sq, sk = sk, sq
    if bug == "v_scales_reordered":
        sv = np.concatenate([sv[0::2], sv[1::2]])
    d = 128 if bug == "head_dim_padded_to_128" else q.shape[1]
    c = F32(1.4426950408889634 / (1 if bug == "no_softmax_scale" else np.sqrt(float(d))))
    multiplier = F32(1 if bug == "no_multiplier" else recipe["p"]["multiplier"])
    at = list(np.ndindex(*counts))
    keeps = np.array([[seen(i, j, counts, recipe["mask"]["window"]) for j in at] for i in at])
    if bug == "mask_off_by_one_tile":
        keeps = np.roll(keeps, 1, axis=1)
    out = np.empty_like(q)
    for tile_index, tokens in enumerate(tiles):
        for begin in range(0, size, block["q"]):
            rows = tokens[begin:begin + block["q"]]
            m = np.full(len(rows), -np.inf, F32)
            l = np.zeros((len(rows), 4), F32)
            o = np.zeros((len(rows), q.shape[1]), F32)
            for key_tile in np.flatnonzero(keeps[tile_index]):
                for first in range(0, size, block["k"]):
                    keys = tiles[key_tile][first:first + block["k"]]
                    if bug == "short_block_dropped" and len(keys) < block["k"]:
                        continue
                    s = chain(qc[rows], kc[keys].T) * (sq[rows][:, None] * sk[keys] * c)
                    new = np.maximum(m, s.max(axis=1))
                    alpha = np.exp2((m - new).astype(float)).astype(F32)
                    p = np.exp2((s - new[:, None]).astype(float)).astype(F32)
                    l *= alpha[:, None]
                    for j in range(len(keys)):
                        l[:, j // 2 % 4] += p[:, j]
                    if bug == "bf16_p":
                        t = (round_to_bf16(p * multiplier).astype(float) @ vc[keys]).astype(F32)
                    else:
                        t = chain(round_to_e4m3(p * multiplier), vc[keys])
                    o = o * alpha[:, None] + t
                    m = new
            total = (l[:, 0] + l[:, 2]) + (l[:, 1] + l[:, 3])
            out[rows] = o * (F32(1) / total)[:, None] * (sv / multiplier)
    if bug == "output_in_tile_order":
        return round_to_bf16(out)
    back = np.empty_like(out)
    back[order] = out
    return round_to_bf16(back)


def main(golden, folder):
    with h5py.File(golden) as file:
        recipe = json.loads(file.attrs["recipe"])
        grid = [int(n) for n in file.attrs["grid"].split(",")]
        q, k, v = (bf16_values(file["inputs"][name][:]) for name in "qkv")
    for bug in BUGS:
        out = np.empty_like(q)
        for b, h in np.ndindex(*q.shape[:2]):
            out[b, h] = attention(q[b, h], k[b, h], v[b, h], grid, recipe, bug)
        if bug == "heads_swapped":
            out = out[:, ::-1]
        np.save(f"{folder}/{bug}.npy", out)


if __name__ == "__main__":
    main(*sys.argv[1:])
