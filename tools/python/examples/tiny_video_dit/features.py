#!/usr/bin/env python3
"""The feature net of the Fréchet distance: a small classifier of the data set's own videos.

    features.py --out weights/features.safetensors

Trained once on videos that no model is trained on, with noise on its input; its 16 features are
what its last layer reads."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import data
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

FIRST_VIDEO = 9 * 10**9  # of the training split: behind those of every training seed
FEATURES = 16


class FeatureNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 32)
        self.convolutions = nn.ModuleList(
            nn.Conv3d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:])
        )
        self.narrow = nn.Linear(32 * 2 * 3 * 3, FEATURES)
        self.classify = nn.Linear(FEATURES, len(data.CLASSES))

    def features(self, video: torch.Tensor) -> torch.Tensor:
        """[B, 3, 12, 24, 24] -> [B, 16]"""
        for layer in self.convolutions:
            video = nn.functional.relu(layer(video))
        return self.narrow(video.flatten(1))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return self.classify(nn.functional.relu(self.features(video)))


def load(path: str | Path) -> FeatureNet:
    net = FeatureNet()
    net.load_state_dict(load_file(path))
    return net.eval()


def train(steps: int, batch: int = 32) -> tuple[FeatureNet, float]:
    """The net, and the share of 256 reference videos it classifies right."""
    torch.manual_seed(0)
    net, random = FeatureNet(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    rates = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, total_iters=steps)
    for step in range(steps):
        first = FIRST_VIDEO + step * batch
        videos, labels = data.batch("train", range(first, first + batch))
        video = torch.from_numpy(videos)
        level = 0.2 * torch.rand((batch, 1, 1, 1, 1), generator=random)
        seen = video + level * torch.randn(video.shape, generator=random)
        optimiser.zero_grad()
        lost = nn.functional.cross_entropy(net(seen), torch.from_numpy(labels))
        lost.backward()
        optimiser.step()
        rates.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{steps}  loss {lost.item():.4f}", flush=True)
    videos, labels = data.batch("reference", range(256))
    with torch.no_grad():
        right = net.eval()(torch.from_numpy(videos)).argmax(1).numpy() == labels
    return net, float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    net, right = train(given.steps)
    save_file(net.state_dict(), given.out, metadata={"right": json.dumps(right)})
    print(f"{100 * right:.1f} % of the reference videos classified right")


if __name__ == "__main__":
    main()
