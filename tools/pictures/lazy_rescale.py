#!/usr/bin/python3
"""Draws docs/pictures/lazy-rescale.svg: FlashAttention-3's FP8 kernel when the old maximum is kept
while the new one is within a threshold. Saturated share of P and error of O against FP64, by
threshold, on keys whose scores rise evenly by 8 log2 units in the order in which the kernel visits
them (last to first).

usage: tools/pictures/lazy_rescale.py [karat binary] [SVG file]"""
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

KARAT = sys.argv[1] if len(sys.argv) > 1 else "build/release/karat"
OUT = sys.argv[2] if len(sys.argv) > 2 else "docs/pictures/lazy-rescale.svg"
TOKENS, CHANNELS = 18 * 224, 64
THRESHOLDS = [0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8]


def inputs(folder):
    random = np.random.default_rng(1)
    score = 8 * (1 - np.arange(TOKENS) / TOKENS)  # log2 units against a query of ones
    q = np.ones((TOKENS, CHANNELS))
    k = q * (score / (np.log2(np.e) * np.sqrt(CHANNELS)))[:, None]
    v = 1 + 0.25 * random.standard_normal(q.shape)
    paths = [os.path.join(folder, name + ".npy") for name in "qkv"]
    for path, values in zip(paths, (q, k, v)):
        np.save(path, values.astype(np.float32))
    return ",".join(paths)


def measure(folder, threshold):
    recipe, golden = os.path.join(folder, "r.json"), os.path.join(folder, "g.h5")
    with open(recipe, "w") as file:
        json.dump({"base": "fa3_fp8", "name": "lazy", "softmax": {"rescale_threshold": threshold}}, file)
    done = subprocess.run([KARAT, "make", "--recipe", recipe, "--in", inputs(folder), "-o", golden, "--tap", "0", "--json", "--quiet"],
                          check=True, capture_output=True, text=True)
    share = json.loads(done.stdout)["saturated_p_codes"] / TOKENS ** 2
    with h5py.File(golden) as file:
        o = (file["stages/o"][0, 0].astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        truth = file["truth/dense_o"][0, 0]
    return share, np.linalg.norm(o - truth) / np.linalg.norm(truth)


def polyline(points, colour):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def draw(shares, errors):
    left, right, top, bottom = 70, 570, 46, 300
    high = 0.1 * np.ceil(max(max(shares), max(errors)) * 10 + 0.2)
    at = lambda t, y: (left + (right - left) * t / 8, bottom - (bottom - top) * y / high)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="640" height="360" viewBox="0 0 640 360" '
             'font-family="sans-serif" font-size="12">',
             '<rect width="640" height="360" fill="white"/>',
             '<text x="70" y="22" font-size="14">FlashAttention-3 FP8 (offset 8): what a lazy rescale does '
             'to P</text>']
    for i in range(5):
        y = high * i / 4
        _, py = at(0, y)
        parts.append(f'<line x1="{left}" y1="{py:.1f}" x2="{right}" y2="{py:.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{py + 4:.1f}" text-anchor="end">{100 * y:.0f} %</text>')
    for t in range(9):
        px, _ = at(t, 0)
        parts.append(f'<text x="{px:.1f}" y="{bottom + 18}" text-anchor="middle">{t}</text>')
    px, _ = at(4, 0)
    parts.append(f'<line x1="{px}" y1="{top}" x2="{px}" y2="{bottom}" stroke="#888" '
                 f'stroke-dasharray="4 3"/><text x="{px + 6}" y="{top + 12}" fill="#555">the shipped '
                 'threshold</text>')
    parts.append(polyline([at(t, s) for t, s in zip(THRESHOLDS, shares)], "#c0392b"))
    parts.append(polyline([at(t, e) for t, e in zip(THRESHOLDS, errors)], "#2a5db0"))
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 36}" text-anchor="middle">rescale threshold, '
                 'log2 units</text>')
    parts.append('<rect x="90" y="52" width="12" height="12" fill="#c0392b"/><text x="108" y="62">codes of P '
                 'clamped to 448</text>')
    parts.append('<rect x="90" y="70" width="12" height="12" fill="#2a5db0"/><text x="108" y="80">error of O '
                 'against FP64</text>')
    return "\n".join(parts) + "\n</svg>\n"


def main():
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(folder, threshold) for threshold in THRESHOLDS]
    for threshold, (share, error) in zip(THRESHOLDS, rows):
        print(f"threshold {threshold:4}: {100 * share:6.2f} % of P saturated, error {100 * error:6.2f} %")
    with open(OUT, "w") as file:
        file.write(draw(*zip(*rows)))


if __name__ == "__main__":
    main()
