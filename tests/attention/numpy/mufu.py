# The special-function unit's ex2, rcp and lg2, written from docs/recipes/operations.md and the tables
# it names.

import csv
import os

import numpy as np

from formats import F32, F64, fl
from steps import round_sum_to_f32

TABLES = os.path.join(os.path.dirname(__file__), "../../../numerics/functions/mufu/tables")
NAN = np.uint32(0x7FFFFFFF).view(F32)
FRACTION = (1 << 23) - 1


def table(name):
    with open(os.path.join(TABLES, name + ".csv"), newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[int(value) for value in row[1:]] for row in rows]).T


EX2, RCP, LG2 = table("ex2"), table("rcp"), table("lg2")


def squared(x):
    """Partial products below the lowest column are dropped, one by one."""
    total = np.zeros_like(x)
    for i in range(17):
        total += ((x >> i) & 1) * (x >> (18 - i))
    return total >> 1


SQUARES = squared(np.arange(1 << 17))  # of every argument, once


def squarer(x):
    return SQUARES[x]


def looked_up(coefficients, argument, bits):
    """Coefficients of an argument's segment, and its `bits` low bits."""
    return coefficients[:, argument >> bits], argument & ((1 << bits) - 1)


def bits_of(x):
    return np.asarray(x, F32).view(np.uint32).astype(np.int64)


def from_parts(significand, exponent):
    """significand * 2^exponent, +0 below 2^-126. Exact: no significand has more than 24 bits."""
    return fl(np.ldexp(significand.astype(F64), exponent).astype(F32))


def ex2(x, cut=np.trunc):
    """`cut` takes the magnitude's bits below 2^-23 away."""
    x = np.asarray(x, F32)
    bounded = np.where(np.isnan(x), F32(0), np.clip(x, F32(-128), F32(128))).astype(F64)
    fixed = cut(np.abs(bounded) * 2.0**23).astype(np.int64)
    whole, fraction = fixed >> 23, fixed & FRACTION
    negative = bounded < 0
    complement = negative & (fraction != 0)
    whole = np.where(complement, -whole - 1, np.where(negative, -whole, whole))
    fraction = np.where(complement, FRACTION - fraction, fraction)
    (c0, c1, c2), low = looked_up(EX2, fraction, 17)
    significand = ((c0 << 13) + c1 * low + c2 * squarer(low) + 0x77E2) >> 15
    power = from_parts(significand, np.clip(whole, -200, 127) - 23)
    power = np.where(x >= 128, F32(np.inf), power)
    return np.where(np.isnan(x), NAN, power)


def ex2_floor(x):
    """Negative arguments cut toward -inf."""
    return np.where(np.asarray(x, F32) < 0, ex2(x, np.ceil), ex2(x))


def rcp(x):
    """Of numbers that are neither NaN nor negative; subnormals count as 0."""
    bits = bits_of(x)
    exponent = bits >> 23
    (c0, c1, c2), low = looked_up(RCP, bits & FRACTION, 16)
    significand = ((c0 << 13) + c1 * low + c2 * squarer(2 * low) + 0x47E7) >> 15
    result = from_parts(significand, 127 - np.clip(exponent, 1, 254) - 24)
    return np.where(exponent == 0, F32(np.inf), np.where(exponent == 255, F32(0), result))


def div_full(a, b):
    """Nothing flushed but what rcp flushes; b positive."""
    scale = np.where(b > F32(2.0**126), F32(0.25), np.where(b < F32(2.0**-126), F32(2.0**24), F32(1)))
    return ((a * scale).astype(F32) * rcp((b * scale).astype(F32))).astype(F32)


LOG2F = [np.uint32(word).view(F32) for word in (
    0x3DC6B27F, 0xBE2C7F30, 0x3E2FCF2A, 0xBE374E43, 0x3E520BF4, 0xBE763C8B, 0x3E93BF99, 0xBEB8AA49, 0x3EF6384A,
    0xBF38AA3B)]


def log2f(x):
    """CUDA's without fast math, of numbers that are neither NaN nor negative."""
    x = np.asarray(x, F32)
    subnormal = x < F32(2.0**-126)
    word = bits_of(np.where(subnormal, (x * F32(2.0**23)).astype(F32), x))
    exponent = (word - 0x3F3504F3) >> 23 << 23
    whole = fma((exponent.astype(F64) * 2.0**-23).astype(F32), F32(1), np.where(subnormal, F32(-23), F32(0)))
    t = (word - exponent).astype(np.uint32).view(F32) - F32(1)
    y = np.full_like(t, LOG2F[0])
    for coefficient in LOG2F[1:]:
        y = fma(y, t, coefficient)
    fraction = fma(t, np.uint32(0x3FB8AA3B).view(F32), t * (t * y))
    return np.where(x == 0, -np.inf, np.where(np.isinf(x), np.inf, whole + fraction)).astype(F32)


def fma(a, b, c):
    product = a.astype(F64) * np.asarray(b, F64)  # exact
    return round_sum_to_f32(product, np.broadcast_to(np.asarray(c, F64), product.shape))


def lg2(x):
    """Of numbers that are neither NaN nor negative; subnormals count as 0."""
    bits = bits_of(x)
    exponent = bits >> 23
    (c0, c1, c2), low = looked_up(LG2, bits & FRACTION, 17)
    sum_ = ((c0 << 12) + c1 * low + 2 * c2 * squarer(low) + 0x3345) >> 2
    total = sum_ + ((exponent - 127) << 36)
    result = fl(total.astype(F64).astype(F32) * F32(2.0**-36))  # total is exact in FP64
    result = np.where(bits == bits_of(F32(1)), F32(0), result)
    infinity = F32(np.inf)
    return np.where(exponent == 0, -infinity, np.where(exponent == 255, infinity, result))
