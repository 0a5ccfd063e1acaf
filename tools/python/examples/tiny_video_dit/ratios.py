"""Rows of Table A against each other, sample by sample, and what the paper's claims make of it."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import intervals
import numpy as np
from cells import HERE, NOT_RUN, SEEDS, Cells, figure


class Told(NamedTuple):
    """One figure of a table."""

    name: str
    of: str
    seeds: list[int]
    text: str  # NOT_RUN where no training seed has all that it needs

    @property
    def trained(self) -> str:
        return ", ".join(map(str, self.seeds)) or NOT_RUN


def ratios(cells: Cells) -> list[Told]:
    """Of ratios.json: geometric means of ratios."""
    told = []
    for row in json.loads((HERE / "ratios.json").read_text())["ratios"]:
        over, under = row["over"], row["under"]
        seeds = cells.common([over, *under])
        text = ""
        if seeds:
            tops = cells.values(*over, row["of"], seeds)
            bottoms = [cells.values(*x, row["of"], seeds) for x in under]
            logs = [
                np.log(top) - 0.5 * np.log(sum(x[i] ** 2 for x in bottoms))
                for i, top in enumerate(tops)
            ]
            value, low, high = np.exp(intervals.interval(logs))
            text = figure((value, low, high))
        told.append(Told(row["name"], row["of"], seeds, text))
    return told


def recovered(cells: Cells) -> list[Told]:
    """Of the held-out loss that a kernel adds to weights trained without it, the share that is gone
    in weights trained as long through it."""
    told = []
    for kernel in ("coarse", "fine"):
        for backward, words in (("qat", "FP8 backward"), ("ste", "BF16 backward")):
            used = [("control-{seed}", "dense"), ("control-{seed}", kernel),
                    (f"{kernel}_{backward}-{{seed}}", kernel)]  # fmt: skip
            seeds = cells.common(used)
            text = ""
            if seeds:
                losses = (cells.values(*x, "loss", seeds) for x in used)
                found = intervals.interval([np.stack(x, 1) for x in zip(*losses)], recovered_share)
                text = figure(found, least=-np.inf, most=100) + " %"
            told.append(Told(f"{kernel}: lost loss recovered, {words}", "loss", seeds, text))
    return told


def recovered_share(groups) -> float:
    """In %, of losses [sample][full precision, not trained through it, trained through it]."""
    full, without, through = np.mean([group.mean(0) for group in groups], 0)
    return float(100 * (without - through) / (without - full))


def table(cells: Cells) -> str:
    lines = ["| ratio | of | training seeds | value |", "|---|---|---|---|"]
    for one in (*ratios(cells), *recovered(cells)):
        lines.append(f"| {one.name} | {one.of} | {one.trained} | {one.text} |")
    return "\n".join(lines)


def ends(figure: str) -> tuple[float, float]:
    """Of the interval as it is printed; a figure without one ends where it is."""
    numbers = [float(x) for x in re.findall(r"-?[0-9.]+(?:e[-+][0-9]+)?", figure)]
    return min(numbers), max(numbers)


def verdict(verdicts: list, known: dict[str, str]) -> str:
    """The first [verdict, {figure: [least, most]}] all of whose figures' intervals lie inside."""
    for told, wanted in verdicts:
        for name, (least, most) in wanted.items():
            low, high = ends(known[name])
            if (least is not None and low < least) or (most is not None and high > most):
                break
        else:
            return told
    return "undecided"


def claims(known: dict[str, str]) -> str:
    """claims.json with its figures: {name of a ratio, what it is of} becomes the figure; a claim
    whose figures have not all run is undecided."""
    lines = ["| claim | here | what it rests on |", "|---|---|---|"]
    for row in json.loads((HERE / "claims.json").read_text())["claims"]:
        text, missing = row["text"], []
        for name in row["figures"]:
            if not known.get(name):
                missing.append(name)
            text = text.replace("{" + name + "}", known.get(name) or NOT_RUN)
        told = "undecided: not run" if missing else verdict(row["verdicts"], known)
        lines.append(f"| {row['claim']} | **{told}** | {text} |")
    return "\n".join(lines)


def figures(cells: Cells) -> dict[str, str]:
    """By "name, what it is of"."""
    return {f"{x.name}, {x.of}": x.text for x in (*ratios(cells), *recovered(cells))}
