"""Conversions against ml_dtypes, quantisation and products against NumPy."""

import ml_dtypes
import numpy as np
import pytest
from conftest import GRID, SMALL

import karat

ALL_16 = np.arange(65536, dtype=np.uint16)
TYPES = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}


def floats(count):
    """f32 bit patterns spread over all of them, one ulp beside every tie among them."""
    step = 2**32 // count
    return (np.arange(count, dtype=np.uint64) * step + step // 3).astype(np.uint32).view(np.float32)


def assert_same_codes(codes, expected, x):
    same = codes.view(np.uint8) == expected.view(np.uint8)
    # any NaN is as good as another
    same |= np.isnan(codes.astype(np.float32)) & np.isnan(expected.astype(np.float32))
    worst = np.flatnonzero(~same)
    assert worst.size == 0, (worst.size, x[worst[:4]], codes[worst[:4]], expected[worst[:4]])


@pytest.mark.parametrize("format", TYPES)
@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16])
def test_ml_dtypes_policy_on_all_16_bit_values(format, source):
    x = ALL_16.view(source).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        assert_same_codes(karat.encode(x, format, policy="ml_dtypes"), x.astype(TYPES[format]), x)


@pytest.mark.parametrize("format", TYPES)
def test_ml_dtypes_policy_on_f32(format, long_run):
    x = floats(2**24 if long_run else 2**20)
    with np.errstate(invalid="ignore", over="ignore"):
        assert_same_codes(karat.encode(x, format, policy="ml_dtypes"), x.astype(TYPES[format]), x)


def test_policies_differ_where_they_say():
    x = np.array([1000.0, np.inf], np.float32)
    assert karat.encode(x, "e4m3").view(np.uint8).tolist() == [0x7E, 0x7E]
    assert karat.encode(x, "e4m3", policy="ml_dtypes").view(np.uint8).tolist() == [0x7F, 0x7F]
    up = karat.encode(np.float32([17.0]), "e4m3", policy={"rounding": "up"})
    assert up.view(np.uint8).tolist() == [0x59]


@pytest.mark.parametrize("type", ["bf16", "f16", "e4m3", "e5m2"])
def test_decode_is_exact(type):
    codes = ALL_16 if type in ("bf16", "f16") else ALL_16[:256].astype(np.uint8)
    seen = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, **TYPES}[type]
    x = karat.decode(karat.view_as(codes, type))
    expected = codes.view(seen).astype(np.float32)
    assert np.array_equal(x, expected, equal_nan=True)
    assert np.array_equal(karat.decode(codes.view(seen)), x, equal_nan=True)


def test_stochastic_rounding_is_unbiased_and_repeatable():
    x = np.full(1 << 16, 17.0, np.float32)  # half way between 16 and 18
    policy = {"rounding": "stochastic", "seed": 3}
    codes = karat.encode(x, "e4m3", policy=policy)
    mean = codes.astype(np.float64).mean()
    assert abs(mean - 17) < 6 / 256  # six standard errors
    assert np.array_equal(
        codes.view(np.uint8), karat.encode(x, "e4m3", policy=policy).view(np.uint8)
    )
    tail = karat.encode(x[100:], "e4m3", policy=policy | {"first": 100})
    assert np.array_equal(tail.view(np.uint8), codes[100:].view(np.uint8))


def test_quantize_per_tensor_is_absmax_over_448(heads):
    x = np.asarray(heads[0], np.float32)
    codes, scale = karat.quantize(x, rule={"format": "e4m3", "group": "tensor"})
    amax = np.abs(x).max((2, 3))
    expected = (amax / np.float32(448)).astype(np.float32)
    assert scale.shape == (1, 2, 1) and np.array_equal(scale[..., 0], expected)
    by_hand = (x / expected[..., None, None]).astype(np.float32).astype(ml_dtypes.float8_e4m3fn)
    assert np.array_equal(codes.view(np.uint8), by_hand.view(np.uint8))


def test_quantize_per_tile_and_channel(heads):
    x = np.asarray(heads[1], np.float32)
    codes, scale = karat.quantize(
        x, rule={"format": "e4m3", "group": "tile", "tile": [2, 4, 4]}, grid=GRID
    )
    tiles = np.abs(x).reshape(1, 2, 2, 2, 2, 4, 2, 4, 64).max((3, 5, 7, 8)).reshape(1, 2, 8)
    assert np.array_equal(scale, (tiles / np.float32(448)).astype(np.float32))
    codes, scale = karat.quantize(x, rule={"format": "int8", "group": "channel"})
    assert codes.dtype == np.int8 and scale.shape == (1, 2, 64)
    assert np.array_equal(scale, (np.abs(x).max(2) / np.float32(127)).astype(np.float32))


@pytest.mark.parametrize("operand", "qkv")
def test_quantize_as_the_kernel_does(heads, operand):
    found = karat.stages(*heads, recipe=SMALL, grid=GRID)
    x = heads["qkv".index(operand)]
    codes, scale = karat.quantize(x, recipe=SMALL, operand=operand, grid=GRID)
    assert np.array_equal(codes.view(np.uint8), found[f"{operand}_codes"].view(np.uint8))
    assert np.array_equal(scale, found[f"{operand}_scale"])


def e4m3(rng, *shape):
    return (rng.standard_normal(shape) * 8).astype(np.float32).astype(ml_dtypes.float8_e4m3fn)


def test_scaled_mm_with_an_exact_accumulator():
    rng = np.random.default_rng(1)
    a, b = e4m3(rng, 70, 96), e4m3(rng, 33, 96)
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    d = karat.scaled_mm(a.astype(np.float32), b.astype(np.float32).T, accumulator="exact")
    assert np.array_equal(d, exact.astype(np.float32))
    scale_a = rng.random(70, dtype=np.float32)
    scaled = karat.scaled_mm(
        a.astype(np.float32), b.astype(np.float32).T, scale_a, 0.25, accumulator="exact"
    )
    assert np.array_equal(scaled, d * (scale_a * np.float32(0.25))[:, None])


def test_scaled_mm_loses_what_the_accumulator_loses():
    """14 bits of an FP8 wgmma beside FP32: the question everybody asks."""
    rng = np.random.default_rng(2)
    a, b = e4m3(rng, 64, 4096), e4m3(rng, 16, 4096)
    exact = a.astype(np.float64) @ b.astype(np.float64).T

    def error(**how):
        d = karat.scaled_mm(a, b.T, **how)
        return np.linalg.norm(d - exact) / np.linalg.norm(exact)

    hopper, promoted = error(), error(promote_every=128)
    f32 = np.linalg.norm(
        karat.scaled_mm(a.astype(np.float32), b.astype(np.float32).T, accumulator="f32.fma") - exact
    ) / np.linalg.norm(exact)
    assert f32 < promoted / 10 < hopper / 10 and hopper < 1e-2


def test_scaled_mm_promotes_by_adding_chains():
    rng = np.random.default_rng(3)
    a, b = e4m3(rng, 5, 256), e4m3(rng, 7, 256)
    total = np.zeros((5, 7), np.float32)
    for i in (0, 128):
        piece = [np.ascontiguousarray(x[:, i : i + 128]) for x in (a, b)]
        total = total + karat.scaled_mm(piece[0], piece[1].T)
    assert np.array_equal(karat.scaled_mm(a, b.T, promote_every=128), total)
    c = rng.random((5, 7), dtype=np.float32)
    chained = karat.scaled_mm(
        np.ascontiguousarray(a[:, 128:]), np.ascontiguousarray(b[:, 128:]).T,
        c=karat.scaled_mm(np.ascontiguousarray(a[:, :128]), np.ascontiguousarray(b[:, :128]).T, c=c),
    )  # fmt: skip
    assert np.array_equal(chained, karat.scaled_mm(a, b.T, c=c))
