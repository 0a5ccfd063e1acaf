"""Rectified flow: the loss, and Euler steps with classifier-free guidance.

x_sigma = (1 - sigma) * video + sigma * noise; the model predicts noise - video, which is dx/dsigma.
"""

from __future__ import annotations

from typing import Callable

import torch
from model import VideoDiT
from torch.nn import functional

AfterStep = Callable[[int, torch.Tensor], None]  # told each step's number and its latents


def loss(
    model: VideoDiT,
    video: torch.Tensor,
    label: torch.Tensor,
    random: torch.Generator,
    *,
    no_class: float,
) -> torch.Tensor:
    """Mean squared error of the velocity at logit-normal sigmas; a share `no_class` of the videos
    is shown without its class, for guidance."""
    count = len(video)
    sigma = torch.randn(count, generator=random).sigmoid()
    noise = torch.randn(video.shape, generator=random)
    hidden = torch.rand(count, generator=random) < no_class
    label = torch.where(hidden, model.shape.classes, label)
    at = sigma[:, None, None, None, None]
    return functional.mse_loss(model((1 - at) * video + at * noise, sigma, label), noise - video)


def sigmas(steps: int, shift: float) -> list[float]:
    """Noise levels 1 to 0 of `steps` steps, steps + 1 numbers: u -> shift*u / (1 + (shift - 1)*u)
    of even u, as Wan's and HunyuanVideo's schedulers have it."""
    even = [1 - i / steps for i in range(steps + 1)]
    return [shift * u / (1 + (shift - 1) * u) for u in even]


def start(seeds: list[int], size: tuple[int, ...]) -> torch.Tensor:
    """Noise of each seed, [len(seeds), *size]: a function of the seed alone."""
    return torch.stack(
        [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


@torch.no_grad()
def sample(
    model: VideoDiT,
    noise: torch.Tensor,
    label: torch.Tensor,
    *,
    steps: int,
    guidance: float,
    shift: float,
    after_step: AfterStep | None = None,
) -> torch.Tensor:
    """Latents at sigma 0. Two forwards a step, with the class and then without it."""
    x, levels = noise, sigmas(steps, shift)
    none = torch.full_like(label, model.shape.classes)
    for step, (sigma, next_sigma) in enumerate(zip(levels, levels[1:])):
        at = torch.full((len(x),), sigma)
        with_class, without = model(x, at, label), model(x, at, none)
        x = x + (next_sigma - sigma) * (without + guidance * (with_class - without))
        if after_step:
            after_step(step, x)
    return x
