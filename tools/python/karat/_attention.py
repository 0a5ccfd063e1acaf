"""Attention as a recipe's kernel computes it."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from . import _core
from ._arrays import blocks, empty, like, typed, view
from ._errors import ArrayError, UsageError
from ._heads import heads_of
from ._masks import causal_by_token, given_mask
from ._recipe import RecipeLike, as_recipe


def attend(
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike = "fpsattention",
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    mask: Any = None,
    mask_order: str | None = None,
    return_lse: bool = False,
    threads: int = 0,
) -> Any:
    """Attention, bit for bit as the recipe's kernel computes it.

    q, k, v: float32, float16 or bfloat16, one type and shape, on the CPU, finite: [B, H, S, D]
        (``layout="BHSD"``, PyTorch) or [B, S, H, D] (``"BSHD"``, FlashAttention); leading
        dimensions of 1 may be missing. Not multiplied by D^-1/2. Contiguous FP32 tensors in BHSD
        are read where they lie; others are widened one head at a time, views copied first. k and v
        may have fewer heads, a divisor of q's: each then serves as many neighbouring heads of q.
        None may require a gradient: karat.attention() is what autograd goes through.
    q_scale, k_scale, v_scale: float32 [B, H, groups] as karat.quantize() makes them; q, k and v are
        then codes in the recipe's formats (float8, int8, or raw uint8), x = scale * code. For
        recipes that give all three a scale and smooth none.
    recipe: a preset's name, a path to a .json, a dict (may name a ``"base"``) or a Recipe.
    grid: (T, H, W) with T*H*W + text = S, w fastest. Needed where the recipe has tiles, windows,
        bands or scales by tile (``Recipe.grid_reason``); (1, 1, S) says that the tokens are a row.
    text: tokens behind the video's, in the same attention.
    mask: in the place of the recipe's own: booleans [S, S], True where a pair is kept, rows are
        queries; PyTorch's BlockMask; a karat.BlockMask; or a karat.BlockMatrix (SpargeAttn's
        mask_id).
    mask_order: what the mask's rows count: "tokens", their own order as in q, k and v; or
        "positions" of the recipe's order. A mask of karat.block_mask() knows its own, "positions";
        every other is by token unless this says else.
    threads: 0 takes all the machine has. Bits do not depend on it.

    Returns o in the recipe's output format, shape and layout of q, of q's kind (NumPy or PyTorch);
    with ``return_lse`` also the float32 log-sum-exp [B, H, S].
    Raises ArrayError (a TypeError) for GPU tensors and types, UsageError (a ValueError) for shapes,
    grids, recipes, gradients, NaN and Inf.
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    made = as_recipe(recipe)
    o = empty(given.given_shape, made.output)
    lse = empty(given.rows_shape(), "f32") if return_lse else None
    _core.attend(
        made._core, given.request(), given_mask(mask, made, mask_order),
        o=o, o_type=made.output, lse=lse, threads=threads,
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
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    mask: Any = None,
    mask_order: str | None = None,
    taps: str | Sequence[int] = "none",
    threads: int = 0,
) -> dict[str, np.ndarray]:
    """Every stage of attend() by name, as NumPy arrays (docs/golden.md).

    q_codes, k_codes, v_codes [B, H, S, D] in the operand's format, q_scale ... [B, H, groups], m,
    l, lse [B, H, S], o, and for each tapped query block tap.B.H.BLOCK.s and its like. Codes and
    scales of k and v have k's heads. ``taps``: "all", "none", "" for eight of them, or a list of
    query blocks.
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    made = as_recipe(recipe)
    rows = (given.shape[0], given.shape[1], given.shape[3])
    o = empty(given.given_shape, made.output)
    statistics = {name: np.empty(rows, np.float32) for name in ("lse", "m", "l")}
    handed_over = _core.attend(
        made._core, given.request(), given_mask(mask, made, mask_order),
        o=o, o_type=made.output, taps=blocks(taps), threads=threads, **statistics,
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
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    sparse: bool = False,
    threads: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """softmax(q k^T / sqrt(D)) v in float64 on the values as given: (o [B, H, S, D], lse [B, H,
    S]).

    Tensors as for attend(); with scales of scale * code, in f32. Over all keys, or with ``sparse`` over those the recipe's mask keeps.
    Own fixed-order sums; each weight is within 2^-48.
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    made = as_recipe(recipe)
    batch, heads, _, tokens, channels = given.shape
    o = np.empty((batch, heads, tokens, channels), np.float64)
    lse = np.empty((batch, heads, tokens), np.float64)
    _core.truth(made._core, given.request(), sparse=sparse, o=o, lse=lse, threads=threads)
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
    (cast to query's). ``attn_mask``: booleans [S, S], True where a pair takes part, in the place of
    the recipe's own mask; ``is_causal``: of what the recipe keeps, keys up to the query. Both in
    the tokens' own order, whatever the recipe's.
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
        made, attn_mask = causal_by_token(made, grid, text, query.shape[-2])
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
