# Operands: what stands before Q K^T and P V, written from docs/recipes/operations.md alone. Rows
# are positions, columns channels.

import math
from dataclasses import dataclass

import numpy as np

from formats import (E4M3_LARGEST, F32, F64, INT8_LARGEST, bf16_bits, bf16_value, e2m1_value,
                     e4m3_code, e4m3_value, f16_bits, fl, int8_code)
from philox import random_word
from video import tiles_of_tokens


@dataclass
class Operand:
    """Q, K or V as they enter the tensor core."""
    codes: np.ndarray  # [position, channel]: codes, bits of BF16 and FP16, or float32
    scales: np.ndarray = None  # per group, where the format has them
    group_of_row: np.ndarray = None  # per position; None: a scale per channel, or one for all


def plain_f32(x):
    return Operand(x)


def plain_bf16(x):
    return Operand(bf16_bits(x))


def plain_f16(x):
    return Operand(f16_bits(x))


# Scale rules: the scale of a group from its amax.


def guard_one(limit):
    """fl(amax/limit), 1 in place of 0."""
    return lambda amax: one_for_zero(fl(amax / limit))


def guard_add(limit):
    """fl(fl(amax/limit) + 1e-7)."""
    return lambda amax: fl(fl(amax / limit) + F32(1e-7))


def guard_floor_1e_4(limit):
    """fl(max(amax, 1e-4)/limit)."""
    return lambda amax: fl(np.maximum(amax, F32(1e-4)) / limit)


def power_of_two(limit):
    """2^(floor(log2 amax) - floor(log2 limit)), 1 in place of 0."""
    def scale(amax):
        power = np.ldexp(F32(1), np.frexp(amax)[1] - np.frexp(F32(limit))[1])
        return one_for_zero(fl(np.where(amax == 0, F32(0), power)))
    return scale


def one_for_zero(s):
    return np.where(s == 0, F32(1), s)


E4M3 = e4m3_code, E4M3_LARGEST
INT8 = int8_code, INT8_LARGEST


def per_group(x, groups, kind, guard):
    """One scale for all channels of the rows of a group; code = RN(fl(x/s))."""
    round_to, limit = kind
    group_of_row, count = groups
    amax = np.zeros(count, F32)
    np.maximum.at(amax, group_of_row, np.abs(x).max(axis=1))
    scales = guard(limit)(amax)
    return Operand(round_to(fl(x / scales[group_of_row, None])), scales, group_of_row)


def per_channel(x, guard=guard_one, round_to=e4m3_code):
    """E4M3, one scale per channel over all tokens."""
    scales = guard(E4M3_LARGEST)(np.abs(x).max(axis=0))
    return Operand(round_to(fl(x / scales)), scales)


def per_channel_inverse(x, limit):
    """E4M3 of fl(x * fl(limit/amax)), one scale per channel; of x where that scale would be 0."""
    amax = np.abs(x).max(axis=0)
    scale = fl(amax / limit)
    factor = np.where(scale == 0, F32(1), fl(limit / amax))
    return Operand(e4m3_code(fl(x * factor)), one_for_zero(scale))


def per_tensor_times(x, multiplier):
    """E4M3 of fl(x*multiplier)."""
    s = fl(F32(1) / F32(multiplier))
    return Operand(e4m3_code(fl(x * F32(multiplier))), np.array([s]), np.zeros(len(x), int))


def fp4_as_bf16(x):
    """E2M1 per 16 channels, scale in E4M3, entering as BF16."""
    return plain_bf16(fp4_values(x))


def fp4_values(x):
    """fl(code*s) of E2M1 per 16 columns, scale in E4M3."""
    out = np.empty_like(x)
    for begin in range(0, x.shape[1], 16):
        group = x[:, begin:begin + 16]
        amax = np.abs(group).max(axis=1, keepdims=True)
        s = one_for_zero(e4m3_value(e4m3_code(fl(amax / F32(6)))))
        out[:, begin:begin + 16] = fl(e2m1_value(fl(group / s)) * s)
    return out


def per_tensor(x, guard=guard_one):
    return per_group(x, one_group(len(x)), E4M3, guard)


def per_tensor_of_all(x, largest):
    """E4M3, one scale for all batch entries and heads, whose largest magnitude is given."""
    s = guard_one(E4M3_LARGEST)(np.array([largest], F32))
    return Operand(e4m3_code(fl(x / s)), s, np.zeros(len(x), int))


# Groups: (group of each position, number of groups).


def one_group(length):
    return np.zeros(length, int), 1


def token_groups(length):
    return np.arange(length), length


def tile_groups(order, tile):
    """Scale tiles, row-major, whatever tiles the order follows; text is one more."""
    tiles_per_axis, tile_of_token = tiles_of_tokens(order.grid, tile)
    return tile_of_token[order.token_of_position], math.prod(tiles_per_axis) + (order.grid.text > 0)


def row_groups(blocks, rows, parts, part_of_row):
    """Each block is cut into subblocks of `rows` positions, each of `parts` groups, numbered in order."""
    group, base = [], 0
    for begin, end in blocks:
        inside = np.arange(end - begin)
        group.append(base + inside // rows * parts + part_of_row(inside % rows))
        base += -(-(end - begin) // rows) * parts
    return np.concatenate(group), base


def rows(blocks, count):
    return row_groups(blocks, count, 1, lambda row: 0 * row)


def rows_stride_8(blocks, count):
    return row_groups(blocks, count, 8, lambda row: row % 8)


def row_pairs_stride_8(blocks, count):
    return row_groups(blocks, count, 4, lambda row: row // 2 % 4)


# What comes before quantising.


def without_token_mean(x, round_to_input):
    """x minus each channel's mean over the tokens, and the means; both have the input's type."""
    sums = np.array([math.fsum(channel) for channel in x.T.astype(F64)])
    mean = round_to_input(sums / len(x))
    return round_to_input(x - mean), mean


def bf16_of(x):
    """BF16 of doubles or float32, as float32: a double is rounded to odd on its way through float32."""
    if x.dtype == F64:
        x = odd_f32(x)
    return bf16_value(bf16_bits(x))


def odd_f32(x):
    """Doubles to float32 on the same side of every BF16 midpoint: truncated, last bit set if inexact."""
    nearest = x.astype(F32)
    down = np.where(np.abs(nearest.astype(F64)) > np.abs(x), np.nextafter(nearest, F32(0)), nearest)
    sticky = (down.astype(F64) != x).astype(np.uint32)
    return (np.ascontiguousarray(down, F32).view(np.uint32) | sticky).view(F32)


def rotated(x, seed):
    """Random signs, then the Hadamard matrix, then d^-1/2."""
    d = x.shape[1]
    signs = np.array([-1 if random_word(seed, 0, i) & 1 else 1 for i in range(d)], F32)
    x = x * signs
    half = 1
    while half < d:
        pairs = x.reshape(len(x), d // (2 * half), 2, half)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        x = np.stack([fl(low + high), fl(low - high)], axis=2).reshape(len(x), d)
        half *= 2
    return fl(x * F32(1 / np.sqrt(F64(d))))
