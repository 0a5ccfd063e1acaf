#!/usr/bin/env python3
"""Which step tolerates which attention: one step perturbed at a time, then whole schedules.

    schedules.py --weights weights --work out/training/loop --out results/schedules.json

Predicted and measured drift of the schedules of schedules.json, and of those that `karat tune`
chooses from the measured weights at the work of one of them. Resumable run by run (karat.loop).
KARAT names the command, `karat` otherwise."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import checkpoint
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


def steps_of(phases: list[dict], steps: int) -> Schedule:
    """The kernel of every step of a schedule file's phases; the last one has no `until`."""
    made: Schedule = []
    for phase in phases:
        end = int(phase.get("until", 1) * steps + 1e-6)  # steps t = 1..end with t <= until * steps
        made += [phase["recipe"]["name"]] * (end - len(made))
    return made


def tuned(
    folder: Path, kind: str, shares: dict[str, float], budget: float
) -> tuple[Schedule, float]:
    """What `karat tune` chooses within the work, and the drift that it expects."""
    study, times = folder / "sensitivities.json", folder / "times.json"
    words = {"about": "share of the pairs, FP8", "dense": 1.0, "recipes": shares}
    times.write_text(json.dumps(words))
    command = [
        os.environ.get("KARAT", "karat"), "tune", "--from", study, "--weights", study,
        "--model", "wan2.1-1.3b", "--steps", STEPS, "--times", times, "--budget", STEPS * budget,
        "--candidates", ",".join(shares), "--per", "step", "--schedule", kind, "--json", "--quiet",
    ]  # fmt: skip
    said = json.loads(subprocess.run([str(x) for x in command], check=True, stdout=-1).stdout)
    named = {"general": "general_by_step"}.get(kind, kind)
    (main,) = [one for one in said["tuned"] if one["weights"] == said["weights"]]
    (point,) = [one for one in main["within_budget"] if one["kind"] == named]
    return steps_of(said["schedule"]["phases"], STEPS), point["drift"]


def choice(schedule: Schedule):
    recipes = {kernel: karat.Recipe(kernels.recipe(kernel)) for kernel in set(schedule)}
    return lambda step, layer: recipes[schedule[step]]


def local_error(study: dict, step: int, recipe: int) -> float:
    """Root mean square of a recipe's local errors in a step, over seeds, layers and heads."""
    rows = study["local"]["rows"]
    squares = [row[6] ** 2 for row in rows if (row[1], row[5]) == (step, recipe)]
    return float(np.sqrt(np.mean(squares)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE / "weights")
    parser.add_argument("--work", type=Path, required=True, help="folder where runs are kept")
    parser.add_argument("--out", type=Path, required=True, help="result")
    parser.add_argument("--perturb-seeds", type=int, nargs=2, default=TABLE["perturb_seeds"])
    parser.add_argument("--held-out-seeds", type=int, nargs=2, default=TABLE["held_out_seeds"])
    parser.add_argument("--sensitivities", action="store_true", help="stop before whole runs")
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
        perturb=[kernels.recipe(x) for x in TABLE["perturb"]], seeds=range(*given.perturb_seeds),
        state=given.work / "sensitivities", model_name="tiny_video_dit", rows=64, **common,
    )  # fmt: skip
    loop.write(study, given.work / "sensitivities.json")
    shares = {kernel: pairs(kernel, grid) for kernel in TABLE["candidates"]}
    all_schedules = {name: unrolled(phases) for name, phases in TABLE["schedules"].items()}
    budget = cost(all_schedules[TABLE["work_of"]], shares)
    expected = {}
    for kind, name in TABLE["chosen"].items():
        all_schedules[name], expected[name] = tuned(given.work, kind, shares, budget)
    if given.sensitivities:
        return
    compared = loop.compare(
        model, denoise, {name: choice(x) for name, x in all_schedules.items()}, study,
        seeds=range(*given.held_out_seeds), state=given.work / "compare", **common,
    )  # fmt: skip
    loop.write(compared, given.work / "compared.json")
    by_name = {one["name"]: one for one in compared["schedules"]}
    aligned = {
        name: loop.predicted(study, choice(schedule), errors="aligned")
        for name, schedule in all_schedules.items()
    }
    result = {
        "weights": TABLE["weights"], "shares": shares, "work": budget,
        "perturb_seeds": given.perturb_seeds, "held_out_seeds": given.held_out_seeds,
        "step_weights": study["weights"]["step"], "step_weights_by_seed": study["weights"]["seeds"],
        "perturbed": [
            {"seed": x["seed"], "step": x["step"], "drift": x["drift"][-1],
             "kernel": TABLE["candidates"][x["recipe"]]}
            for x in study["runs"] if x["kind"] == "step"
        ],
        "local": {
            kernel: [local_error(study, step, place) for step in range(STEPS)]
            for place, kernel in enumerate(TABLE["candidates"])
        },
        "schedules": [
            {
                "name": name, "kernels": x, "cost": cost(x, shares),
                "predicted": by_name[name]["predicted"], "aligned": aligned[name],
                "measured": by_name[name]["measured"], "tune": expected.get(name),
                "drift": [r["drift"] for r in compared["runs"] if r["name"] == name],
            }
            for name, x in all_schedules.items()
        ],
    }  # fmt: skip
    given.out.write_text(json.dumps(result).replace("}, {", "},\n{") + "\n")


if __name__ == "__main__":
    main()
