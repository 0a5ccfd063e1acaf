#!/usr/bin/env python3
"""Samples and measures every row of rows.json for every training seed.

    table_a.py --seeds 0,1,2 --work out/training/samples --out results/table_a.json

Resumable by sample. A cell whose weights are not there is named and left out. Numbers of each
sample are kept, so that tables and intervals can be made from the file alone (tables.py)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import checkpoint
import data
import features
import kernels
import measures
import numpy as np
import sample
import torch

HERE = Path(__file__).parent
REFERENCE = "dense"


def rows() -> dict:
    return json.loads((HERE / "rows.json").read_text())


def samples(model, kept: Path, seeds: list[int], tell) -> np.ndarray:
    """Videos of the seeds, [N, 3, T, H, W]; those kept in the file are not sampled again."""
    have = dict(np.load(kept)) if kept.exists() else {}
    for seed in seeds:
        if str(seed) not in have:
            have[str(seed)] = sample.one(model, seed).numpy()
            part = kept.with_suffix(".part.npz")
            np.savez(part, **have)
            part.replace(kept)
            tell()
    return np.stack([have[str(seed)] for seed in seeds])


def made(given, weights: str, kernel: str, seeds: list[int], progress) -> tuple:
    """The model as the cell has it, and its samples."""
    progress.cell = f"{weights}.{kernel}"
    model, _ = checkpoint.load_weights(given.weights / f"{weights}.safetensors")
    kernels.use(model, kernel)
    return model, samples(model, given.work / f"{progress.cell}.npz", seeds, progress)


class Progress:
    def __init__(self, total: int) -> None:
        self.total, self.done, self.begun, self.cell = total, 0, time.time(), ""

    def __call__(self) -> None:
        self.done += 1
        each = (time.time() - self.begun) / self.done
        left = each * (self.total - self.done) / 60
        print(f"{self.cell}  {self.done}/{self.total} samples  {left:.1f} minutes left", flush=True)


def measure(model, videos, reference, net, seeds, held_out: int) -> dict:
    """All numbers of one cell."""
    seen, label = measures.features(net, videos)
    return {
        "psnr": [
            round(x, 4) if np.isfinite(x) else None  # a sample against itself
            for x in (measures.psnr(a, b) for a, b in zip(videos, reference))
        ],
        "ssim": [round(measures.ssim(a, b), 5) for a, b in zip(videos, reference)],
        "drift": [float(f"{measures.drift(a, b):.5g}") for a, b in zip(videos, reference)],
        "right": [int(a == b % len(data.CLASSES)) for a, b in zip(label, seeds)],
        "features": [[round(x, 4) for x in row] for row in seen.tolist()],
        "loss": [round(x, 6) for x in measures.held_out_loss(model, held_out)],
    }


def of_the_data(net) -> dict:
    """What real videos show: the moments that samples are held against, and groups of as many
    videos as a cell has samples."""
    count = sample.SETTINGS["seeds"]
    known = measures.features(net, data.batch("reference", range(1000, 1512))[0])[0]
    groups = []
    for first in range(2000, 2000 + 3 * count, count):
        seen = measures.features(net, data.batch("reference", range(first, first + count))[0])
        groups.append([[round(x, 4) for x in row] for row in seen[0].tolist()])
    mean, covariance = measures.moments(known)
    return {
        "mean": mean.round(4).tolist(), "covariance": covariance.round(4).tolist(),
        "groups": groups,
    }  # fmt: skip


def write(path: Path, result: dict) -> None:
    part = path.with_suffix(".part")
    text = json.dumps(result, sort_keys=True, allow_nan=False)
    part.write_text(text.replace('}, "', '},\n"') + "\n")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE / "weights")
    parser.add_argument("--seeds", default="0,1,2", help="training seeds")
    parser.add_argument("--rows", help="by number from 0, comma-separated; all otherwise")
    parser.add_argument("--samples", type=int, help="sampling seeds of each cell")
    parser.add_argument("--held-out", type=int, default=rows()["held_out_videos"])
    parser.add_argument("--work", type=Path, required=True, help="folder where samples are kept")
    parser.add_argument("--out", type=Path, required=True, help="cells in it stay")
    given = parser.parse_args()
    torch.set_num_threads(1)
    table, seeds = rows(), sample.seeds(given.samples)
    chosen = table["rows"]
    if given.rows:
        chosen = [chosen[int(i)] for i in given.rows.split(",")]
    net = features.load(given.weights / "features.safetensors")
    result = json.loads(given.out.read_text()) if given.out.exists() else {"cells": {}}
    if "data" not in result:
        result["data"] = of_the_data(net)
    given.work.mkdir(parents=True, exist_ok=True)
    cells = []
    for training_seed in given.seeds.split(","):
        base = f"base-{training_seed}"
        for row in chosen:
            weights = row["weights"].format(seed=training_seed)
            if not (given.weights / f"{weights}.safetensors").exists():
                print(f"left out: {row['name']}, training seed {training_seed}: no {weights}")
            elif f"{weights}.{row['kernel']}" not in result["cells"]:
                cells.append((base, weights, row["kernel"]))
    progress = Progress(len(cells) * len(seeds))
    for base, weights, kernel in cells:
        reference = made(given, base, REFERENCE, seeds, progress)[1]
        model, videos = made(given, weights, kernel, seeds, progress)
        result["cells"][f"{weights}.{kernel}"] = measure(
            model, videos, reference, net, seeds, given.held_out
        )
        write(given.out, result)


if __name__ == "__main__":
    main()
