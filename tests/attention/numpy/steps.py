# Tensor-core steps and their chains, exact integers over all outputs at once, written from the recipe
# pages alone.

import numpy as np

from formats import E4M3_EXPONENTS, E4M3_VALUES, F32, F64

NAN_WORD = np.uint32(0x7FFFFFFF)
NO_EXPONENT = -10000  # of a zero: below every exponent that occurs, also twice


def wgmma_e4m3_step(a, b, c):
    """hopper.wgmma.e4m3.f32: D[m,n] = step(a[m,0..31], b[n,0..31], c[m,n]); a, b codes, c and D f32.

    Every quantity before the last line is an exact double: products have 8 significant bits, scaling
    is by powers of two, integers stay below 2^21.
    """
    value_a, value_b, c = E4M3_VALUES[a].astype(F64), E4M3_VALUES[b].astype(F64), c.astype(F64)
    special = ~np.isfinite(c) | np.isnan(value_a).any(-1)[:, None] | np.isnan(value_b).any(-1)
    word = np.where(np.isinf(c) & ~(np.isnan(value_a).any(-1)[:, None] | np.isnan(value_b).any(-1)),
                    c.astype(F32).view(np.uint32), NAN_WORD)
    value_a, value_b, c = np.nan_to_num(value_a), np.nan_to_num(value_b), np.where(special, 0, c)

    exponent_a = np.where(value_a == 0, NO_EXPONENT, E4M3_EXPONENTS[a])
    exponent_b = np.where(value_b == 0, NO_EXPONENT, E4M3_EXPONENTS[b])
    largest = (exponent_a[:, None, :] + exponent_b[None, :, :]).max(-1)
    largest = np.maximum(largest, exponent_of_f32(c))
    nothing = largest <= NO_EXPONENT // 2
    per_grid = 13 - np.where(nothing, 0, largest)  # 1/grid = 2^per_grid

    products = value_a[:, None, :] * value_b[None, :, :]
    terms = np.trunc(np.ldexp(products, per_grid[:, :, None]))
    total = terms.sum(-1) + np.trunc(np.ldexp(c, per_grid))  # exact in any order
    d = np.ldexp(truncate_significand(total, 13), -per_grid)
    d = np.where(total == 0, 0.0, d).astype(F32)
    return np.where(special, word, d.view(np.uint32)).view(F32)


def exponent_of_f32(c):
    """e of c = sig * 2^e with sig in [1,2); -126 for subnormals, NO_EXPONENT for zero."""
    exponent = np.maximum(np.frexp(c)[1] - 1, -126)
    return np.where(c == 0, NO_EXPONENT, exponent)


def truncate_significand(x, fraction_bits):
    """x cut toward zero to so many fraction bits at its own exponent."""
    mantissa, exponent = np.frexp(x)  # mantissa in [1/2, 1)
    return np.ldexp(np.trunc(np.ldexp(mantissa, fraction_bits + 1)), exponent - fraction_bits - 1)


def chain(step, length, a, b):
    """Steps over the last axis in groups of `length`, the first without accumulator, zero-filled."""
    total = np.zeros((len(a), len(b)), F32)
    for start in range(0, a.shape[-1], length):
        group_a, group_b = (fill(x[:, start:start + length], length) for x in (a, b))
        total = step(group_a, group_b, total)
    return total


def fill(x, length):
    return np.pad(x, ((0, 0), (0, length - x.shape[-1])))


def chain_wgmma_e4m3(a, b):
    return chain(wgmma_e4m3_step, 32, a, b)
