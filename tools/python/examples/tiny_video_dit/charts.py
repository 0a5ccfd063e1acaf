#!/usr/bin/env python3
"""Draws the pictures of docs/training.md from results/*.json and kept samples.

    charts.py --out docs/pictures                             # what results/ holds
    charts.py --out docs/pictures --samples out/training/samples   # also the frames"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import intervals
import matplotlib
import numpy as np
import pictures
from tables import HERE, Cells

matplotlib.use("svg")
matplotlib.rcParams |= {
    "svg.hashsalt": "training", "font.size": 8, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip
from matplotlib import pyplot  # noqa: E402

COLOURS = {"coarse": "#c44", "intermediate": "#d92", "fine": "#27b", "fp8": "#2a7"}


def keep(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def quality(cells: Cells, path: Path) -> None:
    """Drift and held-out loss of every measured row, with intervals."""
    rows = json.loads((HERE / "rows.json").read_text())["rows"]
    rows = [row for row in rows if cells.seeds(row["weights"], row["kernel"])][::-1]
    figure, axes = pyplot.subplots(1, 2, figsize=(7.2, 0.6 + 0.2 * len(rows)), sharey=True)
    shown = (("drift", "drift from full precision"), ("loss", "held-out loss"))
    for axis, (name, title) in zip(axes, shown):
        for place, row in enumerate(rows):
            seeds = cells.seeds(row["weights"], row["kernel"])
            groups = cells.values(row["weights"], row["kernel"], name, seeds)
            value, low, high = intervals.interval(groups)
            axis.barh(place, value, color="#27b", height=0.6)
            axis.plot([max(low, 0), high], [place, place], color="black", linewidth=1)
        axis.set_title(title)
    axes[0].set_yticks(range(len(rows)), [row["name"] for row in rows])
    keep(figure, path)


def sensitivity(result: dict, path: Path) -> None:
    """What one perturbed step does to the last latent, and attention's error in that step."""
    figure, axes = pyplot.subplots(1, 3, figsize=(7.2, 2.4))
    for kernel, local in result["local"].items():
        found = [x for x in result["perturbed"] if x["kernel"] == kernel]
        steps = range(len(local))
        ends = [np.sqrt(np.mean([x["drift"] ** 2 for x in found if x["step"] == s])) for s in steps]
        axes[0].plot(steps, local, color=COLOURS[kernel], label=kernel)
        axes[1].plot(steps, ends, color=COLOURS[kernel])
    axes[2].plot(result["step_weights"], color="black")
    for axis, title in zip(axes, ("error of attention", "drift of the last latent", "weight")):
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.set_yscale("log")
    axes[0].legend()
    keep(figure, path)


def schedules(result: dict, path: Path) -> None:
    """Predicted against measured drift, and drift against the work of a run."""
    figure, axes = pyplot.subplots(1, 3, figsize=(7.2, 2.8))
    for axis in axes[:2]:
        axis.set_title("drift, measured")
    for one in result["schedules"]:
        mark = "o" if one["name"].startswith(("paper", "chosen", "uniform", "dense warm")) else "."
        axes[0].plot(one["predicted"], one["measured"], mark, color="#27b")
        axes[1].plot(one["cost"], one["measured"], mark, color="#27b")
        axes[1].annotate(one["name"], (one["cost"], one["measured"]), fontsize=4)
        if mark == "o":
            drift = np.sqrt(np.mean(np.square(one["drift"]), axis=0))
            axes[2].plot(drift, label=one["name"])
    axes[2].set_title("drift over steps")
    for axis, below in zip(axes, ("predicted", "work", "step")):
        axis.set_xlabel(below)
    axes[2].legend(fontsize=5)
    keep(figure, path)


def frames(cells: Cells, samples: Path, path: Path, seeds: list[int]) -> None:
    """Each seed under each measured kernel of the base weights, one row a video with the kernel's
    name before it, every other frame. Refuses a folder that has none of them."""
    rows, names = [], []
    for seed in seeds:
        for kernel in ("dense", "fp8", "window", "fine", "coarse", "no_score_scale"):
            kept = samples / f"base-0.{kernel}.npz"
            if f"base-0.{kernel}" in cells.cells and kept.exists():
                rows.append(np.load(kept)[str(seed)][:, ::2])
                names.append(kernel)
    if not rows:
        raise SystemExit(f"{samples}: holds no samples of measured cells; run tools/training.sh")
    pictures.write(path, pictures.named(pictures.strip(np.stack(rows), enlarge=2), names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=Path, help="folder of kept samples: draws the frames too")
    given = parser.parse_args()
    table, runs = HERE / "results/table_a.json", HERE / "results/schedules.json"
    cells = Cells(json.loads(table.read_text())) if table.exists() else None
    if cells:
        quality(cells, given.out / "training-quality.svg")
    if runs.exists():
        result = json.loads(runs.read_text())
        sensitivity(result, given.out / "training-sensitivity.svg")
        schedules(result, given.out / "training-schedules.svg")
    if cells and given.samples:
        frames(cells, given.samples, given.out / "training-frames.png", [1001, 1004])


if __name__ == "__main__":
    main()
