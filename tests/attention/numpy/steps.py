# Tensor-core steps and their chains, exact integers over all outputs at once, written from the recipe
# pages alone.

import numpy as np

from formats import E4M3_EXPONENTS, E4M3_VALUES, F32, F64

NAN = np.uint32(0x7FFFFFFF).view(F32)
NO_EXPONENT = -10000  # of a zero: below every exponent that occurs, also twice


def wgmma_e4m3_step(a, b, c):
    """hopper.wgmma.e4m3.f32: D[m,n] = step(a[m,0..31], b[n,0..31], c[m,n]); a, b codes, c and D f32.

    Every quantity before the last line is an exact double: products have 8 significant bits, scaling
    is by powers of two, integers stay below 2^21.
    """
    value_a, value_b = E4M3_VALUES[a].astype(F64), E4M3_VALUES[b].astype(F64)
    nan = np.isnan(value_a).any(-1)[:, None] | np.isnan(value_b).any(-1) | np.isnan(c)
    finite_c = np.where(np.isfinite(c), c, F32(0)).astype(F64)
    value_a, value_b = np.nan_to_num(value_a), np.nan_to_num(value_b)

    exponent_a = np.where(value_a == 0, NO_EXPONENT, E4M3_EXPONENTS[a])
    exponent_b = np.where(value_b == 0, NO_EXPONENT, E4M3_EXPONENTS[b])
    largest = (exponent_a[:, None, :] + exponent_b[None, :, :]).max(-1)
    largest = np.maximum(largest, exponent_of_f32(finite_c))
    nothing = largest <= NO_EXPONENT // 2
    grid = np.ldexp(1.0, np.where(nothing, 0, largest) - 13)

    products = value_a[:, None, :] * value_b[None, :, :]
    terms = np.trunc(products / grid[:, :, None])
    total = terms.sum(-1) + np.trunc(finite_c / grid)  # exact in any order
    d = (truncate_significand(total, 13) * grid).astype(F32)
    return np.where(nan, NAN, np.where(np.isinf(c), c, d))


def wgmma_bf16_step(a, b, c):
    """hopper.wgmma.bf16.f32: D[m,n] = step(a[m,0..15], b[n,0..15], c[m,n]); all values float32.

    a, b hold BF16 values, all finite. Products have 16 significant bits and the integers stay below
    2^33, so doubles are exact up to the last line.
    """
    a, b, c = a.astype(F64), b.astype(F64), c.astype(F64)
    exponents = exponent_of_f32(a)[:, None, :] + exponent_of_f32(b)[None, :, :]
    largest = np.maximum(exponents.max(-1), np.maximum(exponent_of_f32(c), -133))
    grid = np.ldexp(1.0, largest - 25)
    products = a[:, None, :] * b[None, :, :]
    total = np.trunc(products / grid[:, :, None]).sum(-1) + np.trunc(c / grid)
    return truncate_to_f32(total * grid)


def f32_fma_step(a, b, c):
    """f32.fma: D[m,n] = a[m,0]*b[n,0] + c[m,n] rounded once, to nearest even, to float32."""
    product = a.astype(F64) * b.astype(F64).T  # exact: 48 bits
    return round_sum_to_f32(product, c.astype(F64))


def exponent_of_f32(c):
    """e of c = sig * 2^e with sig in [1,2); -126 for subnormals, NO_EXPONENT for zero."""
    exponent = np.maximum(np.frexp(c)[1] - 1, -126)
    return np.where(c == 0, NO_EXPONENT, exponent)


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
    return np.pad(x, ((0, 0), (0, length - x.shape[-1])))


def chain_wgmma_e4m3(a, b):
    return chain(wgmma_e4m3_step, 32, a, b)


def chain_wgmma_bf16(a, b, total=None):
    return chain(wgmma_bf16_step, 16, a, b, total)


def chain_f32_fma(a, b, total=None):
    return chain(f32_fma_step, 1, a, b, total)
