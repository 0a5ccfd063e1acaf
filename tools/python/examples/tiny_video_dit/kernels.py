"""Which attention the model computes: rows of kernels.json, each a karat recipe for this grid, or
PyTorch's FP32 attention, over all pairs or those of a recipe's mask."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import torch
from model import Kernel, VideoDiT
from rope import Grid

TABLE = json.loads(Path(__file__).with_name("kernels.json").read_text())


def names() -> list[str]:
    return list(TABLE["kernels"])


def recipe(name: str) -> dict[str, Any] | None:
    """The row as a karat recipe; None where PyTorch computes it."""
    row = TABLE["kernels"][name]
    if "base" not in row:
        return None
    made: dict[str, Any] = {"base": row["base"], "name": name}
    if "geometry" in row:
        geometry = TABLE["geometry"][row["geometry"]]
        made["mask"] = {"tile": TABLE["mask_tile"], "window": geometry["window"]}
        if row["base"] != "naive_fp8_sparse":  # which has no scale tiles
            made["q"] = made["k"] = {"tile": geometry["scale"]}
    for section, fields in row.get("edits", {}).items():
        made[section] = made.get(section, {}) | fields
    return made


@contextmanager
def used(model: VideoDiT, name: str, *, threads: int = 1) -> Iterator[None]:
    """A row's attention in every layer inside the `with`; gradients go through its backward."""
    row, fields, grid = TABLE["kernels"][name], recipe(name), model.shape.grid
    if fields is not None:
        from karat import loop

        adapter = loop.Adapter(model.attention_layers)
        with loop.replace(model, fields, adapter=adapter, grid=grid, threads=threads):
            yield
        return
    kernel = over_pairs(row["pairs_of"], grid) if "pairs_of" in row else None
    for layer in model.attention_layers:
        layer.kernel = kernel
    try:
        yield
    finally:
        for layer in model.attention_layers:
            layer.kernel = None


def over_pairs(name: str, grid: Grid) -> Kernel:
    """PyTorch's attention over the pairs that a row's recipe keeps."""
    import karat

    blocks = karat.block_mask(recipe(name), grid)
    place = blocks.position_of_token
    keep = torch.from_numpy(blocks.keep.astype(bool)[np.ix_(place, place)])
    attention = torch.nn.functional.scaled_dot_product_attention
    return lambda q, k, v: attention(q, k, v, attn_mask=keep)
