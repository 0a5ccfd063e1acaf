"""Golden files: made, opened, compared with; and tensor files of every kind."""

from __future__ import annotations

import json
import os
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from . import _core
from ._arrays import blocks, named_views, typed_dict, values
from ._backward import gradient_view, recipe_with_backward
from ._errors import FileError, UsageError
from ._heads import heads_of
from ._masks import given_mask
from ._recipe import Recipe, RecipeLike, as_recipe
from ._report import CheckReport, Diagnosis

PathLike = Any  # str or os.PathLike


def read_tensors(
    path: PathLike, names: Sequence[str] | None = None, *, torch: bool = False
) -> dict[str, Any]:
    """Tensors of a safetensors, npy or HDF5 file by name, told apart by content.

    BF16 and FP8 come as ml_dtypes types; with ``torch`` everything as PyTorch tensors. ``names``
    reads these alone. Raises FileError.
    """
    wanted = None if names is None else json.dumps(list(names))
    return typed_dict(_core.load(os.fspath(path), wanted), torch)


def write_tensors(
    path: PathLike, tensors: Mapping[str, Any] | Any, metadata: Mapping[str, str] | None = None
) -> None:
    """Tensors by name into a .safetensors file, or one tensor into a .npy (FP8 and BF16 beside a
    note).

    Written whole or not at all. NumPy arrays and PyTorch CPU tensors.
    """
    if not isinstance(tensors, Mapping):
        tensors = {"tensor": tensors}
    text = None if metadata is None else json.dumps(dict(metadata))
    _core.save(os.fspath(path), named_views(dict(tensors)), text)


class Golden(Mapping[str, Any]):
    """A golden file, opened: arrays by stage name, read when asked for.

    ``golden["o"]``, ``golden["q_codes"]``, ``golden["tap/0/0/3/s"]`` and every other dataset of
    docs/golden.md, with or without its group. BF16 and FP8 come as ml_dtypes types; with ``torch``
    everything comes as PyTorch tensors on the CPU: torch.bfloat16, torch.float8_e4m3fn, ...
    """

    def __init__(self, path: PathLike, *, torch: bool = False):
        self.path = os.fspath(path)
        self.torch = torch
        listed = json.loads(_core.list(self.path))
        self._names = [each["name"] for each in listed if "problem" not in each]
        order = "order/position_of_token"
        if order not in self._names:
            raise FileError(f"{self.path}: is no golden file; make one with karat.save")
        _, metadata = _core.load(self.path, json.dumps([order]))
        self.metadata: dict[str, str] = json.loads(metadata)
        if self.metadata.get("schema") != "karat-golden/1":
            raise FileError(f"{self.path}: is no golden file of this schema; make it again")
        self.recipe = Recipe(self.metadata["recipe"])
        t, h, w = (int(n) for n in self.metadata["grid"].split(","))
        self.grid = (t, h, w)
        self.text = int(self.metadata.get("text", 0))  # tokens behind the video's

    def _name(self, name: str) -> str:
        if not isinstance(name, str):
            raise KeyError(name)
        plain = name.replace(".", "/")
        for candidate in (name, plain, f"stages/{plain}", f"inputs/{plain}"):
            if candidate in self._names:
                return candidate
        raise KeyError(f"{name}: {self.path} holds {', '.join(self._names[:12])}, ...")

    def __getitem__(self, name: str) -> Any:
        full = self._name(name)
        return read_tensors(self.path, [full], torch=self.torch)[full]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        kind = ", torch=True" if self.torch else ""
        return f"karat.Golden({self.path!r}, recipe={self.recipe.name!r}, grid={self.grid}{kind})"

    @property
    def inputs(self) -> tuple[Any, Any, Any]:
        """q, k, v [B, H, S, D] as they went in; k and v may have fewer heads."""
        names = ["inputs/q", "inputs/k", "inputs/v"]
        read = read_tensors(self.path, names, torch=self.torch)
        return read["inputs/q"], read["inputs/k"], read["inputs/v"]

    @property
    def has_backward(self) -> bool:
        """Whether it holds dO and the gradients under it too."""
        return "stages/dq" in self._names

    def numpy(self) -> Golden:
        """The same file, whose arrays come as NumPy's."""
        return Golden(self.path) if self.torch else self

    def check(self, candidate: Any, **options: Any) -> CheckReport:
        """karat.check(self, candidate, ...)."""
        return check(self, candidate, **options)

    def diagnose(self, candidate: Any, **options: Any) -> Diagnosis:
        """karat.diagnose(self, candidate, ...)."""
        return diagnose(self, candidate, **options)


def save(
    path: PathLike,
    q: Any,
    k: Any,
    v: Any,
    *,
    recipe: RecipeLike,
    grid: Sequence[int] | None = None,
    text: int = 0,
    layout: str = "BHSD",
    q_scale: Any = None,
    k_scale: Any = None,
    v_scale: Any = None,
    mask: Any = None,
    mask_order: str | None = None,
    do: Any = None,
    seed: int = 0,
    taps: str | Sequence[int] | None = None,
    dq_taps: str | Sequence[int] | None = None,
    dkv_taps: str | Sequence[int] | None = None,
    torch: bool | None = None,
    threads: int = 0,
) -> Golden:
    """Computes a case and writes its golden file: inputs, every stage, legal ranges, FP64 truth.

    Tensors, scales and mask as for attend(); the file keeps the mask. seed decides taps and truth rows.
    taps: None for eight query blocks, "all", "none" or a list. Same case, same bytes.
    do: the gradient of o, as for backward(); the file then holds the backward of the same run too.
    dq_taps, dkv_taps: likewise query blocks and key blocks of the backward, which may be cut
        otherwise than the forward's. None: as taps says; four key blocks beside a list.
    torch: whether the Golden gives PyTorch tensors; None: when q, k and v are.
    """
    given = heads_of(q, k, v, grid, layout, text, (q_scale, k_scale, v_scale))
    gradient: dict[str, Any] = {}
    if do is None:
        made = as_recipe(recipe)
    else:
        made, _ = recipe_with_backward(recipe)
        seen = gradient_view(do, given)
        gradient = {"d_o": seen.array, "d_o_type": seen.type}
    _core.make(
        made._core, given.request(), given_mask(mask, made, mask_order),
        path=os.fspath(path), seed=seed, taps=blocks(taps), threads=threads,
        dq_taps=blocks(dq_taps), dkv_taps=blocks(dkv_taps), **gradient,
    )  # fmt: skip
    return Golden(path, torch=given.torch if torch is None else torch)


def load(path: PathLike, *, torch: bool = False) -> Golden:
    """Opens a golden file; its hash is checked first. With ``torch`` its arrays come as PyTorch
    tensors. Raises FileError."""
    return Golden(path, torch=torch)


def check(
    golden: Golden | PathLike,
    candidate: Any,
    *,
    layout: str = "BHSD",
    v_layout: str | None = None,
    order: str = "original",
    batch: int | None = None,
    head: int | None = None,
    block: int | None = None,
    allow: str | Sequence[str] = (),
    error_ratio: float | None = None,
    strict: bool = False,
    threads: int = 0,
) -> CheckReport:
    """Compares a kernel's tensors with a golden file, stage by stage.

    candidate: the output o alone; a dict of stages by name (o, lse, q_codes, tap.0.0.3.s, ...); or
        a file.
    In the golden file's types, shapes [B, H, S, D] as ``layout`` says (leading 1s may be missing).
    v_layout: of v and v_codes where it differs, "BHDS" for a transposed V. order: "original", or
        "tiled" where rows stand in the kernel's order of positions.
    batch, head, block: select one.
    allow: what else is free beside exp2, as ``karat check --allow`` takes it: any of "order" (of
        the row sum and of f32.fma's P V), "contraction" (fused multiply-adds), "reciprocal" (1/l
        within 1 ulp); a list, or one text with commas. Legal ranges are then computed again where
        something differs, at several times the attention's cost.
    error_ratio: how many times as far from the FP64 truth as the golden o a matching o may be; 1.25
        unless given.
    strict: every stage must be equal bit for bit; for recipes whose softmax.exp2 is mufu.

    What the recipe fixes must be bit-equal, what it leaves free must lie within derived bounds and
    no farther from the golden values than legal kernels do; else the verdict is "undecided"
    (docs/bounds.md).

    Returns a report that is true when every stage passes; ``print(report)`` shows the table.
    """
    options: dict[str, Any] = {"layout": layout, "order": order, "threads": threads}
    for name, value in (("batch", batch), ("head", head), ("block", block)):
        if value is not None:
            options[name] = int(value)
    if v_layout is not None:
        options["v_layout"] = v_layout
    if error_ratio is not None:
        options["error_ratio"] = float(error_ratio)
    if strict:
        options["strict"] = True
    names = allow.split(",") if isinstance(allow, str) else list(allow or ())
    if names != [""]:
        options["allow"] = names
    path, named = candidate_arguments(candidate)
    file = golden.path if isinstance(golden, Golden) else os.fspath(golden)
    return CheckReport(json.loads(_core.check(file, path, named, json.dumps(options))))


def diagnose(
    golden: Golden | PathLike,
    candidate: Any,
    *,
    layout: str = "BHSD",
    order: str = "original",
    batch: int | None = None,
    head: int | None = None,
    alarm: str = "outside",
    blocks: int = 4,
    most: int = 10,
    threads: int = 0,
) -> Diagnosis:
    """Names the recipe edit or coding mistake that explains a candidate's bits.

    candidate, layout, order, batch, head: as for check(). alarm: "outside" counts what no correct
    kernel writes, "any-bit" every differing bit. blocks: query blocks sampled. most: hypotheses
    reported.

    Returns hypotheses, best first; ``print(diagnosis)`` tells them (docs/diagnose.md).
    """
    options: dict[str, Any] = {
        "layout": layout, "order": order, "alarm": alarm, "blocks": blocks, "most": most,
        "threads": threads,
    }  # fmt: skip
    for name, value in (("batch", batch), ("head", head)):
        if value is not None:
            options[name] = int(value)
    path, named = candidate_arguments(candidate)
    file = golden.path if isinstance(golden, Golden) else os.fspath(golden)
    return Diagnosis(json.loads(_core.diagnose(file, path, named, json.dumps(options))))


def candidate_arguments(candidate: Any) -> tuple[str | None, list[tuple[str, str, np.ndarray]]]:
    """A file, stages by name, or the output alone."""
    if isinstance(candidate, Golden):
        return candidate.path, []
    if isinstance(candidate, (str, os.PathLike)):
        return os.fspath(candidate), []
    if isinstance(candidate, Mapping):
        if not candidate:
            raise UsageError('candidate: names no stage; give {"o": output}')
        return None, named_views(dict(candidate))
    seen = values(candidate, "o")
    return None, [("o", seen.type, seen.array)]
