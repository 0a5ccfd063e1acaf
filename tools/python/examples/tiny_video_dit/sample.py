#!/usr/bin/env python3
"""Samples videos from a checkpoint, with PyTorch's attention or a row of kernels.json.

    sample.py weights/base-0.safetensors --kernel fine --count 8 --png frames.png --out samples.npy

A video is a function of weights, kernel and seed: each is sampled alone, on one thread. Its class
is the seed modulo the number of classes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import checkpoint
import flow
import kernels
import numpy as np
import pictures
import torch
from model import VideoDiT

SETTINGS = json.loads(Path(__file__).with_name("sampling.json").read_text())


def seeds(count: int | None = None) -> list[int]:
    """The held-out sampling seeds."""
    first = SETTINGS["first_seed"]
    return list(range(first, first + (count or SETTINGS["seeds"])))


def one(
    model: VideoDiT, seed: int, *, after_step: flow.AfterStep | None = None
) -> torch.Tensor:
    """The video of a seed, [3, T, H, W]."""
    shape = model.shape
    noise = flow.start([seed], (shape.channels, shape.frames, shape.height, shape.width))
    label = torch.tensor([seed % shape.classes])
    made = flow.sample(
        model, noise, label, after_step=after_step,
        **{name: SETTINGS[name] for name in ("steps", "guidance", "shift")},
    )  # fmt: skip
    return made[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--kernel", default="dense", choices=kernels.names())
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--png", type=Path, help="frames beside each other, one video a row")
    parser.add_argument("--out", type=Path, help=".npy, float32 [count, 3, T, H, W] in [-1, 1]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, _ = checkpoint.load_weights(given.weights)
    with kernels.used(model, given.kernel):
        videos = np.stack([one(model, seed).numpy() for seed in seeds(given.count)])
    if given.out:
        np.save(given.out, videos)
    if given.png:
        pictures.write(given.png, pictures.strip(videos))


if __name__ == "__main__":
    main()
