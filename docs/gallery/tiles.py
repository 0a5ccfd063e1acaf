"""The scale of every tile of K: FP8 codes of a tile share one."""

import numpy as np
from drawing import FAINT, box, shade, text, write

import karat

GRID, TILE = (12, 32, 48), (6, 8, 8)
_, k, _ = karat.generate("video", grid=GRID, seed=4)
_, scale = karat.quantize(k, rule={"format": "e4m3", "group": "tile", "tile": TILE}, grid=GRID)
scale = scale.reshape([n // t for n, t in zip(GRID, TILE)])

shapes = [text(20, 26, "scale of each 6 x 8 x 8 tile of K (E4M3, amax / 448)", 15)]
low, high = np.log(scale.min()), np.log(scale.max())
for t, h, w in np.ndindex(scale.shape):
    x, y = 20 + t * 320 + w * 50, 44 + h * 50
    share = (np.log(scale[t, h, w]) - low) / (high - low)
    shapes.append(box(x, y, 48, 48, shade(0.1 + 0.6 * share)))
    shapes.append(text(x + 24, y + 29, f"{scale[t, h, w]:.3f}", 12, "middle"))
for t in range(scale.shape[0]):
    shapes.append(text(20 + t * 320, 262, f"frames {6 * t} to {6 * t + 5}", 12, colour=FAINT))
write("gallery-tiles.svg", 680, 275, shapes)
