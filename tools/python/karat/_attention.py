"""Attention as a recipe's kernel computes it."""

from __future__ import annotations

import json
import math
import operator
from typing import Any, NamedTuple, Sequence

import numpy as np

from . import _core
from ._arrays import empty, like, typed, view
from ._errors import ArrayError, UsageError
from ._masks import BlockMask, as_block_mask
from ._recipe import Recipe, RecipeLike, as_recipe

_STORED = {"f32", "f16", "bf16"}
_Arguments = tuple[
    np.ndarray, np.ndarray, np.ndarray, str, str, tuple[int, ...], tuple[int, int, int], int
]


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

    def arguments(self) -> _Arguments:
        """In the order in which every function of karat._core takes them."""
        return (*self.arrays, self.type, self.layout, self.shape, self.grid, self.text)


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


def heads_of(
    q: Any, k: Any, v: Any, grid: Sequence[int] | None, layout: str, text: Any = 0
) -> Heads:
    views = [view(x, name) for x, name in ((q, "q"), (k, "k"), (v, "v"))]
    for seen, name in zip(views, "qkv"):
        if seen.type not in _STORED:
            raise ArrayError(
                f"{name}: {seen.type} is not taken; give float32, float16 or bfloat16 "
                f"(codes with scales: karat.save then karat.load)"
            )
        if seen.type != views[0].type:
            raise ArrayError(
                f"{name}: is {seen.type} where q is {views[0].type}; give all three in one type"
            )
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
    )


def _rows_shape(heads: Heads) -> tuple[int, ...]:
    """Shape of lse, m and l: [B, H, S], with the same leading dimensions left out as q has."""
    batch, count, _, tokens, _ = heads.shape
    return (batch, count, tokens)[4 - len(heads.given_shape) :]


def mask_arguments(mask: Any, recipe: Recipe) -> tuple[Recipe, Any, Any]:
    if mask is None:
        return recipe, None, None
    if recipe.to_dict()["mask"]["kind"] != "given":
        recipe = as_recipe(json.dumps(_with_given_mask(recipe), sort_keys=True))
    if isinstance(mask, BlockMask) or hasattr(mask, "kv_num_blocks"):
        blocks = as_block_mask(mask)
        return recipe, blocks._core_arguments(), blocks.keep
    keep = view(mask, "mask")
    if keep.type not in ("bool", "u8"):
        raise ArrayError(
            f"mask: {keep.type} is no mask; give a BlockMask or booleans, True where a pair is kept"
        )
    array = keep.array
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise UsageError(
            f"mask: shape {keep.array.shape} differs from head to head; call once per head with "
            "[tokens, tokens]"
        )
    return recipe, None, array.view(np.uint8)


def _with_given_mask(recipe: Recipe) -> dict[str, Any]:
    fields = recipe.to_dict()
    fields["mask"].update(kind="given")
    if fields["mask"].get("causal") == "on":
        raise UsageError("mask: comes with a causal recipe; put the causal rule into the mask")
    return fields


def attend(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "fpsattention",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    mask: Any = None,
    return_lse: bool = False,
    threads: int = 0,
) -> Any:
    """Attention, bit for bit as the recipe's kernel computes it.

    q, k, v: float32, float16 or bfloat16, one type and shape, contiguous, on the CPU, finite:
        [B, H, S, D] (``layout="BHSD"``, PyTorch) or [B, S, H, D] (``"BSHD"``, FlashAttention);
        leading dimensions of 1 may be missing. Not multiplied by D^-1/2. FP32 tensors in BHSD are
        read where they lie; others are widened one head at a time. k and v may have fewer heads, a
        divisor of q's: each then serves as many neighbouring heads of q.
    recipe: a preset's name, a path to a .json, a dict (may name a ``"base"``) or a Recipe.
    grid: (T, H, W) with T*H*W + text = S, w fastest; recipes with tiles or windows need it.
    text: tokens behind the video's, in the same attention.
    mask: instead of the recipe's own mask: a karat.BlockMask, PyTorch's BlockMask, or booleans [S,
        S], True where a pair is kept; over positions of the recipe's token order.
    threads: 0 takes all the machine has. Bits do not depend on it.

    Returns o in the recipe's output format, shape and layout of q, of q's kind (NumPy or PyTorch);
    with ``return_lse`` also the float32 log-sum-exp [B, H, S].
    Raises ArrayError (a TypeError) for GPU tensors and types, UsageError (a ValueError) for shapes,
    grids, recipes, NaN and Inf.
    """
    given = heads_of(q, k, v, grid, layout, text)
    made, blocks, keep = mask_arguments(mask, as_recipe(recipe))
    o = empty(given.given_shape, made.output)
    lse = empty(_rows_shape(given), "f32") if return_lse else None
    _core.attend(
        made._core, *given.arguments(), threads,
        o, made.output, lse, None, None, blocks, keep, None,
    )  # fmt: skip
    out = like(o, made.output, given.torch)
    return (out, like(lse, "f32", given.torch)) if lse is not None else out


def stages(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "fpsattention",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    mask: Any = None,
    taps: str | Sequence[int] = "none",
    threads: int = 0,
) -> dict[str, np.ndarray]:
    """Every stage of attend() by name, as NumPy arrays (docs/golden.md).

    q_codes, k_codes, v_codes [B, H, S, D] in the operand's format, q_scale ... [B, H, groups], m,
    l, lse [B, H, S], o, and for each tapped query block tap.B.H.BLOCK.s and its like. Codes and
    scales of k and v have k's heads. ``taps``: "all", "none", "" for eight of them, or a list of
    query blocks.
    """
    given = heads_of(q, k, v, grid, layout, text)
    made, blocks, keep = mask_arguments(mask, as_recipe(recipe))
    rows = (given.shape[0], given.shape[1], given.shape[3])
    o = empty(given.given_shape, made.output)
    statistics = {name: np.empty(rows, np.float32) for name in ("lse", "m", "l")}
    if not isinstance(taps, str):
        taps = ",".join(str(int(block)) for block in taps) or "none"
    handed_over = _core.attend(
        made._core, *given.arguments(), threads,
        o, made.output, statistics["lse"], statistics["m"], statistics["l"], blocks, keep, taps,
    )  # fmt: skip
    found = {name: typed(array, type) for name, type, array in handed_over[0]}
    return found | statistics | {"o": typed(o, made.output)}


def truth(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "dense_f64",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    sparse: bool = False,
    threads: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """softmax(q k^T / sqrt(D)) v in float64 on the values as given: (o [B, H, S, D], lse [B, H,
    S]).

    Tensors as for attend(). Over all keys, or with ``sparse`` over those the recipe's mask keeps.
    Own fixed-order sums; each weight is within 2^-48.
    """
    given = heads_of(q, k, v, grid, layout, text)
    made = as_recipe(recipe)
    batch, heads, _, tokens, channels = given.shape
    o = np.empty((batch, heads, tokens, channels), np.float64)
    lse = np.empty((batch, heads, tokens), np.float64)
    _core.truth(
        made._core, *given.arguments(), sparse,
        threads, o, lse,
    )  # fmt: skip
    return o, lse


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    recipe: RecipeLike = "dense_f32",
    grid: Sequence[int] | None = None,
    text: int = 0,
    threads: int = 0,
) -> Any:
    """torch.nn.functional.scaled_dot_product_attention with karat's arithmetic.

    Same arguments and shapes [B, H, S, D]; the recipe decides every rounding and the output's type
    (cast to query's). ``attn_mask``: booleans [S, S], True where a pair takes part.
    ``enable_gqa``: key and value may have fewer heads. What karat has no meaning for is a
    UsageError: dropout, additive masks, a scale other than D^-1/2.
    """
    if dropout_p != 0.0:
        raise UsageError("dropout_p: a reference drops nothing; pass 0.0")
    channels = query.shape[-1]
    if scale is not None and not math.isclose(scale, 1 / math.sqrt(channels), rel_tol=1e-6):
        raise UsageError(
            f"scale: {scale} is not {channels}^-1/2, which recipes apply; multiply query by "
            f"{scale * math.sqrt(channels):g} and leave scale out"
        )
    if not enable_gqa and query.ndim == key.ndim >= 3 and query.shape[-3] != key.shape[-3]:
        raise UsageError(
            f"key: {key.shape[-3]} heads for {query.shape[-3]} of query; pass enable_gqa=True"
        )
    made = as_recipe(recipe)
    if is_causal:
        if attn_mask is not None:
            raise UsageError("is_causal: stands beside attn_mask; give one of them")
        made = made.replace(mask={"causal": "on"})
    if attn_mask is not None:
        seen = view(attn_mask, "attn_mask")
        if seen.type != "bool":
            raise ArrayError(
                f"attn_mask: {seen.type} would be added to the scores; give booleans, True keeps"
            )
    out = attend(
        query, key, value, recipe=made, grid=grid, text=text, mask=attn_mask, threads=threads
    )
    if view(query, "query").type == made.output:
        return out
    return out.to(query.dtype) if hasattr(out, "to") else out.astype(query.dtype)
