#!/usr/bin/env python3
"""Writes the tables of docs/training.md from results/*.json, between their marks in the page.

    tables.py docs/training.md            # or --check: is the page what the results say?"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import intervals
import measures
import numpy as np

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
NOT_RUN = "not run"


class Cells:
    """The measured cells of Table A by row, training seed after training seed."""

    def __init__(self, result: dict) -> None:
        self.cells, self.data = result["cells"], result["data"]

    def seeds(self, weights: str, kernel: str) -> list[int]:
        return [s for s in SEEDS if f"{weights.format(seed=s)}.{kernel}" in self.cells]

    def values(self, weights: str, kernel: str, name: str, seeds: list[int]) -> list[np.ndarray]:
        return [
            np.array(self.cells[f"{weights.format(seed=s)}.{kernel}"][name], float) for s in seeds
        ]


def figure(found: tuple[float, float, float], digits: int = 3) -> str:
    value, low, high = (f"{x:.{digits}g}" for x in found)
    return f"{value} ({low} to {high})"


def frechet_of(cells: Cells) -> intervals.Measure:
    known = np.array(cells.data["mean"]), np.array(cells.data["covariance"])
    return lambda groups: float(np.mean([measures.frechet(x, known) for x in groups]))


def table_a(cells: Cells) -> str:
    lines = [
        "| row | training seeds | drift | PSNR, dB | SSIM | class seen, % | Fréchet "
        "| held-out loss, 1e-3 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in json.loads((HERE / "rows.json").read_text())["rows"]:
        seeds = cells.seeds(row["weights"], row["kernel"])
        if not seeds:
            lines.append(f"| {row['name']} | {NOT_RUN} | | | | | | |")
            continue

        def values(name: str) -> list[np.ndarray]:
            return cells.values(row["weights"], row["kernel"], name, seeds)

        itself = row["kernel"] == "dense" and row["weights"].startswith("base")
        shown = [
            "0" if itself else figure(intervals.interval(values("drift"))),
            "" if itself else figure(intervals.interval(values("psnr"))),
            "1" if itself else figure(intervals.interval(values("ssim"))),
            figure(intervals.interval([100 * x for x in values("right")])),
            figure(intervals.interval(values("features"), frechet_of(cells))),
            figure(intervals.interval([1000 * x for x in values("loss")])),
        ]
        lines.append(f"| {row['name']} | {', '.join(map(str, seeds))} | {' | '.join(shown)} |")
    real = [np.array(group) for group in cells.data["groups"]]
    found = figure(intervals.interval(real, frechet_of(cells)))
    lines.append(f"| real videos, as many | | | | | | {found} | |")
    return "\n".join(lines)


def paired(cells: Cells) -> str:
    """Rows against each other, sample by sample: geometric means of ratios."""
    lines = ["| ratio | of | training seeds | value |", "|---|---|---|---|"]
    for row in json.loads((HERE / "ratios.json").read_text())["ratios"]:
        over, under = row["over"], row["under"]
        used = [over, *under]
        seeds = [s for s in SEEDS if all(s in cells.seeds(w, k) for w, k in used)]
        if not seeds:
            lines.append(f"| {row['name']} | {row['of']} | {NOT_RUN} | |")
            continue
        tops = cells.values(*over, row["of"], seeds)
        bottoms = [cells.values(*x, row["of"], seeds) for x in under]
        logs = [
            np.log(top) - 0.5 * np.log(sum(x[i] ** 2 for x in bottoms))
            for i, top in enumerate(tops)
        ]
        found = tuple(np.exp(x) for x in intervals.interval(logs))
        lines.append(
            f"| {row['name']} | {row['of']} | {', '.join(map(str, seeds))} | {figure(found)} |"
        )
    return "\n".join(lines)


def phases(schedule: list[str]) -> str:
    """Runs of one kernel, as "coarse 5, fine 6, ..."; a long mixture by its counts."""
    runs = [(kernel, len(list(group))) for kernel, group in itertools.groupby(schedule)]
    if len(runs) > 4:
        counts = sorted({(kernel, schedule.count(kernel)) for kernel in schedule})
        return "in turn: " + ", ".join(f"{kernel} {count}" for kernel, count in counts)
    return ", ".join(f"{kernel} {count}" for kernel, count in runs)


def table_of_schedules(result: dict) -> str:
    """Measured drift is the root mean square over the held-out seeds."""
    lines = ["| schedule | steps | work | predicted drift | measured |", "|---|---|---|---|---|"]
    for one in sorted(result["schedules"], key=lambda x: x["measured"]):
        last = np.array([drift[-1] for drift in one["drift"]])
        found = intervals.interval([last], lambda x: float(np.sqrt(np.mean(x[0] ** 2))))
        lines.append(
            f"| {one['name']} | {phases(one['kernels'])} | {one['cost']:.3f} "
            f"| {one['predicted']:.3f} | {figure(found)} |"
        )
    first, last = result["perturb_seeds"], result["held_out_seeds"]
    lines.append(
        f"\nSpearman's rank correlation of predicted and measured: {result['spearman']:.2f}, "
        f"{len(result['schedules'])} schedules; {first[1] - first[0]} seeds perturbed, "
        f"{last[1] - last[0]} others held out; weights {result['weights']}."
    )
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Every table whose result is there."""
    made: dict[str, str] = {}
    table, runs = (HERE / "results" / f"{name}.json" for name in ("table_a", "schedules"))
    if table.exists():
        cells = Cells(json.loads(table.read_text()))
        made |= {"table-a": table_a(cells), "ratios": paired(cells)}
    if runs.exists():
        made["schedules"] = table_of_schedules(json.loads(runs.read_text()))
    return made


def replaced(page: str, made: dict[str, str]) -> str:
    for name, text in made.items():
        begin, end = f"<!-- {name}: made by tables.py -->\n", f"<!-- end of {name} -->"
        if begin not in page or end not in page:
            raise SystemExit(f"no marks for {name}")
        before, rest = page.split(begin)
        page = before + begin + "\n" + text + "\n\n" + end + rest.split(end)[1]
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    page = given.page.read_text()
    made = replaced(page, tables())
    if given.check:
        sys.exit(0 if made == page else f"{given.page}: its tables are not what the results say")
    given.page.write_text(made)


if __name__ == "__main__":
    main()
