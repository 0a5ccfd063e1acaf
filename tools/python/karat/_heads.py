"""Q, K and V of a call: shapes, grid and text, checked against each other."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, Sequence

import numpy as np

from . import _core
from ._arrays import View, view
from ._errors import ArrayError, UsageError

_STORED = {"f32", "f16", "bf16"}
_CODES = {"e4m3", "e5m2", "i8", "u8"}

Scales = tuple[Any, Any, Any]  # of q, k and v; None where they are values


class GivenScales(NamedTuple):
    """What makes q, k and v codes."""

    types: tuple[str, str, str]
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]  # float32 [B, H, groups]


class Heads(NamedTuple):
    """Q, K, V checked against each other."""

    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]
    type: str
    torch: bool
    layout: str
    shape: tuple[int, int, int, int, int]  # batch, heads, heads of k and v, tokens, channels
    given_shape: tuple[int, ...]  # of q
    grid: tuple[int, int, int]
    text: int
    scales: GivenScales | None = None

    def request(self) -> _core.Heads:
        """As every function of karat._core takes them."""
        q, k, v = self.arrays
        return _core.Heads(
            q=q, k=k, v=v, type=self.type, layout=self.layout, shape=self.shape, grid=self.grid,
            text=self.text, scale_types=self.scales and self.scales.types,
            scales=self.scales and self.scales.arrays,
        )  # fmt: skip

    def rows_shape(self) -> tuple[int, ...]:
        """Shape of lse, m and l: [B, H, S], with the same leading dimensions left out as q has."""
        batch, count, _, tokens, _ = self.shape
        return (batch, count, tokens)[4 - len(self.given_shape) :]


def full_shape(shape: Sequence[int], layout: str, name: str) -> tuple[int, int, int, int]:
    """Batch, heads, tokens, channels of a tensor whose leading dimensions of 1 may be missing."""
    if layout not in ("BHSD", "BSHD"):
        raise UsageError(f'layout: {layout!r} is not known; give "BHSD" or "BSHD"')
    if not 2 <= len(shape) <= 4:
        raise UsageError(
            f"{name}: shape {tuple(shape)} has {len(shape)} dimensions; give "
            f"{', '.join(layout)} (leading dimensions of 1 may be missing)"
        )
    if layout == "BHSD":
        b, h, s, d = (1,) * (4 - len(shape)) + tuple(shape)
    elif len(shape) == 2:
        b, h, (s, d) = 1, 1, shape
    else:
        b, s, h, d = (1,) * (4 - len(shape)) + tuple(shape)
    return b, h, s, d


def as_grid(grid: Sequence[int] | None) -> tuple[int, int, int]:
    """T, H, W; three zeros when nothing is said."""
    if grid is None:
        return (0, 0, 0)
    try:
        t, h, w = (int(n) for n in grid)
    except (TypeError, ValueError):
        raise UsageError(f"grid: {grid!r} is no (T, H, W); give three whole numbers") from None
    if min(t, h, w) < 1 or t * h * w >= 2**31:
        raise UsageError(f"grid: {(t, h, w)} has no tokens or too many; give three numbers from 1")
    return (t, h, w)


def as_text(text: Any) -> int:
    """Tokens behind the video's."""
    try:
        count = operator.index(text)
    except TypeError:
        raise UsageError(f"text: {text!r} is no number of tokens; give a whole number") from None
    if not 0 <= count < 2**31:
        raise UsageError(f"text: {count} tokens; give how many stand behind the video's, from 0")
    return count


def _require_values(views: Sequence[View]) -> None:
    for seen, name in zip(views, "qkv"):
        if seen.type in _CODES:
            raise ArrayError(
                f"{name}: {seen.type} codes without their scales; give q_scale, k_scale and "
                "v_scale beside them, or float32, float16 or bfloat16"
            )
        if seen.type not in _STORED:
            raise ArrayError(
                f"{name}: {seen.type} is not taken; give float32, float16 or bfloat16"
            )
        if seen.type != views[0].type:
            raise ArrayError(
                f"{name}: is {seen.type} where q is {views[0].type}; give all three in one type"
            )


def _given_scales(
    views: Sequence[View], scales: Scales, heads: tuple[int, int, int]
) -> GivenScales | None:
    """``heads``: batch, heads of q, heads of k and v."""
    if all(scale is None for scale in scales):
        return None
    batch, *counts = heads
    arrays = []
    for seen, scale, name in zip(views, scales, "qkv"):
        if scale is None:
            raise UsageError(
                f"{name}_scale: is missing beside other scales; give all three, or q, k and v as "
                "values"
            )
        if seen.type not in _CODES:
            raise ArrayError(
                f"{name}: is {seen.type} beside {name}_scale; give its codes (float8, int8 or "
                "uint8), or leave all three scales out"
            )
        made = view(scale, f"{name}_scale")
        if made.type != "f32":
            raise ArrayError(f"{name}_scale: is {made.type}; give float32")
        rows = batch * counts[name != "q"]
        if made.array.size == 0 or made.array.size % rows or made.array.ndim > 3:
            raise UsageError(
                f"{name}_scale: shape {made.array.shape} is not [B, H, groups] of {batch} x "
                f"{counts[name != 'q']} heads; give it as karat.quantize makes it"
            )
        arrays.append(made.array.reshape(batch, counts[name != "q"], -1))
    types = (views[0].type, views[1].type, views[2].type)
    return GivenScales(types, (arrays[0], arrays[1], arrays[2]))


def heads_of(
    q: Any,
    k: Any,
    v: Any,
    grid: Sequence[int] | None,
    layout: str,
    text: Any = 0,
    scales: Scales = (None, None, None),
) -> Heads:
    views = [view(x, name) for x, name in ((q, "q"), (k, "k"), (v, "v"))]
    if all(scale is None for scale in scales):
        _require_values(views)
    shape = views[0].array.shape
    batch, heads, tokens, channels = full_shape(shape, layout, "q")
    kv_heads = heads
    for seen, name in zip(views, "qkv"):
        other = seen.array.shape
        if name == "k" and len(other) == len(shape):
            kv_heads = full_shape(other, layout, "k")[1]
        wanted = (batch, heads if name == "q" else kv_heads, tokens, channels)
        if len(other) != len(shape) or full_shape(other, layout, name) != wanted:
            raise UsageError(
                f"{name}: shape {other} differs from q's {shape}; give q, k and v of one shape (k "
                "and v may have fewer heads, both as many)"
            )
    if kv_heads != heads and (kv_heads == 0 or heads % kv_heads):
        raise UsageError(
            f"k: {kv_heads} heads for {heads} of q; give a divisor, so that each group of query "
            "heads shares one"
        )
    return Heads(
        arrays=(views[0].array, views[1].array, views[2].array),
        type=views[0].type,
        torch=views[0].torch,
        layout=layout,
        shape=(batch, heads, kv_heads, tokens, channels),
        given_shape=shape,
        grid=as_grid(grid),
        text=as_text(text),
        scales=_given_scales(views, scales, (batch, heads, kv_heads)),
    )
