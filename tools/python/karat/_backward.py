"""Gradients as a recipe's kernels compute them, with and without PyTorch."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Sequence

import numpy as np

from . import _core
from ._arrays import View, blocks, empty, like, typed, view
from ._errors import ArrayError, UsageError
from ._heads import Heads, heads_of
from ._masks import given_mask
from ._recipe import Recipe, RecipeLike, as_recipe

_VALUES = ("f32", "f16", "bf16")
# Codes at or beyond these, the sign left out, are Inf or NaN.
_NOT_FINITE = {"f32": 0x7F800000, "f16": 0x7C00, "bf16": 0x7F80, "e4m3": 0x7F, "e5m2": 0x7C}


class Gradients(NamedTuple):
    """Of q, k and v, in the recipe's backward.output."""

    dq: Any
    dk: Any
    dv: Any


def gradient_view(do: Any, given: Heads) -> View:
    """dO checked against q."""
    seen = view(do, "do")
    if seen.type not in _VALUES:
        raise ArrayError(f"do: {seen.type} is not taken; give float32, float16 or bfloat16")
    if seen.array.shape != given.given_shape:
        raise UsageError(
            f"do: shape {seen.array.shape} differs from q's {given.given_shape}; give the gradient "
            "of o, which has the shape of q"
        )
    return seen


def recipe_with_backward(recipe: RecipeLike) -> tuple[Recipe, str]:
    made = as_recipe(recipe)
    if made.gradient is None:
        with_one = [name for name in _core_names() if as_recipe(name).gradient is not None]
        raise UsageError(
            f"recipe: {made.name} has no backward; give one with backward.loop: "
            f"{', '.join(with_one)}"
        )
    return made, made.gradient


def _core_names() -> list[str]:
    from ._recipe import names

    return names("recipes")


def _tell_overflow(gradients: dict[str, np.ndarray], type: str) -> None:
    """A warning where finite inputs have gradients that are not."""
    first = _NOT_FINITE[type]

    def count(x: np.ndarray) -> int:
        codes = x.view(f"u{x.itemsize}")
        magnitude = codes & codes.dtype.type(np.iinfo(codes.dtype).max >> 1)
        return int(np.count_nonzero(magnitude >= first))

    found = {name: count(x) for name, x in gradients.items()}
    if any(found.values()):
        told = ", ".join(f"{n} values of {name}" for name, n in found.items())
        warnings.warn(
            f"karat.backward: Inf or NaN in {told}: the recipe's sums or casts overflow; give a "
            "smaller do",
            RuntimeWarning,
            stacklevel=3,
        )


def _outputs(made: Recipe, given: Heads, o: Any, lse: Any) -> dict[str, Any]:
    """What a forward left, as karat._core takes it."""
    if o is None and lse is None:
        return {}
    if o is None or lse is None:
        name, other = ("o", "lse") if o is None else ("lse", "o")
        raise UsageError(
            f"{name}: is missing beside {other}; give both as the forward left them, or neither"
        )
    seen, sums = view(o, "o"), view(lse, "lse")
    taken = (*_VALUES, made.output, *(["u8"] if made.output in ("e4m3", "e5m2") else []))
    if seen.type not in taken or seen.array.shape != given.given_shape:
        raise UsageError(
            f"o: {seen.type} of shape {seen.array.shape}; give the forward's output, "
            f"{made.output} in the shape of q, {given.given_shape}"
        )
    if sums.type != "f32" or sums.array.shape != given.rows_shape():
        raise UsageError(
            f"lse: {sums.type} of shape {sums.array.shape}; give float32 {given.rows_shape()}, as "
            "karat.attend(..., return_lse=True) does"
        )
    return {"o": seen.array, "o_type": seen.type, "lse": sums.array}


def backward(
    q: Any,
    k: Any,
    v: Any,
    do: Any,
    *,
    recipe: RecipeLike = "fps_qat_fp8",
    o: Any = None,
    lse: Any = None,
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    mask: Any = None,
    mask_order: str | None = None,
    return_delta: bool = False,
    threads: int = 0,
) -> Any:
    """The gradients of q, k and v under do, bit for bit as the recipe's kernels compute them.

    q, k, v, scales, grid, text, layout and mask: as for attend(). do: the gradient of o, float32,
        float16 or bfloat16 in the shape of q, finite.
    recipe: one whose backward.loop is not none (docs/recipes/backward.md).
    o, lse: what attend(..., return_lse=True) gave, where the forward need not run again; both or
        neither. o is in the recipe's output type, or one that holds its values exactly.

    Warns (RuntimeWarning) where gradients are Inf or NaN: sums and casts overflow.
    Returns Gradients(dq, dk, dv) in the recipe's backward.output and of q's kind; with
    ``return_delta`` also the float32 delta [B, H, S].
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    made, type = recipe_with_backward(recipe)
    seen = gradient_view(do, given)
    kv_shape = given.arrays[1].shape
    dq, dk, dv = (empty(shape, type) for shape in (given.given_shape, kv_shape, kv_shape))
    delta = empty(given.rows_shape(), "f32") if return_delta else None
    _core.backward(
        made._core, given.request(), given_mask(mask, made, mask_order),
        d_o=seen.array, d_o_type=seen.type, dq=dq, dk=dk, dv=dv, gradient_type=type, delta=delta,
        threads=threads, **_outputs(made, given, o, lse),
    )  # fmt: skip
    _tell_overflow({"dq": dq, "dk": dk, "dv": dv}, type)
    found = Gradients(*(like(x, type, given.torch) for x in (dq, dk, dv)))
    return (found, like(delta, "f32", given.torch)) if return_delta else found


def backward_stages(
    q: Any,
    k: Any,
    v: Any,
    do: Any,
    *,
    recipe: RecipeLike = "fps_qat_fp8",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    mask: Any = None,
    mask_order: str | None = None,
    taps: str | Sequence[int] = "none",
    key_taps: str | Sequence[int] | None = None,
    threads: int = 0,
) -> dict[str, np.ndarray]:
    """Every stage of backward() by name, as NumPy arrays (docs/golden.md): delta, dq, dk, dv and,
    for tapped blocks, dq_tap.B.H.BLOCK.ds, dkv_tap.B.H.BLOCK.dk and their like.

    ``taps``: "all", "none", "" for four blocks of each side, or a list of query blocks of the
    backward; ``key_taps``: likewise its key blocks; None: as ``taps``, or four beside a list.
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    made, type = recipe_with_backward(recipe)
    seen = gradient_view(do, given)
    kv_shape = given.arrays[1].shape
    batch, heads, _, tokens, _ = given.shape
    shapes = {"dq": given.given_shape, "dk": kv_shape, "dv": kv_shape}
    rooms = {name: empty(shape, type) for name, shape in shapes.items()}
    delta = np.empty((batch, heads, tokens), np.float32)
    handed_over = _core.backward(
        made._core, given.request(), given_mask(mask, made, mask_order),
        d_o=seen.array, d_o_type=seen.type, gradient_type=type, delta=delta, taps=blocks(taps),
        key_taps=blocks(key_taps), threads=threads, **rooms,
    )  # fmt: skip
    found = {name: typed(array, kind) for name, kind, array in handed_over[0]}
    return found | {name: typed(x, type) for name, x in rooms.items()} | {"delta": delta}


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "fps_qat_fp8",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    mask: Any = None,
    mask_order: str | None = None,
    threads: int = 0,
) -> Any:
    """karat.torch.attention(): attention that a model can be trained through and compiled with.

    Raises MissingPackage without PyTorch.
    """
    from .torch import attention as through_autograd

    return through_autograd(
        q, k, v, recipe=recipe, grid=grid, text=text, layout=layout, mask=mask,
        mask_order=mask_order, threads=threads,
    )  # fmt: skip
