"""Where FP8 and sparsity hurt: error of every token's output, frame by frame."""

import numpy as np
from drawing import FAINT, box, shade, text, write

import karat

GRID = (6, 24, 32)
RECIPE = {"base": "fpsattention", "mask": {"tile": [2, 8, 8], "window": [1, 3, 3]}}
q, k, v = karat.generate("video", grid=GRID, seed=8, head_kind="local")
o = karat.attend(q, k, v, recipe=RECIPE, grid=GRID).astype(np.float64)
truth, _ = karat.truth(q, k, v)
error = np.linalg.norm(o - truth, axis=-1) / np.linalg.norm(truth, axis=-1)
error = error.reshape(GRID)

most = np.quantile(error, 0.99)
shapes = [text(20, 26, "relative error of a token's output against dense attention in FP64", 15)]
for t, h, w in np.ndindex(GRID):
    x, y = 20 + t % 3 * 210 + w * 6, 40 + t // 3 * 175 + h * 6
    shapes.append(box(x, y, 6, 6, shade(error[t, h, w] / most)))
for t in range(GRID[0]):
    words = f"frame {t}: mean {error[t].mean():.3f}"
    shapes.append(text(20 + t % 3 * 210, 200 + t // 3 * 175, words, 12, colour=FAINT))
shapes.append(text(20, 395, f"white 0, dark {most:.2f} (99th percentile)", 12, colour=FAINT))
write("gallery-heat-map.svg", 650, 408, shapes)
