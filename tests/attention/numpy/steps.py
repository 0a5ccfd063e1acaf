# Tensor-core steps and their chains, exact integers over all outputs at once, written from the
# recipe pages alone. a and b are [row, k] and [column, k]: codes of E4M3, integers, or float32
# values.

import numpy as np

from formats import E4M3_EXPONENTS, E4M3_VALUES, F32, F64

NAN = np.uint32(0x7FFFFFFF).view(F32)
NO_EXPONENT = -10000  # of a zero: below every exponent that occurs, also twice
NO_E4M3_EXPONENT = -60  # likewise, twice of it in eight bits


def wgmma_e4m3_step(a, b, c):
    """hopper.wgmma.e4m3.f32: D[m,n] = step(a[m,0..31], b[n,0..31], c[m,n]); a, b codes, c and D f32."""
    total, grid = aligned_e4m3(a, b, np.where(np.isfinite(c), c, F32(0)))
    d = (truncate_significand(total, 13) * grid).astype(F32)
    nan = has_nan(a)[:, None] | has_nan(b) | np.isnan(c)
    return np.where(nan, NAN, np.where(np.isinf(c), c, d))


def ada_e4m3_step(a, b, c):
    """ada.mma.e4m3.f32: k 0..15, then k 16..31 on the first result."""
    return wgmma_e4m3_step(a[:, 16:], b[:, 16:], wgmma_e4m3_step(a[:, :16], b[:, :16], c))


def ada_e4m3_f16_step(a, b, c):
    """ada.mma.e4m3.f16: the same, each result rounded to FP16; finite operands, c holds FP16 values."""
    for half in (slice(0, 16), slice(16, 32)):
        total, grid = aligned_e4m3(a[:, half], b[:, half], c)
        c = (total * grid).astype(np.float16).astype(F32) + F32(0)  # never -0
    return c


def aligned_e4m3(a, b, c):
    """Sum of the truncated terms and their grid, E = largest exponent, grid = 2^(E-13).

    Everything is exact: products have 8 significant bits, scaling is by powers of two, the integers
    stay below 2^21. Products that are not zero have exponents from -12 on.
    """
    value_a, value_b = np.nan_to_num(E4M3_VALUES[a]), np.nan_to_num(E4M3_VALUES[b])
    exponent_a = np.where(value_a == 0, NO_E4M3_EXPONENT, E4M3_EXPONENTS[a]).astype(np.int8)
    exponent_b = np.where(value_b == 0, NO_E4M3_EXPONENT, E4M3_EXPONENTS[b]).astype(np.int8)
    of_products = pairs(np.add, exponent_a, exponent_b).max(0).astype(int)
    c = c.astype(F64)
    largest = np.maximum(np.where(of_products < -12, NO_EXPONENT, of_products), exponent_of_f32(c))
    largest = np.where(largest == NO_EXPONENT, 0, largest)
    to_grid = np.ldexp(F32(1), 13 - np.maximum(largest, -12))
    terms = pairs(np.multiply, value_a, value_b)
    terms *= to_grid
    np.trunc(terms, out=terms)
    grid = np.ldexp(1.0, largest - 13)
    return terms.sum(0).astype(F64) + np.trunc(c / grid), grid


def pairs(operation, a, b):
    """[k, row, column], in this order since NumPy goes along columns and reduces the first axis fast."""
    return operation(a.T[:, :, None], np.ascontiguousarray(b.T)[:, None, :])


def has_nan(codes):
    return ((codes & 0x7F) == 0x7F).any(-1)


def wgmma_bf16_step(a, b, c):
    """hopper.wgmma.bf16.f32: D[m,n] = step(a[m,0..15], b[n,0..15], c[m,n]), all finite."""
    return aligned_f32(a, b, c, smallest=-126, floor=-133, fraction=25)


def ampere_bf16_step(a, b, c):
    """ampere.mma.bf16.f32: k 0..7, then k 8..15 on the first result."""
    first = aligned_f32(a[:, :8], b[:, :8], c, smallest=-126, floor=-132, fraction=24)
    return aligned_f32(a[:, 8:], b[:, 8:], first, smallest=-126, floor=-132, fraction=24)


def ampere_f16_step(a, b, c):
    """ampere.mma.f16.f32: likewise with FP16 values."""
    first = aligned_f32(a[:, :8], b[:, :8], c, smallest=-14, floor=-132, fraction=24)
    return aligned_f32(a[:, 8:], b[:, 8:], first, smallest=-14, floor=-132, fraction=24)


def wgmma_mixed_fp8_step(a, b, c, smallest_a, smallest_b):
    """hopper.wgmma.e4m3.e5m2.f32 and the reverse, on finite values: F = 13, no FLOOR; `smallest` the exponents of
    the formats' subnormals."""
    a, b, c = a.astype(F64), b.astype(F64), c.astype(F64)
    exponents = exponent_of(a, smallest_a)[:, None, :] + exponent_of(b, smallest_b)[None, :, :]
    largest = np.maximum(np.where(exponents < -100, NO_EXPONENT, exponents).max(-1), exponent_of_f32(c))
    grid = np.ldexp(1.0, np.where(largest == NO_EXPONENT, 0, largest) - 13)
    terms = np.trunc(a[:, None, :] * b[None, :, :] / grid[:, :, None])
    return (truncate_significand(terms.sum(-1) + np.trunc(c / grid), 13) * grid).astype(F32) + F32(0)


def tcgen05_e4m3_step(a, b, c):
    """blackwell.tcgen05.e4m3.f32: a, b codes of finite values; F = 25, no FLOOR."""
    a, b, c = E4M3_VALUES[a].astype(F64), E4M3_VALUES[b].astype(F64), c.astype(F64)
    exponents = exponent_of(a, -6)[:, None, :] + exponent_of(b, -6)[None, :, :]
    largest = np.maximum(np.where(exponents < -100, NO_EXPONENT, exponents).max(-1), exponent_of_f32(c))
    grid = np.ldexp(1.0, np.where(largest == NO_EXPONENT, 0, largest) - 25)
    terms = np.trunc(a[:, None, :] * b[None, :, :] / grid[:, :, None])
    return truncate_to_f32((terms.sum(-1) + np.trunc(c / grid)) * grid)


def aligned_f32(a, b, c, smallest, floor, fraction):
    """One aligned truncated sum of BF16 or FP16 values, `smallest` the exponent of their subnormals.

    Products have at most 22 significant bits and the integers stay below 2^33: doubles are exact.
    """
    a, b, c = a.astype(F64), b.astype(F64), c.astype(F64)
    exponents = pairs(np.add, exponent_of(a, smallest).astype(np.int16), exponent_of(b, smallest).astype(np.int16))
    largest = np.maximum(exponents.max(0), np.maximum(exponent_of_f32(c), floor))
    grid = np.ldexp(1.0, largest - fraction)
    terms = pairs(np.multiply, a, b)
    terms *= np.ldexp(1.0, fraction - largest)
    np.trunc(terms, out=terms)
    return truncate_to_f32((terms.sum(0) + np.trunc(c / grid)) * grid)


def f32_fma_step(a, b, c):
    """f32.fma: D[m,n] = a[m,0]*b[n,0] + c[m,n] rounded once, to nearest even, to float32."""
    product = a.astype(F64) * b.astype(F64).T  # exact: 48 bits
    return round_sum_to_f32(product, c.astype(F64))


def exponent_of(x, smallest):
    """e of x = sig * 2^e with sig in [1,2); `smallest` for subnormals, NO_EXPONENT for zero."""
    exponent = np.maximum(np.frexp(x)[1] - 1, smallest)
    return np.where(x == 0, NO_EXPONENT, exponent)


def exponent_of_f32(c):
    return exponent_of(c, -126)


def truncate_significand(x, fraction_bits):
    """x cut toward zero to so many fraction bits at its own exponent."""
    mantissa, exponent = np.frexp(x)  # mantissa in [1/2, 1)
    return np.ldexp(np.trunc(np.ldexp(mantissa, fraction_bits + 1)), exponent - fraction_bits - 1)


def truncate_to_f32(x):
    """Doubles to float32, toward zero: 23 fraction bits, multiples of 2^-149 below 2^-126."""
    quantum = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - 1, -126) - 23)
    return (np.trunc(x / quantum) * quantum).astype(F32) + F32(0)  # never -0


def round_sum_to_f32(x, y):
    """x + y of doubles, rounded once to float32.

    The double sum is made odd where it is inexact (its last bit set, so that it lies on the exact sum's
    side of every float32 number and midpoint); with 53 >= 24 + 2 bits its rounding is then the exact
    sum's (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums").
    """
    total = x + y
    back = total - x
    error = (x - (total - back)) + (y - back)  # exact: total + error = x + y
    odd = total.view(np.int64) & 1 == 1
    toward = np.where(error > 0, np.inf, -np.inf)
    return np.where((error != 0) & ~odd, np.nextafter(total, toward), total).astype(F32)


def chain(step, length, a, b, total=None):
    """Steps over the last axis in groups of `length`, zero-filled, the first one adding to `total`."""
    total = np.zeros((len(a), len(b)), F32) if total is None else total
    for start in range(0, a.shape[-1], length):
        group_a, group_b = (fill(x[:, start:start + length], length) for x in (a, b))
        total = step(group_a, group_b, total)
    return total


def fill(x, length):
    """x with columns of zeros up to `length`. (np.pad takes longer than a small step.)"""
    if x.shape[-1] == length:
        return x
    filled = np.zeros((len(x), length), x.dtype)
    filled[:, :x.shape[-1]] = x
    return filled


def fill_to_multiple(x, length):
    return fill(x, x.shape[-1] + -x.shape[-1] % length)


def chain_wgmma_e4m3(a, b, total=None):
    return chain(wgmma_e4m3_step, 32, a, b, total)


def chain_ada_e4m3(a, b, total=None):
    return chain(ada_e4m3_step, 32, a, b, total)


def chain_ada_e4m3_f16(a, b, total=None):
    return chain(ada_e4m3_f16_step, 32, a, b, total)


def chain_wgmma_e4m3_e5m2(a, b, total=None):
    return chain(lambda *operands: wgmma_mixed_fp8_step(*operands, -6, -14), 32, a, b, total)


def chain_wgmma_e5m2_e4m3(a, b, total=None):
    return chain(lambda *operands: wgmma_mixed_fp8_step(*operands, -14, -6), 32, a, b, total)


def chain_tcgen05_e4m3(a, b, total=None):
    return chain(tcgen05_e4m3_step, 32, a, b, total)


def chain_wgmma_bf16(a, b, total=None):
    return chain(wgmma_bf16_step, 16, a, b, total)


def chain_ampere_bf16(a, b, total=None):
    return chain(ampere_bf16_step, 16, a, b, total)


def chain_ampere_f16(a, b, total=None):
    return chain(ampere_f16_step, 16, a, b, total)


def chain_f32_fma(a, b, total=None):
    return chain(f32_fma_step, 1, a, b, total)


def chain_s8(a, b):
    """s8.s32: the exact sum, as float32; here it fits 24 bits, so that nothing is rounded."""
    total = a.astype(F64) @ b.astype(F64).T
    assert np.abs(total).max() < 2**24
    return total.astype(F32)


def chain_exact(a, b, total=None):
    """exact: products and sums in FP64, k ascending, rounded once to FP32."""
    total = np.zeros((len(a), len(b))) if total is None else total.astype(F64)
    for k in range(a.shape[-1]):
        total = total + a[:, None, k].astype(F64) * b[None, :, k].astype(F64)
    return total.astype(F32)
