"""3-D rotary positions: channels of a head split over time, height and width."""

from __future__ import annotations

import torch

Grid = tuple[int, int, int]


def axis_channels(head_dim: int) -> Grid:
    """Channels that turn with t, h and w. Wan's split: twice a sixth for h and w, the rest t."""
    plane = 2 * (head_dim // 6)
    return head_dim - 2 * plane, plane, plane


def angles(grid: Grid, full: Grid, head_dim: int, theta: float) -> torch.Tensor:
    """Angles [T*H*W, head_dim / 2] of every token, w fastest: position * theta^(-2i / channels).
    Positions are those of the full grid: a coarser one has its tokens' centres between them."""
    centres = (
        (torch.arange(n, dtype=torch.float64) + 0.5) * (m / n) - 0.5 for n, m in zip(grid, full)
    )
    parts = []
    for place, channels in zip(torch.meshgrid(*centres, indexing="ij"), axis_channels(head_dim)):
        turns = theta ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
        parts.append(place.reshape(-1, 1) * turns)
    return torch.cat(parts, dim=1).float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns channels i and i + head_dim/2 of x [B, H, S, head_dim] by the tokens' angles."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)
