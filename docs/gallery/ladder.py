"""The error ladder: one source of error after the other, each a recipe edit."""

import numpy as np
from drawing import FAINT, box, text, write

import karat

GRID = (6, 16, 16)
full = karat.Recipe({"base": "fpsattention", "mask": {"tile": [2, 8, 8], "window": [3, 1, 1]}})
f32, exact = {"format": "f32"}, {"instruction": "exact"}
plain_p = f32 | {"multiplier": 1}
dense = full.replace(mask={"kind": "none"})
steps = {
    "FP32": dense.replace(q=f32, k=f32, v=f32, p=plain_p, output="f32"),
    "+ BF16 output": dense.replace(q=f32, k=f32, v=f32, p=plain_p),
    "+ P in E4M3": dense.replace(q=f32, k=f32, v=f32),
    "+ V in E4M3": dense.replace(q=f32, k=f32, pv=exact),
    "+ Q, K in E4M3": dense.replace(qk=exact, pv=exact),
    "+ accumulators": dense,
    "+ mask": full,
}
q, k, v = karat.generate("video", grid=GRID, seed=2)
truth, _ = karat.truth(q, k, v)
shapes = [text(20, 26, "relative L2 error against dense attention in FP64, step by step", 15)]
for i, (name, recipe) in enumerate(steps.items()):
    o = karat.attend(q, k, v, recipe=recipe, grid=GRID).astype(np.float64)
    error = np.linalg.norm(o - truth) / np.linalg.norm(truth)
    y, length = 44 + i * 30, 60 * (np.log10(error) + 8)
    shapes += [
        text(150, y + 16, name, 12, "end"),
        box(160, y, length, 22, "#4472a8", name),
        text(166 + length, y + 16, f"{error:.2e}", 12, colour=FAINT),
    ]
write("gallery-ladder.svg", 700, 265, shapes)
