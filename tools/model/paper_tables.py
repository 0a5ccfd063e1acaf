#!/usr/bin/env python3
"""Checks the published tables of FPSAttention (arXiv 2506.04648) for inner consistency.

paper_tables.py                 implied attention shares of the printed speed-ups
paper_tables.py --vbench T.csv  VBench Total = (4 * Quality + Semantic) / 5, row by row
                                (columns: name, total, quality, semantic; typed from the paper)
"""
import argparse
import csv
import sys

# Wan2.1-14B, 720p, one H20: method, kernel and end-to-end speed-up against BF16, as printed.
SPEEDUPS = [("FP8", 1.84, 1.26), ("STA", 5.15, 3.60), ("FPSAttention", 7.09, 4.96)]
# Latencies printed beside them: model, seconds before and after.
LATENCIES = [("1.3B", 271.0, 110.0), ("14B", 1301.0, 423.0)]


def implied_share(kernel, end_to_end):
    """Amdahl: end_to_end = 1 / (1 - s + s / kernel), solved for s."""
    return (1 - 1 / end_to_end) / (1 - 1 / kernel)


def shares():
    print("implied share of attention in the baseline (one baseline has one share):")
    values = []
    for name, kernel, end_to_end in SPEEDUPS:
        values.append(implied_share(kernel, end_to_end))
        print(f"  {name:13s} kernel {kernel:.2f}x  end to end {end_to_end:.2f}x  share {values[-1]:.2f}")
    agree = max(values) - min(values) < 0.05
    print("  one baseline explains all rows" if agree else
          f"  no single baseline: shares from {min(values):.2f} to {max(values):.2f}")
    print("speed-up of the printed latencies, and the share a 7.09x kernel would need:")
    for model, before, after in LATENCIES:
        ratio = before / after
        print(f"  {model:5s} {before:.0f} s -> {after:.0f} s: {ratio:.2f}x, share {implied_share(7.09, ratio):.2f}")


def vbench(path):
    worst = 0.0
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            total, quality, semantic = (float(row[key]) for key in ("total", "quality", "semantic"))
            expected = (4 * quality + semantic) / 5
            worst = max(worst, abs(total - expected))
            verdict = "agrees" if abs(total - expected) <= 1e-3 * max(1.0, abs(total)) else "BREAKS"
            print(f"{row['name']:24s} total {total:.4f}  (4 Q + S) / 5 = {expected:.4f}  {verdict}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--vbench", metavar="T.csv")
    arguments = parser.parse_args()
    if arguments.vbench is None:
        shares()
        return 0
    try:
        vbench(arguments.vbench)
    except (OSError, KeyError, ValueError) as problem:
        print(f"{arguments.vbench}: {problem!r}; give columns name,total,quality,semantic", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
