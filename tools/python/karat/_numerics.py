"""Conversions, quantisation and tensor-core products."""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

import numpy as np

from . import _core
from ._arrays import Coded, View, empty, like, view
from ._errors import ArrayError, UsageError
from ._heads import as_grid, as_text, full_shape
from ._recipe import RecipeLike, as_recipe

# karat._core's number formats by the names of tensors' types.
_FORMATS = {"i8": "int8", "u8": "u8"}
_CODE_TYPES = {
    "e4m3": "e4m3", "e5m2": "e5m2", "e8m0": "e8m0", "f16": "f16", "bf16": "bf16",
    "e2m1": "u8", "int8": "i8", "int4": "u8",
}  # fmt: skip
_ALIASES = {
    "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2", "float8_e8m0fnu": "e8m0",
    "float16": "f16", "bfloat16": "bf16", "float4_e2m1fn": "e2m1",
}  # fmt: skip


def _format(format: Any) -> str:
    name = str(format).removeprefix("torch.")
    name = _ALIASES.get(name, name)
    if name not in _CODE_TYPES:
        raise UsageError(f"format: {name!r} has no codes; give one of {', '.join(_CODE_TYPES)}")
    return name


def encode(x: Any, format: Any, *, policy: str | Mapping[str, Any] | None = None) -> Any:
    """Codes of float32 values in a format, every value one by one.

    x: float32, any shape. format: "e4m3", "e5m2", "e8m0", "e2m1", "int8", "int4", "f16", "bf16",
        or a
    dtype of PyTorch or ml_dtypes by name. policy: None is nearest even, saturating; a name of
    ``karat.names("policies")`` ("torch", "ml_dtypes", "nvidia_satfinite", ...); or a dict with any
    of base, rounding, overflow, seed, stream, first (stochastic rounding draws from Philox).

    Returns the codes under the type of that format (ml_dtypes or PyTorch; e2m1 and int4 one code a
    byte).
    """
    name = _format(format)
    seen = view(x, "x")
    if seen.type != "f32":
        raise ArrayError(f"x: is {seen.type}; encode takes float32, so that nothing rounds twice")
    codes = empty(seen.array.shape, _CODE_TYPES[name])
    text = json.dumps(dict(policy)) if isinstance(policy, Mapping) else policy
    _core.encode(seen.array, name, text, codes)
    return like(codes, _CODE_TYPES[name], seen.torch)


def decode(codes: Any, format: Any = None) -> Any:
    """Exact float32 values of codes, any shape. ``format`` is needed for plain integers only."""
    seen = view(codes, "codes")
    name = _FORMATS.get(seen.type, seen.type) if format is None else _format(format)
    if name not in _CODE_TYPES:
        raise ArrayError(
            f"codes: are {seen.type}; give a float8, float16 or bfloat16 type, or say format="
        )
    x = np.empty(seen.array.shape, np.float32)
    _core.decode(seen.array, name, x)
    return like(x, "f32", seen.torch)


def quantize(
    x: Any,
    *,
    recipe: RecipeLike | None = None,
    operand: str = "q",
    rule: Mapping[str, Any] | None = None,
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    threads: int = 0,
) -> tuple[Any, Any]:
    """Codes and scales of one operand, x = scale * code.

    x: float32, float16 or bfloat16 [B, H, S, D] or [B, S, H, D]; leading dimensions of 1 may be
        missing.
    recipe, operand: as that recipe's kernel treats its "q", "k" or "v", smoothing and rotation
        too; or
    rule: the fields of an operand alone, ``{"format": "e4m3", "group": "tile", "tile": [6, 8, 8]}``
    (docs/recipe.md), on tokens in their own order. grid: (T, H, W), needed by groups that follow
        tiles and by recipes that do (``Recipe.grid_reason``). text: tokens behind the
        video's.

    Returns (codes, scale): codes in x's shape under the format's type, scale float32 [B, H,
    groups], or None where the format has no scale. Groups are numbered tiles and tokens row-major,
    channels in order.
    """
    if (recipe is None) == (rule is None):
        raise UsageError("quantize: wants either recipe= (and operand=) or rule=; give one of them")
    if rule is not None:
        if not isinstance(rule, Mapping):
            raise ArrayError(f"rule: {type(rule).__name__} is no dict; give the operand's fields")
        by_channel = rule.get("group") in ("channel", "tile_channel")
        operand = "v" if by_channel else "q"
        # A rule alone knows no order but the tokens' own.
        made: dict[str, Any] = {
            "mask": {"tile": [1, 1, 1]}, "block": {"align": "sequence"}, operand: dict(rule),
        }  # fmt: skip
        if rule.get("group") == "tile_channel":
            made["pv"] = {"promote_every": 128}
        recipe = json.dumps(made, sort_keys=True)
    seen = view(x, "x")
    if seen.type not in ("f32", "f16", "bf16"):
        raise ArrayError(f"x: {seen.type} is not taken; give float32, float16 or bfloat16")
    batch, heads, tokens, channels = full_shape(seen.array.shape, layout, "x")
    given = _core.Heads(
        q=seen.array, k=seen.array, v=seen.array, type=seen.type, layout=layout,
        shape=(batch, heads, heads, tokens, channels), grid=as_grid(grid), text=as_text(text),
    )  # fmt: skip
    named, _ = _core.quantise(as_recipe(recipe)._core, operand, given, threads=threads)
    found = {name: (type, array) for name, type, array in named}
    type_, codes = found["codes"]
    out = like(codes.reshape(seen.array.shape), type_, seen.torch)
    if "scale" not in found:
        return out, None
    return out, like(found["scale"][1], "f32", seen.torch)


def _operand(x: Any, name: str, wanted: str) -> View:
    seen = view(x, name)
    have = {"i8": "s8"}.get(seen.type, seen.type)
    if have != wanted and not (wanted in ("f32", "tf32") and seen.type == "f32"):
        raise ArrayError(
            f"{name}: is {seen.type} where the accumulator's instruction takes {wanted}"
        )
    if seen.array.ndim != 2:
        raise UsageError(f"{name}: shape {seen.array.shape} is no matrix")
    return seen


def _transposed(b: Any) -> Any:
    if isinstance(b, Coded):
        return Coded(b.codes.T, b.type)
    return b.t() if hasattr(b, "t") else b.T


def scaled_mm(
    a: Any,
    b: Any,
    scale_a: Any = None,
    scale_b: Any = None,
    *,
    accumulator: str = "hopper.wgmma.e4m3.f32",
    c: Any = None,
    promote_every: int = 0,
    threads: int = 0,
) -> Any:
    """torch._scaled_mm with the accumulator of a named instruction, bit for bit.

    a [M, K], b [K, N] in the instruction's input type; a column-major b, as tensor cores want it (the
    ``.t()`` of a contiguous [N, K]), is read where it lies. accumulator: one of ``karat.names("instructions")``; "exact"
    and "f32.fma" take float32. c: float32 [M, N], where the chain begins. promote_every: after
    every n of K the sum moves to an FP32 accumulator (DeepGEMM: 128). scale_a, scale_b: float32,
    one or per row of a and per column of b.

    Returns float32 [M, N]: fl(D * fl(scale_a * scale_b)), the last product only where a scale is
    given.
    """
    if accumulator not in _instructions():
        one = np.zeros((1, 1), np.float32)
        _core.scaled_mm(accumulator, "f32", a=one, b=one, d=one.copy())  # raises, naming the nearest
    parts = accumulator.split(".")
    wanted = parts[2] if len(parts) == 4 else "f32"
    first = _operand(a, "a", wanted)
    second = _operand(_transposed(b), "b", wanted)
    if first.array.shape[1] != second.array.shape[1]:
        raise UsageError(
            f"b: has K = {second.array.shape[1]} where a has {first.array.shape[1]}; give a [M, K] "
            "and b [K, N]"
        )
    rows, columns = first.array.shape[0], second.array.shape[0]

    def scales(x: Any, name: str, count: int) -> np.ndarray | None:
        if x is None:
            return None
        if isinstance(x, (int, float)):
            return np.array([x], np.float32)
        seen = view(x, name)
        if seen.type != "f32":
            raise ArrayError(f"{name}: is {seen.type}; give float32")
        if seen.array.size not in (1, count):
            raise UsageError(
                f"{name}: {seen.array.size} scales for {count} rows; give 1 or {count}"
            )
        return seen.array.reshape(-1)

    start = None
    if c is not None:
        start = view(c, "c")
        if start.type != "f32" or start.array.shape != (rows, columns):
            raise UsageError(f"c: must be float32 [{rows}, {columns}]")
    d = np.empty((rows, columns), np.float32)
    _core.scaled_mm(
        accumulator, wanted, a=first.array, b=second.array, d=d, c=start.array if start else None,
        scale_a=scales(scale_a, "scale_a", rows), scale_b=scales(scale_b, "scale_b", columns),
        promote_every=promote_every, threads=threads,
    )  # fmt: skip
    return like(d, "f32", first.torch)


def _instructions() -> frozenset[str]:
    global _known
    if _known is None:
        _known = frozenset(json.loads(_core.names("instructions")))
    return _known


_known: frozenset[str] | None = None


def generate(
    kind: str = "video",
    *,
    grid: Sequence[int],
    text: int = 0,
    heads: int = 1,
    kv_heads: int = 0,
    batch: int = 1,
    head_dim: int = 128,
    seed: int = 0,
    sigma: float = 0.5,
    head_kind: str | None = None,
    do: bool = False,
    torch: bool = False,
    threads: int = 0,
) -> tuple[Any, ...]:
    """Q, K, V of a workload made from a seed, bfloat16 [B, H, S, D] (docs/workloads.md).

    kind: one of ``karat.names("workloads")``. text: tokens behind the video's. kv_heads: heads of K
    and V, a divisor of heads; 0: as many. do: a gradient of the output as a fourth array. torch: as
    PyTorch tensors. Values depend on the arguments alone.
    """
    question: dict[str, Any] = dict(
        kind=kind, grid=[int(n) for n in grid], text=text, heads=heads, kv_heads=kv_heads,
        batch=batch, head_dim=head_dim, seed=seed, sigma=sigma,
    )  # fmt: skip
    if head_kind is not None:
        question["head_kind"] = head_kind
    if do:
        question["do"] = True
    named, _ = _core.generate(json.dumps(question), threads)
    made = {name: like(array, type, torch) for name, type, array in named}
    names = ("q", "k", "v", "do") if do else ("q", "k", "v")
    return tuple(made[name] for name in names)


__all__ = ["decode", "encode", "generate", "quantize", "scaled_mm"]
