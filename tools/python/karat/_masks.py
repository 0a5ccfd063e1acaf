"""Masks as PyTorch's BlockMask arrays, both ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Sequence

import numpy as np

from . import _core
from ._arrays import is_torch, typed, view
from ._errors import ArrayError, MissingPackage, UsageError
from ._heads import as_grid, as_text
from ._recipe import Recipe, RecipeLike, as_recipe


@dataclass(frozen=True)
class BlockMask:
    """The arrays of torch.nn.attention.flex_attention.BlockMask for one head (or all alike).

    Row i of kv_indices names its partial key blocks in the first kv_num_blocks[i] entries, row i of
    full_kv_indices the full ones. Rows count tokens in their own order, unless
    ``token_at_position`` is there, as in what karat.block_mask() makes: then positions of the
    recipe's order, of which i holds token ``token_at_position[i]``.
    """

    kv_num_blocks: np.ndarray  # int32 [1, 1, Q]
    kv_indices: np.ndarray  # int32 [1, 1, Q, K]
    full_kv_num_blocks: np.ndarray | None
    full_kv_indices: np.ndarray | None
    BLOCK_SIZE: tuple[int, int]
    seq_lengths: tuple[int, int]
    keep: np.ndarray | None = None  # uint8 [S, S]: which pairs of partial blocks
    token_at_position: np.ndarray | None = None  # int32 [positions], -1 where padding stands
    position_of_token: np.ndarray | None = None  # int32 [tokens]
    density: float | None = None  # kept token pairs / tokens^2

    @property
    def mask_order(self) -> str:
        """What rows and columns count: "tokens" or "positions"."""
        return "tokens" if self.token_at_position is None else "positions"

    def reorder(self, x: Any, axis: int = -2) -> Any:
        """Tokens of a tensor (axis -2 in BHSD) into the order in which the kernel reads them."""
        return self._taken(x, self.token_at_position, axis)

    def restore(self, x: Any, axis: int = -2) -> Any:
        """Back: rows in order of positions into the original order of tokens."""
        return self._taken(x, self.position_of_token, axis)

    def to_torch(self, device: Any = "cpu") -> Any:
        """PyTorch's own BlockMask; with ``keep`` its mask_mod decides pair by pair.

        It remembers a token order: from_torch() gives it back.
        """
        if self.keep is None and np.any(self.kv_num_blocks):
            raise UsageError(
                "mask: lists partial blocks, but no pairs say what is kept of them; take it from "
                "karat.block_mask(pairs=True), or list blocks that are kept whole as full ones"
            )
        torch, flex = _flex_attention()

        def tensor(array: np.ndarray | None) -> Any:
            return None if array is None else torch.from_numpy(np.array(array)).to(device)

        table = None if self.keep is None else tensor(self.keep.astype(bool))

        def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
            return b.new_ones((), dtype=torch.bool) if table is None else table[q, kv]

        mask_mod.karat_order = (self.token_at_position, self.position_of_token)  # type: ignore[attr-defined]

        return flex.BlockMask.from_kv_blocks(
            tensor(self.kv_num_blocks),
            tensor(self.kv_indices),
            tensor(self.full_kv_num_blocks),
            tensor(self.full_kv_indices),
            BLOCK_SIZE=self.BLOCK_SIZE,
            mask_mod=mask_mod,
            seq_lengths=self.seq_lengths,
        )

    @classmethod
    def from_torch(cls, block_mask: Any) -> BlockMask:
        """PyTorch's BlockMask; its mask_mod is asked for every pair once, for partial blocks.

        Batch and head dimensions must be 1: call once per head otherwise.
        """
        torch, flex = _flex_attention()

        def array(name: str) -> np.ndarray | None:
            value = getattr(block_mask, name)
            return None if value is None else view(value.cpu().contiguous(), name).array

        num_blocks, indices = array("kv_num_blocks"), array("kv_indices")
        assert num_blocks is not None and indices is not None  # PyTorch always has these
        queries, keys = block_mask.seq_lengths
        if queries != keys:
            raise UsageError(
                f"mask: {queries} queries and {keys} keys; karat's heads have as many of both"
            )
        token_at, position_of = getattr(block_mask.mask_mod, "karat_order", (None, None))
        pairs = flex.create_mask(
            block_mask.mask_mod, 1, 1, queries, keys, device=str(block_mask.kv_num_blocks.device)
        )
        return cls(
            kv_num_blocks=num_blocks,
            kv_indices=indices,
            full_kv_num_blocks=array("full_kv_num_blocks"),
            full_kv_indices=array("full_kv_indices"),
            BLOCK_SIZE=tuple(block_mask.BLOCK_SIZE),
            seq_lengths=(queries, keys),
            keep=np.ascontiguousarray(pairs[0, 0].cpu().numpy()).view(np.uint8),
            token_at_position=token_at,
            position_of_token=position_of,
        )

    def _taken(self, x: Any, index: np.ndarray | None, axis: int) -> Any:
        if index is None:
            raise UsageError("mask: knows no token order; take it from karat.block_mask()")
        if (index < 0).any():
            raise UsageError(
                'mask: positions with padding hold no token; use mask.ragged "partial"'
            )
        if is_torch(x):
            import torch

            return x.index_select(axis, torch.from_numpy(np.array(index)).to(x.device))
        return np.take(x, index, axis=axis)

    def _arrays(self) -> dict[str, Any]:
        """As karat._core.Mask takes them."""

        def rows(name: str, rank: int) -> np.ndarray | None:
            array = getattr(self, name)
            if array is None:
                return None
            seen = view(array, name)
            if seen.type != "i32":
                raise ArrayError(f"{name}: is {seen.type}; give int32, as PyTorch has it")
            if seen.array.ndim < rank or any(n != 1 for n in seen.array.shape[:-rank]):
                raise UsageError(
                    f"{name}: shape {seen.array.shape} differs by head; call once per head"
                )
            return seen.array.reshape(seen.array.shape[-rank:])

        ranks = {"kv_num_blocks": 1, "kv_indices": 2, "full_kv_num_blocks": 1, "full_kv_indices": 2}
        return {name: rows(name, rank) for name, rank in ranks.items()} | {
            "block_size": tuple(int(n) for n in self.BLOCK_SIZE),
            "keep": None if self.keep is None else _bytes(self.keep, "keep"),
        }


@dataclass(frozen=True)
class BlockMatrix:
    """Blocks of pairs that are kept whole, as SpargeAttn's ``mask_id``: one entry per block of
    queries and block of keys, nonzero keeps.

    kept: booleans or int8, [Q, K] for all heads, [H, Q, K] or [B, H, Q, K], Q = ceil(S /
        BLOCK_SIZE[0]), K = ceil(S / BLOCK_SIZE[1]): the last blocks may be short. NumPy or PyTorch.
    BLOCK_SIZE: tokens of a block of queries and of keys.
    """

    kept: Any
    BLOCK_SIZE: tuple[int, int] = (128, 64)

    def _arrays(self) -> dict[str, Any]:
        """As karat._core.Mask takes them."""
        kept = _bytes(self.kept, "kept")
        if not 2 <= kept.ndim <= 4:
            raise UsageError(
                f"kept: shape {kept.shape} has {kept.ndim} dimensions; give [B, H, blocks of q, "
                "blocks of k] (leading ones may be missing)"
            )
        query, key = (int(n) for n in self.BLOCK_SIZE)
        return {
            "matrix": kept.reshape((1,) * (4 - kept.ndim) + kept.shape), "block_size": (query, key),
        }  # fmt: skip


def _bytes(pairs: Any, name: str) -> np.ndarray:
    """One byte a pair, nonzero keeps."""
    seen = view(pairs, name)
    if seen.type not in ("bool", "u8", "i8"):
        raise ArrayError(
            f"{name}: {seen.type} is no mask; give a BlockMask, a BlockMatrix, or booleans (bool, "
            "uint8, int8) that are True where a pair is kept"
        )
    return seen.array.view(np.uint8)


def dismantled(mask: Any) -> tuple[str, list[Any]]:
    """A mask as a text and its tensors, for what takes nothing else; assembled() undoes it.

    NumPy or PyTorch, as they are in the mask.
    """
    if isinstance(mask, BlockMatrix):
        return json.dumps({"BLOCK_SIZE": [int(n) for n in mask.BLOCK_SIZE]}), [mask.kept]
    if isinstance(mask, BlockMask) or hasattr(mask, "kv_num_blocks"):
        blocks = as_block_mask(mask)
        facts: dict[str, Any] = {field.name: getattr(blocks, field.name) for field in fields(blocks)}
        arrays = {name: x for name, x in facts.items() if isinstance(x, np.ndarray)}
        rest = {name: x for name, x in facts.items() if name not in arrays}
        return json.dumps({"blocks": rest, "names": list(arrays)}), list(arrays.values())
    return "pairs", [mask]


def assembled(facts: str, tensors: Sequence[Any]) -> Any:
    """The mask that was dismantled()."""
    if facts == "pairs":
        return tensors[0]
    said = json.loads(facts)
    if "BLOCK_SIZE" in said:
        query, key = said["BLOCK_SIZE"]
        return BlockMatrix(tensors[0], (query, key))
    arrays = {name: np.asarray(x) for name, x in zip(said["names"], tensors)}
    return BlockMask(**(said["blocks"] | arrays))


def given_mask(mask: Any, recipe: Recipe, order: str | None = None) -> _core.Mask | None:
    """A mask in the place of the recipe's, as karat._core takes it."""
    if order not in (None, "tokens", "positions"):
        raise UsageError(f'mask_order: {order!r} is not known; give "tokens" or "positions"')
    if mask is None:
        if order is not None:
            raise UsageError("mask_order: says nothing without mask; leave it out")
        return None
    if recipe.to_dict()["mask"]["causal"] == "on":
        raise UsageError("mask: comes with a causal recipe; put the causal rule into the mask")
    if isinstance(mask, BlockMatrix):
        return _core.Mask(**mask._arrays(), order=order or "tokens")
    if isinstance(mask, BlockMask) or hasattr(mask, "kv_num_blocks"):
        blocks = as_block_mask(mask)
        if order == "tokens" and blocks.mask_order == "positions":
            raise UsageError(
                'mask_order: "tokens", but the mask is over positions of a recipe; leave it out'
            )
        return _core.Mask(**blocks._arrays(), order=order or blocks.mask_order)
    array = keep = _bytes(mask, "mask")
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > 2:
        raise UsageError(
            f"mask: shape {keep.shape} differs from head to head; call once per head with [tokens, "
            "tokens], or give blocks as a karat.BlockMatrix"
        )
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise UsageError(
            f"mask: shape {keep.shape} is not square; give a row and a column per token, or blocks as a "
            "karat.BlockMatrix"
        )
    return _core.Mask(keep=array, order=order or "tokens")


def causal_by_token(
    recipe: Recipe, grid: Sequence[int] | None, text: int, tokens: int
) -> tuple[Recipe, np.ndarray | None]:
    """Of what the recipe keeps, keys up to the query in the tokens' own order.

    By the recipe's own causal rule where its positions are the tokens; else as pairs.
    """
    mask = recipe.to_dict()["mask"]
    if mask["order"] == "tiles" and mask["tile"] == [1, 1, 1]:
        return recipe.replace(mask={"causal": "on"}), None
    keep = np.tri(tokens, dtype=bool)
    if mask["kind"] != "none":
        video = tokens - as_text(text)
        if grid is None:
            raise UsageError(
                f"grid: is missing, but {recipe.grid_reason}; give (T, H, W) of the video's tokens, "
                f"or (1, 1, {video}) where they are one row"
            )
        own = block_mask(recipe, grid)
        assert own.keep is not None and own.position_of_token is not None
        position = own.position_of_token
        keep[:video, :video] &= own.keep.astype(bool)[np.ix_(position, position)]
    return recipe, keep


def block_mask(
    recipe: RecipeLike = "sta_bf16",
    grid: Sequence[int] = (),
    *,
    block_size: tuple[int, int] | int | None = None,
    pairs: bool = True,
) -> BlockMask:
    """The recipe's mask on a grid (T, H, W), over blocks of the reordered sequence.

    ``block_size``: positions of a query and a key block; the recipe's own unless given (PyTorch's
    default is 128). ``pairs`` also asks for every pair (positions^2 bytes), which partial blocks
    need.
    """
    extent = as_grid(grid or None)
    if extent == (0, 0, 0):
        raise UsageError("grid: is missing; give (T, H, W) tokens")
    if isinstance(block_size, int):
        block_size = (block_size, block_size)
    query, key = block_size or (0, 0)
    handed_over = _core.mask(as_recipe(recipe)._core, extent, query, key, pairs)
    arrays = {name: typed(array, type) for name, type, array in handed_over[0]}
    facts = json.loads(handed_over[1])
    query, key = (int(n) for n in facts["BLOCK_SIZE"].split(","))
    positions = len(arrays["token_at_position"])
    return BlockMask(
        kv_num_blocks=arrays["kv_num_blocks"],
        kv_indices=arrays["kv_indices"],
        full_kv_num_blocks=arrays["full_kv_num_blocks"],
        full_kv_indices=arrays["full_kv_indices"],
        BLOCK_SIZE=(query, key),
        seq_lengths=(positions, positions),
        keep=arrays["keep"].view(np.uint8) if pairs else None,
        token_at_position=arrays["token_at_position"],
        position_of_token=arrays["position_of_token"],
        density=float(facts["density"]),
    )


def as_block_mask(mask: Any) -> BlockMask:
    """A BlockMask of karat's or PyTorch's."""
    return mask if isinstance(mask, BlockMask) else BlockMask.from_torch(mask)


def mask_picture(recipe: RecipeLike, grid: Sequence[int], *, query_tile: int | None = None) -> str:
    """The mask as SVG: the whole matrix, or what one query tile sees inside the video."""
    return _core.mask_picture(
        as_recipe(recipe)._core, as_grid(grid), -1 if query_tile is None else query_tile
    )


def _flex_attention() -> tuple[Any, Any]:
    try:
        import torch
        from torch.nn.attention import flex_attention
    except ImportError:
        raise MissingPackage("torch: FlexAttention is not here; pip install 'torch>=2.5'") from None
    return torch, flex_attention
