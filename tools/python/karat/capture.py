"""Q, K, V of a running model, only the cells a study asks for.

    plan = karat.capture.read_plan("plan.json")                    # karat study --plan plan.json
    ... with karat.capture.Capture(pipe.transformer, plan, "capture") as capture:
        pipe(prompt, num_inference_steps=plan["steps"], ...)
    print(capture.statistics[0])

Hooks the attention modules of a transformer, sees queries, keys and values as they enter
torch.nn.functional.scaled_dot_product_attention (after norms and RoPE), and writes the planned
(step, layer, head) in the naming rule of docs/study.md. Everything is selected and reduced where
the tensors live; only sampled rows leave the device. Works with every module that calls PyTorch's
attention: plain PyTorch, and diffusers' Wan, HunyuanVideo and CogVideoX transformers with the
native attention backend.

How often a step calls the model is the run's affair, not the plan's: a plan of the conditional
branch alone leaves the other calls of a guided run out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from ._errors import FileError, UsageError
from ._forwards import Forwards, timestep_of
from ._golden import write_tensors
from ._hooks import (
    KINDS,
    AttentionHooks,
    Call,
    ModelKind,
    find_layers,
    kind_of,
    require_text_place,
    require_torch,
)
from ._masks import block_mask

Grid = tuple[int, int, int]


__all__ = [
    "KINDS", "Capture", "ModelKind", "kept_tiles", "make_plan", "read_plan", "tile_ids",
]  # fmt: skip


def read_plan(plan: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """A sampling plan as `karat study --plan` writes it, from a file or a dict.

    Raises FileError for a file that cannot be read, UsageError for what is no plan.
    """
    made = dict(plan) if isinstance(plan, Mapping) else _read_json(plan)
    if made.get("schema") != "karat.study_plan" or made.get("version") != 1:
        raise UsageError(
            "plan: is no karat.study_plan of version 1; make one with karat study --plan"
        )
    for field in ("grid", "steps", "branches", "tile", "cells"):
        if field not in made:
            raise UsageError(f"plan: lacks {field}; make it again with karat study --plan")
    for number, cell in enumerate(made["cells"]):
        for field in ("step", "layer", "head", "query_tiles"):
            if field not in cell:
                raise UsageError(f"plan: cell {number} lacks {field}; make it again")
    return made


def _read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        read = json.loads(Path(path).read_text())
    except (OSError, ValueError) as problem:
        raise FileError(f"{os.fspath(path)}: cannot be read as JSON ({problem})") from None
    return read if isinstance(read, dict) else {}


def make_plan(
    *,
    grid: Sequence[int],
    steps: int,
    cells: Sequence[Mapping[str, Any]],
    branches: Sequence[str] = ("cond",),
    tile: Sequence[int] = (6, 8, 8),
    **facts: Any,
) -> dict[str, Any]:
    """A plan by hand: cells are dicts of step, layer, head and query_tiles (ids; docs/study.md)."""
    return {
        "schema": "karat.study_plan", "version": 1, "grid": list(grid), "steps": steps,
        "branches": list(branches), "tile": list(tile), "cells": [dict(cell) for cell in cells],
    } | facts  # fmt: skip


def tile_ids(grid: Sequence[int], tile: Sequence[int]) -> np.ndarray:
    """Tile id of every token, int64 [T*H*W]; row-major over tiles, w fastest."""
    t, h, w = np.indices(tuple(grid)).reshape(3, -1) // np.array(tile).reshape(3, 1)
    across = [-(-n // s) for n, s in zip(grid, tile)]
    return (t * across[1] + h) * across[2] + w


def kept_tiles(grid: Sequence[int], tile: Sequence[int], window: Sequence[int]) -> np.ndarray:
    """Which key tiles each query tile sees, bool [tiles, tiles]: a window in tiles, clamped."""
    across = tuple(-(-n // s) for n, s in zip(grid, tile))
    recipe = {
        "base": "sta_bf16",
        "mask": {"kind": "window", "tile": [1, 1, 1], "window": [int(n) for n in window],
                 "unit": "tiles", "border": "clamp"},
    }  # fmt: skip
    mask = block_mask(recipe, across)
    position = mask.position_of_token
    assert mask.keep is not None and position is not None
    return mask.keep.astype(bool)[np.ix_(position, position)]


class Capture:
    """Writes the planned cells of a model's forwards while the `with` block runs.

    model: the transformer (its forwards are counted). plan: read_plan() or make_plan(). folder:
        where
    files go, one per cell and branch; `statistics.json` at the end. prompt: number of the first
    prompt of a batch. layers: the attention modules in order, or None for diffusers' classes in
    KINDS. text, guidance: as in ModelKind, None for the class's own; guidance="none" for an unguided
    run. window: of the kept mass, in
    tiles of the plan.

    statistics: per cell and branch a dict with q_amax, k_amax, v_amax; entropy (nats, mean over
        the sampled
    rows); window_mass (mean share of the softmax inside the window).
    """

    def __init__(
        self,
        model: Any,
        plan: Mapping[str, Any] | str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        prompt: int = 0,
        layers: Sequence[Any] | None = None,
        text: str | None = None,
        guidance: str | None = None,
        window: Sequence[int] = (3, 3, 3),
    ):
        self._torch = require_torch("capturing")
        self.plan = read_plan(plan)
        self.folder = Path(folder)
        self.statistics: list[dict[str, Any]] = []
        kind = kind_of(model, layers)
        self._model = model
        self._prompt = prompt
        self._text = require_text_place(text or kind.text)
        self._forwards = Forwards(guidance or kind.guidance, self.plan["steps"])
        for branch in self.plan["branches"]:
            if branch not in self._forwards.branches:
                raise UsageError(
                    f"plan: asks for {branch}, which a run without guidance has not; make the plan "
                    "with --conditional-only, or say how the model is guided (guidance=)"
                )
        self._layers = list(layers) if layers is not None else find_layers(model, kind.layers)
        self._grid: Grid = tuple(int(n) for n in self.plan["grid"])  # type: ignore[assignment]
        self._tile: Grid = tuple(int(n) for n in self.plan["tile"])  # type: ignore[assignment]
        self._tiles = tile_ids(self._grid, self._tile)
        self._kept = kept_tiles(self._grid, self._tile, window)
        self._window = [int(n) for n in window]
        self._cells: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for cell in self.plan["cells"]:
            self._cells.setdefault((cell["step"], cell["layer"]), []).append(cell)
        self._last_layer = max((cell["layer"] for cell in self.plan["cells"]), default=0)
        if self._last_layer >= len(self._layers):
            raise UsageError(
                f"plan: asks for layer {self._last_layer}, the model has {len(self._layers)}; make "
                "the plan for this model"
            )
        self._written: list[Path] = []
        self._hooks = AttentionHooks(self._layers, self._attention, self._leaving)

    # ---- while the block runs ----

    def __enter__(self) -> Capture:
        self._counting = self._model.register_forward_pre_hook(self._next_forward, with_kwargs=True)
        self._hooks.install()
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._hooks.remove()
        self._counting.remove()
        if kind is not None:
            return
        try:
            self._forwards.end()
        except UsageError:
            for path in self._written:  # under other steps' names
                path.unlink(missing_ok=True)
            raise
        found = {(s["step"], s["layer"], s["head"], s["branch"]) for s in self.statistics}
        missing = [
            (cell["step"], cell["layer"], cell["head"], branch)
            for cell in self.plan["cells"]
            for branch in self.plan["branches"]
            if (cell["step"], cell["layer"], cell["head"], branch) not in found
        ]
        if missing:
            step, layer, head, branch = missing[0]
            raise UsageError(
                f"capture: {len(missing)} planned cells never came, first step {step}, layer "
                f"{layer}, head {head}, {branch}; run all {self.plan['steps']} steps of the plan "
                "inside the block"
            )
        summary = {
            "schema": "karat.capture_statistics", "version": 1, "window": self._window,
            "cells": self.statistics,
        }  # fmt: skip
        temporary = self.folder / ".statistics.json.part"
        temporary.write_text(json.dumps(summary, indent=1) + "\n")
        temporary.rename(self.folder / "statistics.json")

    def _next_forward(self, _: Any, __: Any, named: dict[str, Any]) -> None:
        self._forwards.begin(timestep_of(named))

    def _leaving(self, layer: int, calls: int) -> None:
        if calls == 0 and self._wanted(layer):
            raise UsageError(
                f"capture: layer {layer} did not call scaled_dot_product_attention; choose that "
                'backend (diffusers: model.set_attention_backend("native")), call it as '
                "torch.nn.functional.scaled_dot_product_attention and do not compile the model"
            )

    def _wanted(self, layer: int) -> list[dict[str, Any]]:
        return self._cells.get((self._forwards.step, layer), [])

    def _attention(self, call: Call) -> Any:
        if call.number == 0 and self._wanted(call.layer):
            with self._torch.no_grad():
                self._take(call.layer, call.query, call.key, call.value)
        return call.unchanged()

    # ---- one layer's tensors ----

    def _take(self, layer: int, query: Any, key: Any, value: Any) -> None:
        query, key, value = (self._video(x) for x in (query, key, value))
        for first, count, branch in self._forwards.parts(query.shape[0]):
            if branch not in self.plan["branches"]:
                continue
            for b in range(count):
                for cell in self._wanted(layer):
                    if cell["head"] >= query.shape[1]:
                        raise UsageError(
                            f"plan: asks for head {cell['head']}, layer {layer} has "
                            f"{query.shape[1]}; make the plan for this model"
                        )
                    place = (first + b, cell["head"])
                    self._write(
                        cell, branch, self._prompt + b, *(x[place] for x in (query, key, value))
                    )

    def _video(self, x: Any) -> Any:
        """Video tokens alone of [B, H, S, D]."""
        tokens = len(self._tiles)
        extra = x.shape[-2] - tokens
        if x.ndim != 4 or extra < 0 or (extra > 0) != (self._text != "none"):
            raise UsageError(
                f"capture: attention of {tuple(x.shape)} where the plan's grid {self._grid} has "
                f'{tokens} tokens and text is "{self._text}"; give the plan of this resolution, or text='
            )
        return x[:, :, extra:] if self._text == "first" else x[:, :, :tokens]

    def _write(
        self, cell: Mapping[str, Any], branch: str, prompt: int, q: Any, k: Any, v: Any
    ) -> None:
        torch = self._torch
        tiles = torch.from_numpy(self._tiles).to(q.device)
        wanted = torch.tensor(sorted(cell["query_tiles"]), device=q.device)
        rows = torch.isin(tiles, wanted).nonzero().flatten()
        if len(rows) == 0:
            raise UsageError(
                f"plan: query_tiles {cell['query_tiles']} hold no token; make it again"
            )
        count = int(self._kept.shape[0])
        amax = torch.zeros(count, q.shape[-1], dtype=torch.float32, device=q.device)
        amax.scatter_reduce_(
            0, tiles[:, None].expand(-1, q.shape[-1]), q.abs().float(), "amax", include_self=True
        )
        name = f"p{prompt}.s{cell['step']}.l{cell['layer']}.h{cell['head']}.{branch}"
        tensors = {
            f"{name}.q": q[rows], f"{name}.k": k, f"{name}.v": v,
            f"{name}.q_tokens": rows.to(torch.int32), f"{name}.q_tile_amax": amax,
        }  # fmt: skip
        path = self.folder / f"{name}.safetensors"
        self._written.append(path)
        write_tensors(
            path,
            {key: x.contiguous().cpu() for key, x in tensors.items()},
            self._metadata(),
        )
        entropy, mass = self._softmax_facts(q[rows], k, tiles, tiles[rows])
        self.statistics.append(
            {
                "prompt": prompt,
                "step": cell["step"],
                "layer": cell["layer"],
                "head": cell["head"],
                "branch": branch,
                "q_amax": float(amax.max()),
                "k_amax": float(k.abs().max()),
                "v_amax": float(v.abs().max()),
                "entropy": entropy,
                "window_mass": mass,
            }  # fmt: skip
        )

    def _softmax_facts(self, q: Any, k: Any, tiles: Any, query_tiles: Any) -> tuple[float, float]:
        """Mean entropy in nats and mean mass inside the window, float32, 256 rows at a time."""
        torch = self._torch
        kept = torch.from_numpy(self._kept).to(q.device)
        entropy = mass = 0.0
        for begin in range(0, len(q), 256):
            part = slice(begin, begin + 256)
            s = (q[part].float() @ k.float().T) * q.shape[-1] ** -0.5
            log_p = torch.log_softmax(s, -1)
            p = log_p.exp()
            entropy -= float((p * log_p).nan_to_num().sum())
            mass += float((p * kept[query_tiles[part]][:, tiles]).sum())
        return entropy / len(q), mass / len(q)

    def _metadata(self) -> dict[str, str]:
        facts = {
            "grid": ",".join(str(n) for n in self._grid),
            "steps": str(self.plan["steps"]),
            "tile": ",".join(str(n) for n in self._tile),
        }
        if self.plan.get("sigma"):
            facts["sigma"] = json.dumps(self.plan["sigma"])
        for name in ("model", "guidance"):
            if self.plan.get(name) not in (None, ""):
                facts[name] = str(self.plan[name])
        return facts
