# Number formats, written from docs/recipes/operations.md alone: the FP32 rounding fl(), E4M3 codes,
# BF16, FP16, INT8. Arrays in, arrays out; one rounding per call. Needs NumPy and nothing of karat.

import numpy as np

F32 = np.float32
F64 = np.float64

SMALLEST_NORMAL = F32(2.0**-126)
E4M3_LARGEST = F32(448)
INT8_LARGEST = F32(127)

np.seterr(over="ignore", under="ignore", invalid="ignore", divide="ignore")
assert F32(2.0**-126) / F32(2) > 0, "this process flushes subnormals: its FP32 cannot be trusted"


def fl(x):
    """A float32 result of one NumPy operation, with subnormals flushed to a zero of their sign."""
    x = np.asarray(x)
    assert x.dtype == F32, "fl() takes the float32 result of a single float32 operation"
    return np.where(np.abs(x) < SMALLEST_NORMAL, np.copysign(F32(0), x), x)


def _e4m3_values():
    """The 256 values: sign | 4 exponent bits, bias 7 | 3 mantissa bits; 0x7F and 0xFF are NaN."""
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    subnormal = mantissa * 2.0**-9
    magnitude = np.where(exponent > 0, normal, subnormal)
    magnitude[(code & 0x7F) == 0x7F] = np.nan
    return np.where(code & 0x80, -magnitude, magnitude).astype(F32)


E4M3_VALUES = _e4m3_values()
# The factors of a step: value = significand * 2^exponent, not renormalised, zero included.
E4M3_EXPONENTS = np.maximum(np.arange(256) >> 3 & 15, 1) - 7

_MAGNITUDES = E4M3_VALUES[:0x7F].astype(F64)
_MIDPOINTS = (_MAGNITUDES[:-1] + _MAGNITUDES[1:]) / 2


def e4m3_code(x):
    """RN(x): the nearest finite E4M3 code, ties to the even code, magnitudes above 448 become 448."""
    magnitude = np.abs(np.asarray(x, F32)).astype(F64)
    assert not np.isnan(magnitude).any()
    below = np.searchsorted(_MIDPOINTS, magnitude, side="left")  # a midpoint counts as the lower
    tie = magnitude == _MIDPOINTS[np.minimum(below, len(_MIDPOINTS) - 1)]
    code = below + (tie & (below % 2 == 1))
    return (code | np.where(np.signbit(x), 0x80, 0)).astype(np.uint8)


def e4m3_value(code):
    return E4M3_VALUES[code]


def e5m2_value(x):
    """RN(x) to E5M2 as a value: nearest, ties to even, subnormals of 2^-16, beyond 57344 that."""
    x = np.asarray(x, F32).astype(F64)
    quantum = np.ldexp(1.0, np.maximum(np.frexp(x)[1] - 1, -14) - 2)
    rounded = np.minimum(np.abs(np.rint(x / quantum) * quantum), 57344)
    return np.copysign(rounded, x).astype(F32)


def e5m2_code(x):
    """The byte of RN(x): E5M2 is the upper half of FP16."""
    return (e5m2_value(x).astype(np.float16).view(np.uint16) >> 8).astype(np.uint8)


def e5m2_decoded(code):
    return (np.asarray(code, np.uint16) << 8).view(np.float16).astype(F32)


E2M1_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], F32)


def e2m1_value(x):
    """RN(x) to E2M1 as a value: nearest, ties to the even code, magnitudes beyond 6 become 6."""
    magnitude = np.abs(np.asarray(x, F32)).astype(F64)
    midpoints = (E2M1_VALUES[:-1].astype(F64) + E2M1_VALUES[1:]) / 2
    code = np.searchsorted(midpoints, magnitude, side="left")
    tie = magnitude == midpoints[np.minimum(code, len(midpoints) - 1)]
    return np.copysign(E2M1_VALUES[code + (tie & (code % 2 == 1))], np.asarray(x, F32))


def bf16_bits(x):
    """Float32 to BF16, nearest, ties to even, as uint16; too large: Inf. NaN becomes 0x7FFF."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, rounded).astype(np.uint16)


def bf16_value(bits):
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(F32)


def f16_bits(x):
    """Float32 to FP16, nearest, ties to even, as uint16; too large: Inf. NaN becomes 0x7FFF."""
    bits = np.asarray(x, F32).astype(np.float16).view(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), bits)


def f16_value(bits):
    return np.asarray(bits, np.uint16).view(np.float16).astype(F32)


def int8_code(x):
    """The nearest integer, ties away from zero, within [-128, 127]."""
    x = np.asarray(x, F32).astype(F64)
    return np.clip(np.copysign(np.floor(np.abs(x) + 0.5), x), -128, 127).astype(np.int8)
