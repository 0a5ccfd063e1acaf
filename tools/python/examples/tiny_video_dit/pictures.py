"""Frames as a picture: one video a row, its frames beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def strip(videos: np.ndarray, *, enlarge: int = 3, gap: int = 1) -> np.ndarray:
    """Videos [N, 3, T, H, W] in [-1, 1] -> uint8 picture [rows, columns, 3]."""
    seen = np.rint(127.5 * (np.clip(videos, -1, 1) + 1)).astype(np.uint8)
    seen = np.pad(seen, ((0, 0), (0, 0), (0, 0), (0, gap), (0, gap)), constant_values=255)
    n, c, t, h, w = seen.shape
    flat = seen.transpose(0, 3, 2, 4, 1).reshape(n * h, t * w, c)
    return flat.repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def named(picture: np.ndarray, names: list[str], *, width: int = 90) -> np.ndarray:
    """A strip with a name before each of its rows of videos."""
    height = picture.shape[0] // len(names)
    margin = Image.new("RGB", (width, picture.shape[0]), "white")
    draw = ImageDraw.Draw(margin)
    for row, name in enumerate(names):
        draw.text((2, row * height + height // 2 - 6), name, fill="black")
    return np.concatenate([np.asarray(margin), picture], 1)


def write(path: str | Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, optimize=True)
