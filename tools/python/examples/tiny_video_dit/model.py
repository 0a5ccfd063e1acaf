"""A small diffusion transformer over video: full 3-D attention, 3-D RoPE, adaLN conditioning."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Callable

import torch
from rope import Grid, angles, rotate
from torch import nn
from torch.nn import functional

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """What a checkpoint's weights fit."""

    frames: int = 12
    height: int = 24
    width: int = 24
    channels: int = 3
    patch: Grid = (2, 2, 2)
    heads: int = 3
    head_dim: int = 64
    layers: int = 4
    mlp_ratio: int = 3
    classes: int = 8  # and one more label, `classes`, that says "no class" to guidance
    theta: float = 100.0

    @property
    def grid(self) -> Grid:
        """Tokens along t, h and w."""
        t, h, w = self.patch
        return self.frames // t, self.height // h, self.width // w

    @property
    def dim(self) -> int:
        return self.heads * self.head_dim

    def as_dict(self) -> dict:
        return asdict(self)

    @staticmethod
    def from_dict(fields: dict) -> Shape:
        return Shape(**{**fields, "patch": tuple(fields["patch"])})


class Attention(nn.Module):
    """Self-attention over all tokens. `kernel` takes the place of PyTorch's where it is set; q, k
    and v are [B, H, S, D] behind normalisation and RoPE, not multiplied by D^-1/2."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.head_dim = shape.heads, shape.head_dim
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim, bias=False)
        self.q_norm = nn.RMSNorm(shape.head_dim, eps=1e-6)
        self.k_norm = nn.RMSNorm(shape.head_dim, eps=1e-6)
        self.out = nn.Linear(shape.dim, shape.dim)
        self.kernel: Kernel | None = None

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, self.head_dim)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = (rotate(norm(y), cos, sin) for norm, y in ((self.q_norm, q), (self.k_norm, k)))
        kernel = self.kernel or functional.scaled_dot_product_attention
        o = kernel(q, k, v.contiguous())
        return self.out(o.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dim, hidden = shape.dim, shape.mlp_ratio * shape.dim
        self.attention_norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(shape)
        self.mlp_norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, dim)
        )
        self.modulation = nn.Parameter(torch.tensor([0.0, 0, 1, 0, 0, 1])[:, None].repeat(1, dim))

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """condition [B, 6, dim]: what all blocks share; each adds its own `modulation`."""
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (
            (condition + self.modulation).unsqueeze(2).unbind(1)
        )
        seen = self.attention_norm(x) * (1 + scale_a) + shift_a
        x = x + gate_a * self.attention(seen, cos, sin)
        seen = self.mlp_norm(x) * (1 + scale_m) + shift_m
        return x + gate_m * self.mlp(seen)


class VideoDiT(nn.Module):
    """Velocity of a rectified flow: forward(video [B, C, T, H, W], sigma [B], label [B]).

    A video smaller than `shape` is taken as the same scene seen coarsely: its tokens stand where
    the centres of their patches do."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        dim, values = shape.dim, shape.channels * math.prod(shape.patch)
        self.patch_in = nn.Linear(values, dim)
        self.sigma_in = nn.Sequential(nn.Linear(64, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label_in = nn.Embedding(shape.classes + 1, dim)
        self.condition = nn.Linear(dim, 6 * dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.out_norm = nn.LayerNorm(dim, elementwise_affine=False, eps=1e-6)
        self.out_modulation = nn.Linear(dim, 2 * dim)
        self.patch_out = nn.Linear(dim, values)
        self._start()

    def _start(self) -> None:
        """Conditioning and the last layer start at zero."""
        for layer in (self.condition, self.out_modulation, self.patch_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.label_in.weight, std=0.02)

    @property
    def attention_layers(self) -> list[Attention]:
        return [block.attention for block in self.blocks]

    def forward(
        self, video: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        grid = tuple(n // p for n, p in zip(video.shape[2:], self.shape.patch))
        turns = angles(grid, self.shape.grid, self.shape.head_dim, self.shape.theta)
        cos, sin = turns.cos(), turns.sin()
        x = self.patch_in(self._tokens(video, grid))
        condition = functional.silu(self.sigma_in(_waves(sigma)) + self.label_in(label))
        shared = self.condition(condition).view(len(video), 6, -1)
        for block in self.blocks:
            x = block(x, shared, cos, sin)
        shift, scale = self.out_modulation(condition).unsqueeze(1).chunk(2, dim=2)
        return self._video(self.patch_out(self.out_norm(x) * (1 + scale) + shift), grid)

    def _tokens(self, video: torch.Tensor, grid: Grid) -> torch.Tensor:
        """[B, C, T, H, W] -> [B, tokens, C * patch values], token (t*H + h)*W + w."""
        (t, h, w), (pt, ph, pw) = grid, self.shape.patch
        cut = video.reshape(-1, self.shape.channels, t, pt, h, ph, w, pw)
        return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(len(video), t * h * w, -1)

    def _video(self, tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
        (t, h, w), (pt, ph, pw) = grid, self.shape.patch
        cut = tokens.view(-1, t, h, w, self.shape.channels, pt, ph, pw)
        back = cut.permute(0, 4, 1, 5, 2, 6, 3, 7)
        return back.reshape(len(tokens), self.shape.channels, t * pt, h * ph, w * pw)


def _waves(sigma: torch.Tensor) -> torch.Tensor:
    """32 cosines and 32 sines of 1000 sigma, wavelengths 2 pi to 20000 pi."""
    rate = torch.exp(torch.arange(32, dtype=torch.float32) * (-math.log(10000.0) / 32))
    turn = 1000 * sigma[:, None] * rate
    return torch.cat((turn.cos(), turn.sin()), dim=1)
