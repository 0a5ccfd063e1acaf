"""The measured cells of Table A, and what is told of them without sampling."""

from __future__ import annotations

from pathlib import Path

import data
import features
import intervals
import measures
import numpy as np
import sample
import torch

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
COMPONENTS = 4  # of the features, for the Fréchet distance: 16 samples are too few for all 16
NOT_RUN = "not run"


class Cells:
    """The measured cells of Table A by row, training seed after training seed."""

    def __init__(self, result: dict) -> None:
        self.cells, self.data = result["cells"], result["data"]

    def seeds(self, weights: str, kernel: str) -> list[int]:
        return [s for s in SEEDS if f"{weights.format(seed=s)}.{kernel}" in self.cells]

    def common(self, used: list) -> list[int]:
        """Training seeds that have every (weights, kernel)."""
        return [s for s in SEEDS if all(s in self.seeds(w, k) for w, k in used)]

    def values(self, weights: str, kernel: str, name: str, seeds: list[int]) -> list[np.ndarray]:
        return [
            np.array(self.cells[f"{weights.format(seed=s)}.{kernel}"][name], float) for s in seeds
        ]


def shapes_seen(cells: Cells, weights: str, kernel: str, seeds: list[int]) -> list[np.ndarray]:
    """100 where the feature net sees the asked shape, else 0. Shapes take turns in the classes."""
    net, made = features.load(HERE / "weights/features.safetensors"), []
    for seen in cells.values(weights, kernel, "features", seeds):
        with torch.no_grad():
            label = net.classify(torch.from_numpy(seen).float().relu()).argmax(1).numpy()
        asked = np.array(sample.seeds(len(label)))
        made.append(100.0 * (label % len(data.SHAPES) == asked % len(data.SHAPES)))
    return made


def frechet_of(cells: Cells) -> intervals.Measure:
    """To the real videos, in their features' first principal components, each in units of its
    standard deviation among them."""
    mean = np.array(cells.data["mean"])
    onto = measures.principal(mean, np.array(cells.data["covariance"]), COMPONENTS)
    known = np.zeros(COMPONENTS), np.eye(COMPONENTS)

    def distance(groups) -> float:
        return float(np.mean([measures.frechet((x - mean) @ onto, known) for x in groups]))

    return distance


def figure(found: tuple[float, float, float], least: float = 0, most: float = np.inf) -> str:
    """An interval ends where nothing can lie beyond."""
    value, low, high = found
    return f"{value:.3g} ({max(low, least):.3g} to {min(high, most):.3g})"
