#!/usr/bin/python3
"""Measures docs/saturation.md and draws docs/pictures/saturation.svg: what a lazy rescale costs FP8
attention. Keys are visited last block first, 128 a block; logits are normal with the deviation named;
the error of O is against FP64 of the same inputs.

usage: tools/pictures/saturation.py [KARAT]           measures, prints and writes table and picture:
                                                      about 6 minutes of one processor
       tools/pictures/saturation.py --check [KARAT]   the picture holds the page's table, and some of it
                                                      measured again (KARAT_LONG=1: all) is what it says"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np

CHECK = "--check" in sys.argv
KARAT = ([word for word in sys.argv[1:] if word != "--check"] or ["build/release/karat"])[0]
DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
PAGE, PICTURE = os.path.join(DOCS, "saturation.md"), os.path.join(DOCS, "pictures", "saturation.svg")
BEGIN, END = "<!-- saturation: begin -->\n", "<!-- saturation: end -->\n"
CHANNELS = 128
DEVIATIONS = [0.25, 0.5, 1.0, 1.5, 2.0]
LENGTHS = [127, 128, 129, 130, 1024, 8192]
OFFSETS, THRESHOLDS = [4, 8], [0, 4, 8]
LARGEST = {"e4m3": np.log2(448), "e5m2": np.log2(57344)}
COMBINATIONS = [(code, offset, threshold) for code in LARGEST for offset in OFFSETS for threshold in THRESHOLDS]
ROWS = 256  # of long heads, spread evenly


def recipe(path, code, offset, threshold):
    instruction = f"blackwell.tcgen05.{code}.f32"
    with open(path, "w") as file:
        json.dump({"base": "fa4_sm100_fp8", "name": "saturation", **{x: {"format": code} for x in "qkv"},
                   "p": {"format": code, "offset": offset}, "softmax": {"rescale_threshold": threshold},
                   "qk": {"instruction": instruction}, "pv": {"instruction": instruction}}, file)
    return path


def inputs(folder, length, deviation):
    """q.k/sqrt(d) is normal with that deviation. Short heads come in numbers: 32 of them."""
    heads = 32 if length < 1000 else 1
    random = np.random.default_rng(length)
    q, k, v = (random.standard_normal((1, heads, length, CHANNELS)).astype(np.float32) for _ in "qkv")
    k *= np.float32(deviation)
    paths = [os.path.join(folder, name + ".npy") for name in "qkv"]
    for path, x in zip(paths, (q, k, v)):
        np.save(path, x)
    return ",".join(paths), q, k, v


def truth(q, k, v, rows):
    s = np.einsum("hrd,hkd->hrk", q[0, :, rows].swapaxes(0, 1).astype(np.float64), k[0].astype(np.float64))
    p = np.exp((s - s.max(-1, keepdims=True)) / np.sqrt(CHANNELS))
    return np.einsum("hrk,hkd->hrd", p / p.sum(-1, keepdims=True), v[0].astype(np.float64))


def outputs(path, rows):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(size))["o"]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        bits = np.frombuffer(file.read(end - begin), np.uint16).reshape(entry["shape"])
    return (bits[0][:, rows].astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def measure(folder, lengths, deviations):
    """Relative L2 error by (code, offset, threshold, length, deviation)."""
    errors = {}
    for length in lengths:
        rows = np.arange(length) if length < 1000 else np.linspace(0, length - 1, ROWS).astype(int)
        for deviation in deviations:
            given, *values = inputs(folder, length, deviation)
            exact = truth(*values, rows)
            for code, offset, threshold in COMBINATIONS:
                edited = recipe(os.path.join(folder, "r.json"), code, offset, threshold)
                o = os.path.join(folder, "o.safetensors")
                subprocess.run([KARAT, "attend", "--recipe", edited, "--in", given,
                                "--grid", f"1,1,{length}", "-o", o, "--quiet"], check=True)
                off = outputs(o, rows) - exact
                errors[code, offset, threshold, length, deviation] = np.linalg.norm(off) / np.linalg.norm(exact)
    return errors


def safe(code, offset, threshold):
    return offset + threshold < LARGEST[code]


def table(errors):
    """The page's: a cell holds the errors of all deviations, percent."""
    lines = ["| format | offset | threshold | safe | " + " | ".join(f"{n} keys" for n in LENGTHS) + " |",
             "|---" * (4 + len(LENGTHS)) + "|"]
    for code, offset, threshold in COMBINATIONS:
        cells = [" ".join(f"{100 * errors[code, offset, threshold, n, d]:.1f}" for d in DEVIATIONS) for n in LENGTHS]
        said = "yes" if safe(code, offset, threshold) else "no"
        lines.append(f"| {code.upper()} | {offset} | {threshold} | {said} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def errors_of(text):
    """The errors that a table says."""
    errors = {}
    for line in text.splitlines()[2:]:
        code, offset, threshold, said, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert (said == "yes") == safe(code.lower(), int(offset), int(threshold)), line
        for length, cell in zip(LENGTHS, cells, strict=True):
            for deviation, percent in zip(DEVIATIONS, cell.split(), strict=True):
                errors[code.lower(), int(offset), int(threshold), length, deviation] = float(percent) / 100
    return errors


def page_parts():
    """The page before its table, the table, and what follows."""
    with open(PAGE) as file:
        before, rest = file.read().split(BEGIN)
    return (before, *rest.split(END))


COLOURS = {0: "#2a5db0", 4: "#d68910", 8: "#c0392b"}


def panel(errors, code, length, left, top, width, height):
    """Error against deviation, logarithmic from 2 % to 100 %; one line a combination."""
    low, high = np.log10(0.02), 0.0

    def at(d, e):
        return (left + width * (d - 0.25) / 1.75,
                top + height * (1 - (np.log10(min(max(e, 0.02), 1.0)) - low) / (high - low)))

    parts = [f'<text x="{left + width / 2:.0f}" y="{top - 8}" text-anchor="middle" font-weight="bold">'
             f'{code.upper()}, {length} keys</text>']
    for e in (0.02, 0.05, 0.1, 0.2, 0.5, 1):
        _, y = at(1, e)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#ddd"/>'
                     f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * e:.0f} %</text>')
    for d in DEVIATIONS:
        x, _ = at(d, 1)
        parts.append(f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{d}</text>')
    for offset in OFFSETS:
        for threshold in THRESHOLDS:
            points = [at(d, errors[code, offset, threshold, length, d]) for d in DEVIATIONS]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dash = ' stroke-dasharray="6 4"' if offset == 4 else ""
            parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[threshold]}" '
                         f'stroke-width="2"{dash}/>')
            if offset == 8:
                parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[threshold]}"/>'
                          for x, y in points]
    return parts


def draw(errors):
    width, height, gap = 250, 150, 66
    columns, rows = 3, len(LARGEST) * len(LENGTHS) // 3
    total_width, total_height = columns * (width + gap) + 30, rows * (height + 58) + 96
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width}" height="{total_height}" '
             f'viewBox="0 0 {total_width} {total_height}" font-family="sans-serif" font-size="12">',
             f'<desc>\n{table(errors)}</desc>',
             f'<rect width="{total_width}" height="{total_height}" fill="white"/>',
             '<text x="60" y="24" font-size="14">Error of O against FP64 by the deviation of the logits: what P '
             'saturates to under a lazy rescale</text>']
    panels = [(code, length) for code in LARGEST for length in LENGTHS]
    for i, (code, length) in enumerate(panels):
        parts += panel(errors, code, length, 60 + i % columns * (width + gap), 62 + i // columns * (height + 58),
                       width, height)
    y = total_height - 30
    parts.append(f'<text x="60" y="{y + 4}">rescale threshold</text>')
    for i, threshold in enumerate(THRESHOLDS):
        x = 176 + 70 * i
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 28}" y2="{y}" stroke="{COLOURS[threshold]}" '
                     f'stroke-width="3"/><text x="{x + 34}" y="{y + 4}">{threshold}</text>')
    for i, (offset, dash) in enumerate(((8, ""), (4, ' stroke-dasharray="6 4"'))):
        x = 430 + 130 * i
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 28}" y2="{y}" stroke="#555" stroke-width="2"{dash}/>'
                     f'<text x="{x + 34}" y="{y + 4}">offset {offset}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def check():
    stands = page_parts()[1]
    with open(PICTURE) as file:
        drawn, = re.findall(r"<desc>\n(.*?)</desc>", file.read(), re.S)
    assert drawn == stands, "docs/pictures/saturation.svg was drawn from another table than docs/saturation.md has"
    said = errors_of(stands)
    assert len(said) == len(COMBINATIONS) * len(LENGTHS) * len(DEVIATIONS)
    lengths, deviations = (LENGTHS, DEVIATIONS) if os.environ.get("KARAT_LONG") else ([129], [0.5])
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(folder, lengths, deviations)
    for key, error in measured.items():
        assert abs(error - said[key]) < 0.001, f"{key}: measured {100 * error:.2f} %, the page says {100 * said[key]:.1f} %"
    print(len(measured), "of", len(said), "errors measured again")


def main():
    if CHECK:
        return check()
    with tempfile.TemporaryDirectory() as folder:
        errors = measure(folder, LENGTHS, DEVIATIONS)
    made = table(errors)
    print(made, end="")
    before, _, behind = page_parts()
    with open(PAGE, "w") as file:
        file.write(before + BEGIN + made + END + behind)
    with open(PICTURE, "w") as file:
        file.write(draw(errors_of(made)))


if __name__ == "__main__":
    main()
