"""Moving shapes: a generated, class-conditional data set of short videos.

A video is 12 frames of 24 x 24 RGB: one shape in one colour on a dark ground, on a straight path
that bounces off the frame's edges or on a circle. Its class is shape and path; place, speed, size
and colour are drawn. Video i of a split is a function of (split, i) alone.
"""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "square", "triangle", "cross")
PATHS = ("line", "circle")
CLASSES = tuple(f"{shape}/{path}" for path in PATHS for shape in SHAPES)
SPLITS = ("train", "reference")
FRAMES, SIZE = 12, 24


def video(split: str, index: int) -> tuple[np.ndarray, int]:
    """Video `index` of a split: uint8 [3, 12, 24, 24] and its class. Classes take turns."""
    key = [SPLITS.index(split), index]
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    label = index % len(CLASSES)
    shape, path = CLASSES[label].split("/")
    u = random.random(7)  # every video uses the same numbers in the same order
    radius = 5.0 + 2.0 * u[0]
    x, y = _line(u[1:5], radius) if path == "line" else _circle(u[1:5], radius)
    inside = _coverage(shape, x, y, radius)
    hue = u[5] + np.arange(3) / 3
    colour = 0.6 + 0.4 * np.cos(2 * np.pi * hue)
    ground = 0.05 + 0.15 * u[6] * np.ones(3)
    mixed = ground[:, None, None, None] * (1 - inside) + colour[:, None, None, None] * inside
    return np.rint(255 * mixed).astype(np.uint8), label


def batch(split: str, indices: range) -> tuple[np.ndarray, np.ndarray]:
    """Videos as float32 [B, 3, 12, 24, 24] in [-1, 1], and int64 classes [B]."""
    videos, labels = zip(*(video(split, index) for index in indices))
    return np.stack(videos).astype(np.float32) / 127.5 - 1, np.array(labels)


def _line(u: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Straight, reflected where the shape's circle would leave the frame."""
    speed, direction = 0.8 + 1.2 * u[2], 2 * np.pi * u[3]
    steps = np.arange(FRAMES) - FRAMES / 2
    room = SIZE - 2 * radius
    places = []
    for start, way in ((u[0], np.cos(direction)), (u[1], np.sin(direction))):
        run = np.mod(room * start + speed * way * steps, 2 * room)
        places.append(radius + np.minimum(run, 2 * room - run))
    return places[0], places[1]


def _circle(u: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Around the frame's centre, either way round, as wide as the frame allows or a third less."""
    orbit = (SIZE / 2 - radius) * (0.67 + 0.33 * u[0])
    turn = (1 if u[1] < 0.5 else -1) * 2 * np.pi / (14 + 8 * u[2])
    angle = 2 * np.pi * u[3] + turn * np.arange(FRAMES)
    return SIZE / 2 + orbit * np.cos(angle), SIZE / 2 + orbit * np.sin(angle)


def _coverage(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Share of each pixel inside the shape, [frames, height, width]: 1/2 - signed distance, cut."""
    centre = np.arange(SIZE) + 0.5
    a = centre[None, None, :] - x[:, None, None]
    b = centre[None, :, None] - y[:, None, None]
    if shape == "disc":
        distance = np.sqrt(a * a + b * b) - 0.9 * radius
    elif shape == "triangle":  # standing on a side: down, and two sides of 60 degrees
        side = np.abs(a) * np.sqrt(0.75) - 0.5 * b
        distance = np.maximum(side, np.broadcast_to(b, side.shape)) - 0.6 * radius
    elif shape == "square":
        distance = np.maximum(np.abs(a), np.abs(b)) - 0.75 * radius
    else:  # a cross: the nearer of two bars
        arm, half = radius, 0.35 * radius
        a, b = np.abs(a), np.abs(b)
        distance = np.minimum(np.maximum(a - arm, b - half), np.maximum(a - half, b - arm))
    return np.clip(0.5 - distance, 0, 1)
