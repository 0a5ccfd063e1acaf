"""How long a recipe takes on a Hopper GPU."""

from __future__ import annotations

import json
from typing import Any, Sequence

from . import _core
from ._recipe import RecipeLike, as_recipe


def _question(**given: Any) -> str:
    if given.get("grid") is not None:
        given["grid"] = [int(n) for n in given["grid"]]
    return json.dumps({name: value for name, value in given.items() if value is not None})


def cost(
    recipe: RecipeLike = "fpsattention",
    *,
    gpu: str = "H100",
    model: str | None = None,
    resolution: str | None = None,
    grid: Sequence[int] | None = None,
    tokens: int | None = None,
    batch: int | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    causal: bool | None = None,
    kernel: str | None = None,
    steps: int | None = None,
    forwards: int | None = None,
    dense_steps: int | None = None,
    gpus: int | None = None,
    linear: str | None = None,
    power: float | None = None,
    varlen: bool | None = None,
    split_keys: bool | None = None,
    backward: bool | None = None,
    launch_gap_us: float | None = None,
    exchange_us: float | None = None,
    outside_share: float | None = None,
) -> dict[str, Any]:
    """Time of one attention launch in the pipeline model, and of a whole run when a model is named.

    gpu: "H100", "H100-PCIe", "H100-NVL", "H200", "H800", "H800-PCIe", "H20", "H20-3e" or a
        machine's .json; power: its limit in W. Shape: model and
        resolution, or grid
    (T, H, W), or tokens, with heads, kv_heads and head_dim; varlen: packed sequences;
    backward: the gradients' kernels too, predicted and not validated. launch_gap_us, exchange_us
    and outside_share: open terms of a model's run.

    Returns the fields of ``karat cost --json`` (docs/time-model.md): time_ms, tflops, speedup,
    bound_by, busy, plan, ... and run (run_s, speedup, ...). Raises UsageError.
    """
    question = _question(
        gpu=gpu, model=model, resolution=resolution, grid=grid, tokens=tokens, batch=batch,
        heads=heads, head_dim=head_dim, causal=causal, kernel=kernel, steps=steps, forwards=forwards,
        dense_steps=dense_steps, gpus=gpus, linear=linear, kv_heads=kv_heads, power=power,
        varlen=varlen, split_keys=split_keys, backward=backward, launch_gap_us=launch_gap_us,
        exchange_us=exchange_us, outside_share=outside_share,
    )  # fmt: skip
    return json.loads(_core.cost(as_recipe(recipe)._core, question))


def cost_picture(
    recipe: RecipeLike = "fpsattention", *, kind: str = "svg", gpu: str = "H100", **shape: Any
) -> str:
    """The launch as SVG (Gantt of an SM, roofline, occupancy), or ``kind="trace"`` for Perfetto.

    ``shape``: as for cost(); with ``backward=True`` a trace shows the backward's kernels too.
    """
    return _core.cost_picture(as_recipe(recipe)._core, _question(gpu=gpu, **shape), kind)
