#!/usr/bin/env python3
"""Samples and measures every row of rows.json for every training seed.

    table_a.py --seeds 0,1,2 --work out/training/samples --out results/table_a.json

Resumable by sample; samples and cells of other weights or settings are refused. A cell whose
weights are not there is named and left out. Numbers of each sample are kept, so that tables and
intervals can be made from the file alone (tables.py)."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import checkpoint
import data
import features
import kernels
import measures
import numpy as np
import sample
import torch

import karat

HERE = Path(__file__).parent
REFERENCE = "dense"


def rows() -> dict:
    return json.loads((HERE / "rows.json").read_text())


def hashed(*values) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def made_of(folder: Path, weights: str, kernel: str) -> str:
    """What a sample is a function of, beside its seed."""
    fields = kernels.recipe(kernel)
    row = kernels.TABLE["kernels"][kernel]
    how = karat.Recipe(fields).to_dict() if fields else [
        row.get("pairs_of"), kernels.TABLE["geometry"], kernels.TABLE["mask_tile"]
    ]  # fmt: skip
    settings = {name: sample.SETTINGS[name] for name in ("steps", "guidance", "shift")}
    return hashed(checkpoint.digest(folder / f"{weights}.safetensors"), how, settings)


def same(found, wanted: str, where: str) -> None:
    """Refuses what was made of something else; what does not say is taken, with a word."""
    if found is None:
        print(f"{where}: does not say what it was made of; taken as of these weights", flush=True)
    elif str(found) != wanted:
        raise SystemExit(f"{where}: is of other weights or settings; give another folder")


def samples(model, kept: Path, seeds: list[int], tell, digest: str) -> np.ndarray:
    """Videos of the seeds, [N, 3, T, H, W]; those kept in the file are not sampled again."""
    have = dict(np.load(kept)) if kept.exists() else {}
    if have:
        same(have.get("made_of"), digest, str(kept))
    have["made_of"] = np.array(digest)
    for seed in seeds:
        if str(seed) not in have:
            have[str(seed)] = sample.one(model, seed).numpy()
            part = kept.with_suffix(".part.npz")
            np.savez(part, **have)
            part.replace(kept)
            tell()
    return np.stack([have[str(seed)] for seed in seeds])


@contextmanager
def made(given, weights: str, kernel: str, seeds: list[int], progress) -> Iterator[tuple]:
    """The model as the cell has it, and its samples."""
    progress.cell = f"{weights}.{kernel}"
    model, _ = checkpoint.load_weights(given.weights / f"{weights}.safetensors")
    digest = made_of(given.weights, weights, kernel)
    kept = given.work / f"{progress.cell}.npz"
    with kernels.used(model, kernel):
        yield model, samples(model, kept, seeds, progress, digest)


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
    """What real videos show: the moments that samples are held against, and 16 groups of as many
    videos as a cell has samples."""
    count = sample.SETTINGS["seeds"]
    known = measures.features(net, data.batch("reference", range(1000, 1512))[0])[0]
    groups = []
    for first in range(2000, 2000 + 16 * count, count):
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
    cells: list[tuple[str, str, str, str]] = []
    net_digest = checkpoint.digest(given.weights / "features.safetensors")
    for training_seed in given.seeds.split(","):
        base = f"base-{training_seed}"
        for row in chosen:
            weights = row["weights"].format(seed=training_seed)
            if not (given.weights / f"{weights}.safetensors").exists():
                print(f"left out: {row['name']}, training seed {training_seed}: no {weights}")
                continue
            digest = hashed(
                *(made_of(given.weights, *x) for x in ((weights, row["kernel"]), (base, REFERENCE))),
                net_digest, seeds, given.held_out,
            )  # fmt: skip
            name = f"{weights}.{row['kernel']}"
            if name in result["cells"]:
                same(result["cells"][name].get("made_of"), digest, f"{given.out}, {name}")
            else:
                cells.append((base, weights, row["kernel"], digest))
    progress = Progress(len(cells) * len(seeds))
    for base, weights, kernel, digest in cells:
        with made(given, base, REFERENCE, seeds, progress) as (_, reference):
            pass
        with made(given, weights, kernel, seeds, progress) as (model, videos):
            cell = measure(model, videos, reference, net, seeds, given.held_out)
        result["cells"][f"{weights}.{kernel}"] = cell | {"made_of": digest}
        write(given.out, result)


if __name__ == "__main__":
    main()
