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

def version() -> str: ...
def names(what: str) -> str: ...
def encode(x: _Array, format: str, policy: str | None, codes: _Array) -> None: ...
def decode(codes: _Array, format: str, x: _Array) -> None: ...
def scaled_mm(
    instruction: str,
    format: str,
    a: _Array,
    b: _Array,
    c: _Array | None,
    scale_a: _Array | None,
    scale_b: _Array | None,
    promote_every: int,
    threads: int,
    d: _Array,
) -> None: ...
def attend(
    recipe: Recipe,
    q: _Array,
    k: _Array,
    v: _Array,
    type: str,
    layout: str,
    shape: _Shape,
    grid: _Shape,
    text: int,
    threads: int,
    o: _Array | None,
    o_type: str,
    lse: _Array | None,
    m: _Array | None,
    l: _Array | None,
    blocks: tuple[Any, ...] | None,
    keep: _Array | None,
    taps: str | None,
) -> _HandedOver: ...
def truth(
    recipe: Recipe,
    q: _Array,
    k: _Array,
    v: _Array,
    type: str,
    layout: str,
    shape: _Shape,
    grid: _Shape,
    text: int,
    sparse: bool,
    threads: int,
    o: _Array,
    lse: _Array,
) -> None: ...
def quantise(
    recipe: Recipe,
    operand: str,
    x: _Array,
    type: str,
    layout: str,
    shape: _Shape,
    grid: _Shape,
    text: int,
    threads: int,
) -> _HandedOver: ...
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
    q: _Array,
    k: _Array,
    v: _Array,
    type: str,
    layout: str,
    shape: _Shape,
    grid: _Shape,
    text: int,
    seed: int,
    taps: str | None,
    threads: int,
    path: str,
    blocks: tuple[Any, ...] | None,
    keep: _Array | None,
) -> str: ...
def check(golden: str, path: str | None, named: _Named, options: str | None) -> str: ...
def diagnose(golden: str, path: str | None, named: _Named, options: str | None) -> str: ...
def cost(recipe: Recipe, question: str) -> str: ...
def cost_picture(recipe: Recipe, question: str, kind: str) -> str: ...
