#!/usr/bin/env python3
"""Writes the tables of docs/training.md from results/*.json and the settings, between their marks.

    tables.py docs/training.md            # or --check: is the page what the results say?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import data
import intervals
import numpy as np
import ratios
import sample
import schedule_table
from cells import HERE, NOT_RUN, Cells, figure, frechet_of, shapes_seen
from model import Shape, VideoDiT
from train import Plan


def table_a(cells: Cells) -> str:
    lines = [
        "| row | training seeds | drift | PSNR, dB | SSIM | shape seen, % | Fréchet "
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

        def shapes(*row) -> list[np.ndarray]:
            return shapes_seen(cells, *row)

        itself = row["kernel"] == "dense" and row["weights"].startswith("base")
        shown = [
            "0" if itself else figure(intervals.interval(values("drift"))),
            "" if itself else figure(intervals.interval(values("psnr"))),
            "1" if itself else figure(intervals.interval(values("ssim")), most=1),
            figure(intervals.interval(shapes(row["weights"], row["kernel"], seeds)), most=100),
            figure(intervals.interval(values("features"), frechet_of(cells))),
            figure(intervals.interval([1000 * x for x in values("loss")])),
        ]
        lines.append(f"| {row['name']} | {', '.join(map(str, seeds))} | {' | '.join(shown)} |")
    real = [np.array(group) for group in cells.data["groups"]]
    found = figure(intervals.interval(real, frechet_of(cells)))
    lines.append(f"| real videos, as many | | | | | | {found} | |")
    return "\n".join(lines)


def phase_words(plan: Plan) -> str:
    sizes = {1: f"{data.SIZE} x {data.SIZE}", 2: f"{data.SIZE // 2} x {data.SIZE // 2}"}
    return ", then ".join(
        f"{p.steps} steps of {p.batch} videos of {sizes[p.coarser]}" for p in plan.phases
    )


def settings() -> str:
    """What ran, from the files that the scripts read."""
    shape, how = Shape(), sample.SETTINGS
    count = sum(x.numel() for x in VideoDiT(shape).parameters())
    runs = json.loads((HERE / "schedules.json").read_text())
    held_out = json.loads((HERE / "rows.json").read_text())["held_out_videos"]
    t, h, w = shape.grid
    lines = ["| setting | value |", "|---|---|"]
    lines.append(
        f"| model | {t}x{h}x{w} = {t * h * w} tokens, {shape.layers} layers, {shape.heads} heads "
        f"of {shape.head_dim}, {count / 1e6:.2f} million parameters |"
    )
    for name, words in (("base", "training"), ("finetune", "fine-tuning, or more training")):
        plan = Plan.named(name)
        lines.append(
            f"| {words} | {phase_words(plan)}; rate {plan.rate:g} after {plan.warm_up} steps, "
            f"falling to 0 in the last {100 * plan.cool_down:.0f} %; weights averaged with "
            f"{plan.mean_decay:g}; class left out for {100 * plan.no_class:.0f} % |"
        )
    first, last = how["first_seed"], how["first_seed"] + how["seeds"] - 1
    lines.append(
        f"| sampling | {how['steps']} Euler steps, shift {how['shift']:g}, guidance "
        f"{how['guidance']:g}: {2 * how['steps']} forwards; {how['seeds']} seeds, {first} to "
        f"{last} |"
    )
    lines.append(f"| held-out loss | {held_out} videos |")
    perturbed, held = runs["perturb_seeds"], runs["held_out_seeds"]
    lines.append(
        f"| schedules | {' and '.join(runs['perturb'])} in one step at a time, seeds "
        f"{perturbed[0]} to {perturbed[1] - 1}; whole runs on seeds {held[0]} to {held[1] - 1} |"
    )
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Every table whose result is there."""
    made, known = {"settings": settings()}, {}
    table, runs = (HERE / "results" / f"{name}.json" for name in ("table_a", "schedules"))
    if table.exists():
        cells = Cells(json.loads(table.read_text()))
        made |= {"table-a": table_a(cells), "ratios": ratios.table(cells)}
        known |= ratios.figures(cells)
    if runs.exists():
        result = json.loads(runs.read_text())
        made["schedules"] = schedule_table.table(result)
        known |= schedule_table.figures(result)
    made["claims"] = ratios.claims(known)
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
