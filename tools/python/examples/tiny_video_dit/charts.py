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
from cells import HERE, Cells
from schedule_table import last_drifts, root_mean_square

matplotlib.use("svg")
matplotlib.rcParams |= {
    "svg.hashsalt": "training", "font.size": 8, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip
from matplotlib import pyplot  # noqa: E402

COLOURS = {"coarse": "#c44", "intermediate": "#d92", "fine": "#27b", "fp8": "#2a7"}


TABLE = json.loads((HERE / "schedules.json").read_text())
COMPARED = ("paper's shape", "uniform mixture", "dense warm-up")  # beside the chosen ones
FRAMES = {
    "base-0.dense": "full precision", "base-0.fp8": "FP8", "base-0.window": "window (3,3,3)",
    "base-0.fine": "both, fine", "base-0.naive": "both, a scale a tensor",
    "base-0.coarse": "coarse", "control-0.coarse": "coarse, more training",
    "coarse_qat-0.coarse": "coarse, trained", "fine_qat-0.fine": "fine, trained",
    "base-0.no_score_scale": "scales left out",
}  # fmt: skip


def keep(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def quality(cells: Cells, path: Path) -> None:
    """Drift and held-out loss of every measured row, with intervals; a dot is a training seed."""
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
            if len(groups) > 1:
                means = [group.mean() for group in groups]
                axis.plot(means, [place] * len(means), "o", color="#d92", markersize=2.5)
        axis.set_title(title)
    axes[0].set_yticks(range(len(rows)), [row["name"] for row in rows])
    keep(figure, path)


def sensitivity(result: dict, path: Path) -> None:
    """What one perturbed step does to the last latent, and attention's error in that step."""
    figure, axes = pyplot.subplots(1, 3, figsize=(7.2, 2.4))
    for kernel, local in result["local"].items():
        found = [x for x in result["perturbed"] if x["kernel"] == kernel]
        steps = range(len(local))
        axes[0].plot(steps, local, color=COLOURS[kernel], label=kernel)
        if found:
            of_step = ([x["drift"] for x in found if x["step"] == s] for s in steps)
            ends = [np.sqrt(np.mean(np.square(drift))) for drift in of_step]
            axes[1].plot(steps, ends, color=COLOURS[kernel])
    for one in result["step_weights_by_seed"]:
        axes[2].plot(one["step"], color="#bbb", linewidth=0.7)
    axes[2].plot(result["step_weights"], color="black")
    titles = ("error of attention", "drift of the last latent", "weight (grey: by seed)")
    for axis, title in zip(axes, titles):
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.set_yscale("log")
    axes[0].legend()
    keep(figure, path)


def schedules(result: dict, path: Path) -> None:
    """Measured drift beside what was predicted; drift over steps; drift against work."""
    figure, (bars, over, work) = pyplot.subplots(
        1, 3, figsize=(9.6, 3.2), width_ratios=(1.2, 1, 0.8)
    )
    listed = sorted(result["schedules"], key=lambda x: -x["measured"])
    colours = ("#c44", "#d92", "#27b", "#2a7", "#777")
    shown = dict(zip((*TABLE["chosen"].values(), *COMPARED), colours))
    for place, one in enumerate(listed):
        last = last_drifts(one)
        value, low, high = intervals.interval([last], root_mean_square)
        bars.barh(place, value, height=0.6, color=shown.get(one["name"], "#bcd"))
        bars.plot([low, high], [place, place], color="black", linewidth=1)
    places = range(len(listed))
    for name, mark in (("predicted", "o"), ("aligned", "x")):
        found = [one[name] for one in listed]
        bars.plot(found, places, mark, color="black", markersize=3, label=name)
    bars.set_yticks(places, [one["name"] for one in listed])
    bars.set_title("drift of the last latent")
    bars.legend()
    for one in listed:
        drift = np.sqrt(np.mean(np.square(one["drift"]), axis=0))
        if one["name"] in shown:
            over.plot(range(1, len(drift) + 1), drift, color=shown[one["name"]], label=one["name"])
        own = one["name"].startswith("all ")
        work.plot(one["cost"], one["measured"], "s" if own else "o", markersize=3,
                  color=shown.get(one["name"], "#777" if own else "#bcd"))  # fmt: skip
        if own:
            work.annotate(one["name"], (one["cost"], one["measured"]), fontsize=6,
                          xytext=(4, 3), textcoords="offset points")  # fmt: skip
    over.set_title("drift over steps")
    over.set_xlabel("steps done")
    over.legend(fontsize=6)
    work.set_title("drift against work")
    work.set_xlabel("share of the pairs")
    work.margins(x=0.3)
    keep(figure, path)


def frames(cells: Cells, samples: Path, path: Path, seeds: list[int]) -> None:
    """Each seed under each kept cell of FRAMES, one row a video with the cell's name before it,
    every other frame. Refuses a folder that has none of them."""
    rows, names = [], []
    for seed in seeds:
        for cell, name in FRAMES.items():
            kept = samples / f"{cell}.npz"
            if cell in cells.cells and kept.exists():
                rows.append(np.load(kept)[str(seed)][:, ::2])
                names.append(f"{seed} {name}")
    if not rows:
        raise SystemExit(f"{samples}: holds no samples of measured cells; run tools/training.sh")
    strip = pictures.strip(np.stack(rows), enlarge=3)
    pictures.write(path, pictures.named(strip, names, width=150))


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
