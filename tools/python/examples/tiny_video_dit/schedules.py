#!/usr/bin/env python3
"""Which step tolerates which attention: one step perturbed at a time, then whole schedules.

    schedules.py --weights weights --work out/training/loop --out results/schedules.json

Predicted and measured drift of the schedules of schedules.json, and of the three phases that the
measured weights choose at the cost of the paper's shape. Resumable run by run (karat.loop)."""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import checkpoint
import flow
import kernels
import numpy as np
import sample
import torch

import karat
from karat import loop

HERE = Path(__file__).parent
TABLE = json.loads((HERE / "schedules.json").read_text())
STEPS = sample.SETTINGS["steps"]
Schedule = list[str]  # the kernel of every step


def unrolled(phases: list) -> Schedule:
    made = [kernel for kernel, steps in phases for _ in range(steps)]
    if len(made) != STEPS:
        raise ValueError(f"{phases}: {len(made)} steps, {STEPS} are run")
    return made


def pairs(kernel: str, grid: tuple[int, int, int]) -> float:
    """Share of (query, key) pairs that the kernel computes."""
    recipe = kernels.recipe(kernel)
    if recipe.get("mask", {}).get("kind") == "none":
        return 1.0
    return float(karat.block_mask(recipe, grid).density)


def cost(schedule: Schedule, shares: dict[str, float]) -> float:
    """Work of a run, against FP8 over all pairs in every step."""
    return sum(shares[kernel] for kernel in schedule) / STEPS


def chosen(study: dict, candidates: list[str], shares: dict[str, float], budget: float) -> Schedule:
    """The three phases of least predicted drift whose cost is within the budget."""
    square = {
        (kernel, step): loop.predicted(study, only(kernel, step)) ** 2
        for kernel in candidates
        for step in range(STEPS)
    }
    best: tuple[float, Schedule] = (np.inf, [])
    for names in itertools.product(candidates, repeat=3):
        for a, b in itertools.combinations_with_replacement(range(STEPS + 1), 2):
            made = [names[0]] * a + [names[1]] * (b - a) + [names[2]] * (STEPS - b)
            if cost(made, shares) <= budget + 1e-9:
                total = sum(square[kernel, step] for step, kernel in enumerate(made))
                best = min(best, (total, made))
    return best[1]


def only(kernel: str, at: int):
    """A recipe in one step and PyTorch's attention in the others, as karat.loop takes it."""
    recipe = karat.Recipe(kernels.recipe(kernel))
    return lambda step, layer: recipe if step == at else None


def choice(schedule: Schedule):
    recipes = {kernel: karat.Recipe(kernels.recipe(kernel)) for kernel in set(schedule)}
    return lambda step, layer: recipes[schedule[step]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE / "weights")
    parser.add_argument("--work", type=Path, required=True, help="folder where runs are kept")
    parser.add_argument("--out", type=Path, required=True, help="result")
    parser.add_argument("--perturb-seeds", type=int, nargs=2, default=TABLE["perturb_seeds"])
    parser.add_argument("--held-out-seeds", type=int, nargs=2, default=TABLE["held_out_seeds"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, _ = checkpoint.load_weights(given.weights / f"{TABLE['weights']}.safetensors")
    grid = model.shape.grid
    common = {
        "adapter": loop.Adapter(model.attention_layers, guidance="calls"),
        "grid": grid, "threads": 1, "progress": True,
    }  # fmt: skip

    def denoise(seed: int, run: loop.Run) -> None:
        sample.one(model, seed, after_step=lambda _, x: run.latents(x))

    study = loop.sensitivities(
        model, denoise, recipes=[kernels.recipe(x) for x in TABLE["candidates"]], steps=STEPS,
        seeds=range(*given.perturb_seeds), sigma=flow.sigmas(STEPS, sample.SETTINGS["shift"])[:-1],
        state=given.work / "sensitivities", model_name="tiny_video_dit", rows=64, **common,
    )  # fmt: skip
    loop.write(study, given.work / "sensitivities.json")
    shares = {kernel: pairs(kernel, grid) for kernel in TABLE["candidates"]}
    all_schedules = {name: unrolled(phases) for name, phases in TABLE["schedules"].items()}
    budget = cost(all_schedules["paper's shape"], shares)
    all_schedules["chosen by measured weights"] = chosen(
        study, TABLE["candidates"], shares, budget
    )
    compared = loop.compare(
        model, denoise, {name: choice(x) for name, x in all_schedules.items()}, study,
        seeds=range(*given.held_out_seeds), state=given.work / "compare", **common,
    )  # fmt: skip
    loop.write(compared, given.work / "compared.json")
    by_name = {one["name"]: one for one in compared["schedules"]}
    local = np.array(study["local"]["rows"])
    result = {
        "weights": TABLE["weights"], "shares": shares, "spearman": compared["spearman"],
        "perturb_seeds": given.perturb_seeds, "held_out_seeds": given.held_out_seeds,
        "step_weights": study["weights"]["step"], "step_weights_by_seed": study["weights"]["seeds"],
        "perturbed": [
            {"seed": x["seed"], "step": x["step"], "drift": x["drift"][-1],
             "kernel": TABLE["candidates"][x["recipe"]]}
            for x in study["runs"] if x["kind"] == "step"
        ],
        "local": {
            kernel: [
                float(np.sqrt(np.mean(local[(local[:, 1] == s) & (local[:, 5] == i), 6] ** 2)))
                for s in range(STEPS)
            ]
            for i, kernel in enumerate(TABLE["candidates"])
        },
        "schedules": [
            {
                "name": name, "kernels": x, "cost": cost(x, shares),
                "predicted": by_name[name]["predicted"], "measured": by_name[name]["measured"],
                "drift": [r["drift"] for r in compared["runs"] if r["name"] == name],
            }
            for name, x in all_schedules.items()
        ],
    }  # fmt: skip
    given.out.write_text(json.dumps(result).replace("}, {", "},\n{") + "\n")


if __name__ == "__main__":
    main()
