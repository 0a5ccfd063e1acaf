"""The file of a model in the loop: schema karat.loop, version 1 (docs/loop.md)."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from .._errors import UsageError
from .._recipe import Recipe
from ._store import read_json, write_atomically

SCHEMA, VERSION = "karat.loop", 1
LOCAL = ("seed", "step", "layer", "head", "branch", "recipe", "error", "sampling_error")
BRANCHES = {"cond": "conditional", "uncond": "unconditional"}
KINDS = ("whole", "step", "cell")
PER, ERRORS = ("step", "cell"), ("independent", "aligned")  # of a prediction
MOST_STEPS = 1_000_000  # and layers, that a file may have
END = 2**31 - 1  # every whole number is below it

Study = dict[str, Any]


def make(
    *,
    model: str,
    steps: int,
    layers: int,
    grid: Sequence[int],
    guidance: str,
    sigma: Sequence[float] | None,
    recipes: Sequence[Recipe],
    rows: list[list[Any]],
    runs: list[dict[str, Any]],
    schedules: list[dict[str, Any]],
    origin: str,
) -> Study:
    """A study without weights; rows are sorted."""
    return {
        "schema": SCHEMA, "version": VERSION, "origin": origin, "model": model, "steps": steps,
        "layers": layers, "grid": list(grid), "guidance": guidance,
        "sigma": None if sigma is None else [float(level) for level in sigma],
        "recipes": [recipe.to_dict() for recipe in recipes],
        "local": {"columns": list(LOCAL), "rows": sorted(rows, key=lambda row: row[:6])},
        "runs": runs, "weights": None, "schedules": schedules, "prediction": None, "spearman": None,
    }  # fmt: skip


# ---- strict reading ----


class _Check:
    """Says where something is wrong."""

    def __init__(self, subject: str):
        self._subject = subject

    def fail(self, place: str, problem: str) -> None:
        raise UsageError(f"{self._subject}: {place} {problem}; see docs/loop.md for its fields")

    def fields(self, found: Any, wanted: Sequence[str], place: str) -> None:
        if not isinstance(found, Mapping):
            self.fail(place, "is no object")
        for name in wanted:
            if name not in found:
                self.fail(place, f"lacks {name}")
        for name in found:
            if name not in wanted:
                self.fail(place, f"has {name}, which is not known")

    def listed(self, found: Any, place: str, count: int | None = None) -> list[Any]:
        if not isinstance(found, list) or (count is not None and len(found) != count):
            self.fail(place, "is no list" + ("" if count is None else f" of {count}"))
        return found

    def whole(self, found: Any, place: str, end: int = END) -> None:
        if type(found) is not int or found < 0 or found >= end:
            self.fail(place, f"is {found!r}, no whole number below {end}")

    def positive(self, found: Any, place: str, end: int = END) -> None:
        self.whole(found, place, end)
        if found == 0:
            self.fail(place, "is 0")

    def number(self, found: Any, place: str) -> None:
        if type(found) not in (int, float) or not math.isfinite(found) or found < 0:
            self.fail(place, f"is {found!r}, no number from 0")

    def maybe(self, test: Callable[..., None], found: Any, place: str, *more: Any) -> None:
        if found is not None:
            test(found, place, *more)


def check(study: Any, subject: str) -> Study:
    """The study itself. Raises UsageError for anything that the schema does not say."""
    c = _Check(subject)
    if not isinstance(study, Mapping) or study.get("schema") != SCHEMA:
        raise UsageError(f"{subject}: is no {SCHEMA}; karat.loop writes such files")
    if study.get("version") != VERSION:
        c.fail("version", f"is {study.get('version')!r}, {VERSION} is read")
    c.fields(study, [
        "schema", "version", "origin", "model", "steps", "layers", "grid", "guidance", "sigma",
        "recipes", "local", "runs", "weights", "schedules", "prediction", "spearman",
    ], "the file")  # fmt: skip
    for name in ("origin", "model"):
        if not isinstance(study[name], str):
            c.fail(name, "is no text")
    if study["guidance"] not in ("none", "calls", "batch"):
        c.fail("guidance", f"is {study['guidance']!r}, none of none, calls, batch")
    c.positive(study["steps"], "steps", MOST_STEPS + 1)
    c.positive(study["layers"], "layers", MOST_STEPS + 1)
    for axis in c.listed(study["grid"], "grid", 3):
        c.positive(axis, "grid")
    steps, layers = study["steps"], study["layers"]
    if study["sigma"] is not None:
        for level in c.listed(study["sigma"], "sigma", steps):
            c.number(level, "sigma")
    names = []
    for number, recipe in enumerate(c.listed(study["recipes"], "recipes")):
        if not isinstance(recipe, Mapping) or not isinstance(recipe.get("name"), str):
            c.fail(f"recipe {number}", "has no name")
        names.append(recipe["name"])
    if len(set(names)) != len(names):
        c.fail("recipes", "have a name twice")
    _check_local(c, study["local"], steps, layers, len(names))
    for number, run in enumerate(c.listed(study["runs"], "runs")):
        _check_run(c, run, f"run {number}", steps, layers, len(names))
    if study["weights"] is not None:
        _check_weights(c, study["weights"], steps, layers)
    for number, one in enumerate(c.listed(study["schedules"], "schedules")):
        _check_schedule(c, one, f"schedule {number}", steps, layers, len(names))
    if study["prediction"] is not None:
        _check_prediction(c, study["prediction"])
    if study["spearman"] is not None:
        rho = study["spearman"]
        if type(rho) not in (int, float) or not -1 <= rho <= 1:
            c.fail("spearman", f"is {rho!r}, no number from -1 to 1")
    return dict(study)


def _check_local(c: _Check, local: Any, steps: int, layers: int, recipes: int) -> None:
    c.fields(local, ["columns", "rows"], "local")
    if local["columns"] != list(LOCAL):
        c.fail("local.columns", f"are not {', '.join(LOCAL)}")
    before = None
    for number, row in enumerate(c.listed(local["rows"], "local.rows")):
        place = f"local row {number}"
        seed, step, layer, head, branch, recipe, error, sampling = c.listed(row, place, len(LOCAL))
        for found, end in ((seed, END), (step, steps), (layer, layers), (head, END),
                           (recipe, recipes)):  # fmt: skip
            c.whole(found, place, end)
        if branch not in BRANCHES.values():
            c.fail(place, f"has branch {branch!r}")
        c.number(error, place)
        c.number(sampling, place)
        if before is not None and row[:6] <= before:
            c.fail(place, "is out of order or stands twice")
        before = row[:6]


def _check_run(c: _Check, run: Any, place: str, steps: int, layers: int, recipes: int) -> None:
    c.fields(run, ["seed", "name", "kind", "step", "layer", "recipe", "drift"], place)
    c.whole(run["seed"], place)
    if not isinstance(run["name"], str):
        c.fail(place, "has no name")
    if run["kind"] not in KINDS:
        c.fail(place, f"is of kind {run['kind']!r}, none of {', '.join(KINDS)}")
    part = {"whole": (), "step": ("step", "recipe"), "cell": ("step", "layer", "recipe")}
    wanted = part[run["kind"]]
    for name, end in (("step", steps), ("layer", layers), ("recipe", recipes)):
        if name in wanted:
            c.whole(run[name], f"{place}, {name}", end)
        elif run[name] is not None:
            c.fail(place, f"of kind {run['kind']} has a {name}")
    for drift in c.listed(run["drift"], f"{place}, drift", steps):
        c.number(drift, f"{place}, drift")


def _check_weights(c: _Check, weights: Any, steps: int, layers: int) -> None:
    c.fields(weights, ["step", "cell", "seeds"], "weights")
    for weight in c.listed(weights["step"], "weights.step", steps):
        c.number(weight, "weights.step")
    if not 0 < sum(weights["step"]) < math.inf:
        c.fail("weights.step", "has no sum above 0")
    if weights["cell"] is not None:
        for row in c.listed(weights["cell"], "weights.cell", steps):
            for weight in c.listed(row, "weights.cell", layers):
                c.number(weight, "weights.cell")
    for number, one in enumerate(c.listed(weights["seeds"], "weights.seeds")):
        place = f"weights.seeds {number}"
        c.fields(one, ["seed", "step"], place)
        c.whole(one["seed"], place)
        for weight in c.listed(one["step"], place, steps):
            c.number(weight, place)


def _check_prediction(c: _Check, found: Any) -> None:
    c.fields(found, ["per", "errors"], "prediction")
    for name, known in (("per", PER), ("errors", ERRORS)):
        if found[name] not in known:
            c.fail(f"prediction.{name}", f"is {found[name]!r}, none of {', '.join(known)}")


def _check_schedule(c: _Check, one: Any, place: str, steps: int, layers: int, recipes: int) -> None:
    c.fields(one, ["name", "recipes", "predicted", "measured"], place)
    if not isinstance(one["name"], str):
        c.fail(place, "has no name")
    for row in c.listed(one["recipes"], place, steps):
        for recipe in c.listed(row, place, layers):
            c.maybe(c.whole, recipe, place, recipes)
    for name in ("predicted", "measured"):
        c.maybe(c.number, one[name], f"{place}, {name}")


def read(path: str | os.PathLike[str]) -> Study:
    """A file as write() makes it. Raises FileError, UsageError."""
    return check(read_json(Path(path)), os.fspath(path))


def write(study: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """The same study gives the same bytes; whole or not at all. Raises UsageError for no study."""
    text = json.dumps(check(study, "study"), separators=(",", ":"), allow_nan=False)
    write_atomically(Path(path), text.replace('],[', '],\n[').replace('},{', '},\n{') + "\n")
