"""Means with 95 % intervals over training seeds and sampling seeds."""

from __future__ import annotations

from typing import Callable, Sequence

import numpy as np
from scipy.stats import t

DRAWS = 1000
Measure = Callable[[Sequence[np.ndarray]], float]


def mean(groups: Sequence[np.ndarray]) -> float:
    """Of all values; the groups are equally long."""
    return float(np.mean([np.mean(group) for group in groups]))


def interval(
    groups: Sequence[np.ndarray], measure: Measure = mean
) -> tuple[float, float, float]:
    """A measure of values that come in groups [training seed][sample, ...]: value, low, high.

    Training seeds are resampled, then the samples of each drawn one; the draws' standard deviation
    is widened by sqrt(n / (n - 1)) and multiplied by Student's t of n - 1 degrees, n the training
    seeds.
    With one training seed its samples alone are resampled, and n counts these: the interval then
    says nothing about other trainings."""
    random = np.random.Generator(np.random.Philox(7))
    value, many, count = measure(groups), len(groups), len(groups[0])
    group = random.integers(many, size=(DRAWS, many))
    drawn = random.integers(count, size=(DRAWS, many, count))
    if measure is mean:
        draws = np.stack(groups)[group[:, :, None], drawn].reshape(DRAWS, -1).mean(1)
    else:
        draws = [
            measure([groups[i][x] for i, x in zip(which, samples)])
            for which, samples in zip(group, drawn)
        ]
    n = len(groups) if len(groups) > 1 else len(groups[0])
    half = float(np.std(draws)) * np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)
    return value, value - half, value + half
