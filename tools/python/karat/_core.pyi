# The extension; karat/*.py brings tensors into the form it wants.
from collections.abc import Sequence
from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]
_Named = Sequence[tuple[str, str, _Array]]
_HandedOver = tuple[list[tuple[str, str, _Array]], str]
_Shape = Sequence[int]

class Recipe:
    def __init__(self, text: str) -> None: ...
    def json(self) -> str: ...
    def grid_reason(self) -> str | None: ...

class Heads:
    def __init__(
        self,
        *,
        q: _Array,
        k: _Array,
        v: _Array,
        type: str,
        layout: str,
        shape: _Shape,  # batch, heads, heads of k and v, tokens, channels
        grid: _Shape,
        text: int,
        scale_types: tuple[str, str, str] | None = None,
        scales: tuple[_Array, _Array, _Array] | None = None,  # [B, H, groups]
    ) -> None: ...

class Mask:
    def __init__(
        self,
        *,
        kv_num_blocks: _Array | None = None,
        kv_indices: _Array | None = None,
        full_kv_num_blocks: _Array | None = None,
        full_kv_indices: _Array | None = None,
        matrix: _Array | None = None,  # uint8 [batch, heads, query blocks, key blocks]
        block_size: tuple[int, int] = (128, 128),
        keep: _Array | None = None,
        order: str,  # "tokens" or "positions"
    ) -> None: ...

def version() -> str: ...
def names(what: str) -> str: ...
def schedule(text: str, steps: int, sigma: Sequence[float] | None) -> str: ...
def encode(x: _Array, format: str, policy: str | None, codes: _Array) -> None: ...
def decode(codes: _Array, format: str, x: _Array) -> None: ...
def scaled_mm(
    instruction: str,
    format: str,
    *,
    a: _Array,
    b: _Array,
    d: _Array,
    c: _Array | None = None,
    scale_a: _Array | None = None,
    scale_b: _Array | None = None,
    promote_every: int = 0,
    threads: int = 0,
) -> None: ...
def attend(
    recipe: Recipe,
    heads: Heads,
    mask: Mask | None,
    *,
    o: _Array | None,
    o_type: str,
    lse: _Array | None = None,
    m: _Array | None = None,
    l: _Array | None = None,
    taps: str | None = None,
    threads: int = 0,
) -> _HandedOver: ...
def backward(
    recipe: Recipe,
    heads: Heads,
    mask: Mask | None,
    *,
    d_o: _Array,
    d_o_type: str,
    o: _Array | None = None,
    o_type: str = "",
    lse: _Array | None = None,
    dq: _Array | None = None,
    dk: _Array | None = None,
    dv: _Array | None = None,
    gradient_type: str,
    delta: _Array | None = None,
    taps: str | None = None,
    key_taps: str | None = None,
    threads: int = 0,
) -> _HandedOver: ...
def truth(
    recipe: Recipe, heads: Heads, *, sparse: bool, o: _Array, lse: _Array, threads: int = 0
) -> None: ...
def quantise(recipe: Recipe, operand: str, heads: Heads, *, threads: int = 0) -> _HandedOver: ...
def mask(
    recipe: Recipe, grid: _Shape, query_block: int, key_block: int, keep: bool
) -> _HandedOver: ...
def mask_picture(recipe: Recipe, grid: _Shape, query_tile: int) -> str: ...
def load(path: str, names: str | None) -> _HandedOver: ...
def list(path: str) -> str: ...
def save(path: str, named: _Named, metadata: str | None) -> None: ...
def generate(workload: str, threads: int) -> _HandedOver: ...
def make(
    recipe: Recipe,
    heads: Heads,
    mask: Mask | None,
    *,
    path: str,
    seed: int,
    taps: str | None,
    threads: int,
    d_o: _Array | None = None,
    d_o_type: str = "",
    dq_taps: str | None = None,
    dkv_taps: str | None = None,
) -> str: ...
def run_ptx(ptx: str, launch: str, named: _Named) -> tuple[_HandedOver, str]: ...
def check(golden: str, path: str | None, named: _Named, options: str | None) -> str: ...
def diagnose(golden: str, path: str | None, named: _Named, options: str | None) -> str: ...
def cost(recipe: Recipe, question: str) -> str: ...
def cost_picture(recipe: Recipe, question: str, kind: str) -> str: ...
