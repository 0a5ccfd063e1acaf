"""Experiments made of runs: one step perturbed at a time, and whole schedules end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from .._errors import UsageError
from .._hooks import require_torch
from .._recipe import Recipe
from ._attach import Replay, Run, setting_of, start
from ._choice import choose, places
from ._progress import Progress
from ._replace import Adapter, Fitted, fit
from ._store import Folder, Memory, claim, read_json, write_atomically
from ._study import Study, make
from ._weights import predicted, spearman, with_weights

Sample = Callable[[int, Run], Any]


class Runs(NamedTuple):
    """What all runs of an experiment share."""

    fitted: Fitted
    sample: Sample
    common: dict[str, Any]  # of setting_of()
    state: Path | None

    def place(self, *parts: str) -> Path | None:
        return None if self.state is None else self.state.joinpath(*parts)

    def unmodified(self, seed: int, probe: Sequence[Recipe], keep: bool) -> Run:
        setting = setting_of(
            self.fitted, None, seed=seed, probe=probe, name="unmodified", **self.common
        )
        folder = self.place(f"seed-{seed}", "unmodified")
        keep = keep and folder is None
        run = start(self.fitted, setting, state=folder, keep=keep, progress=False)
        self._go(seed, run)
        return run

    def drifts(
        self, seed: int, name: str, what: Any, plain: Run, replay: Replay | None = None
    ) -> list[list[float]]:
        """[batch entry][step] of a run against the unmodified one; kept in the state."""
        path = self.place(f"seed-{seed}", f"{name}.json")
        if path is not None and path.exists():
            return read_json(path)
        setting = setting_of(
            self.fitted, what, seed=seed, name=name, measure=False, **self.common
        )
        run = start(
            self.fitted, setting, reference=plain.reference, replay=replay, progress=False
        )
        self._go(seed, run)
        found = [list(entry) for entry in zip(*run.drift)]
        if path is not None:
            write_atomically(path, json.dumps(found) + "\n")
        return found

    def _go(self, seed: int, run: Run) -> None:
        with run:
            self.sample(seed, run)
        run.study()  # refuses a run that is not complete


def _runs_of(
    model: Any,
    sample: Sample,
    adapter: Adapter | None,
    guidance: str | None,
    state: str | os.PathLike[str] | None,
    common: dict[str, Any],
    identity: dict[str, Any],
) -> Runs:
    require_torch("karat.loop")
    fitted = fit(model, adapter, guidance)
    folder = None if state is None else Path(state)
    if folder is not None:
        setting = setting_of(fitted, None, **common)
        claim(folder, setting.identity(fitted) | identity)
    return Runs(fitted, sample, common, folder)


def _entry(
    seed: int, name: str, kind: str, drift: list[float], **place: int | None
) -> dict[str, Any]:
    return {
        "seed": seed, "name": name, "kind": kind, "step": place.get("step"),
        "layer": place.get("layer"), "recipe": place.get("recipe"), "drift": drift,
    }  # fmt: skip


class _Perturbed(NamedTuple):
    step: int
    layer: int | None
    recipe: int

    @property
    def kind(self) -> str:
        return "step" if self.layer is None else "cell"

    def name(self) -> str:
        layer = "" if self.layer is None else f".layer-{self.layer}"
        return f"step-{self.step}{layer}.recipe-{self.recipe}"

    def choice(self, recipes: Sequence[Recipe]) -> Callable[[int, int], Recipe | None]:
        def chosen(step: int, layer: int) -> Recipe | None:
            here = step == self.step and self.layer in (None, layer)
            return recipes[self.recipe] if here else None

        return chosen


def sensitivities(
    model: Any,
    sample: Sample,
    *,
    recipes: Sequence[Any],
    steps: int,
    seeds: Iterable[int],
    perturb: Sequence[Any] | None = None,
    per: str = "step",
    adapter: Adapter | None = None,
    grid: Sequence[int] | None = None,
    guidance: str | None = None,
    rows: int = 0,
    sigma: Sequence[float] | None = None,
    state: str | os.PathLike[str] | None = None,
    model_name: str | None = None,
    threads: int = 0,
    progress: bool | None = None,
) -> Study:
    """What an error in each step does to the last latent: a study with measured weights.

    sample: (seed, run) -> anything; denoises from that seed with `model`, the same way each time,
        and calls run.latents(x) after every step.
    recipes: whose local errors are measured, in every step and layer of the unmodified run.
    perturb: those that runs are perturbed with, one step at a time; None: all of them. per: "step",
        or "cell": also one layer of one step at a time, steps * layers more runs.
    The other arguments as for attach(). Forwards before the perturbed step are those of the
    unmodified run, so a run costs the steps that are left. state: resumable run by run.

    karat tune --weights takes what karat.loop.write() makes of this, and --from its local errors.
    """
    if per not in ("step", "cell"):
        raise UsageError(f"per: {per!r} is not known; give step or cell")
    known: list[Recipe] = []
    places(recipes, known)
    chosen = places(known if perturb is None else perturb, known)
    seeds = [int(seed) for seed in seeds]
    if not known or not seeds or not chosen:
        raise UsageError("recipes, seeds and perturb: each needs at least one; name them")
    common = {
        "steps": steps, "grid": grid, "rows": rows, "sigma": sigma, "model_name": model_name,
        "threads": threads,
    }  # fmt: skip
    names = {"recipes": [recipe.to_dict() for recipe in known], "experiment": "sensitivities"}
    runs = _runs_of(model, sample, adapter, guidance, state, common, names)
    layers = len(runs.fitted.layers)
    plan = [_Perturbed(s, None, r) for s in range(steps) for r in chosen]
    if per == "cell":
        plan += [_Perturbed(s, n, r) for s in range(steps) for n in range(layers) for r in chosen]
    bar = Progress("sensitivities", len(seeds) * (len(plan) + 1), progress)
    made, local = [], []
    for number, seed in enumerate(seeds):
        plain = runs.unmodified(seed, known, keep=True)
        bar.step(f"seed {number + 1} of {len(seeds)}")
        first = plain.study()
        local += first["local"]["rows"]
        assert isinstance(plain.kept, (Folder, Memory))
        for one in plan:
            replay = Replay(plain.kept, one.step)
            found = runs.drifts(seed, one.name(), one.choice(known), plain, replay)
            made += [
                _entry(seed + b, one.name(), one.kind, drift, step=one.step, layer=one.layer,
                       recipe=one.recipe)
                for b, drift in enumerate(found)
            ]  # fmt: skip
            bar.step(f"seed {number + 1} of {len(seeds)}, {one.name()}")
    bar.end()
    return with_weights(make(
        model=first["model"], steps=steps, layers=layers, grid=first["grid"],
        guidance=first["guidance"], sigma=first["sigma"], recipes=known, rows=local, runs=made,
        schedules=[],
        origin=f"one {per} perturbed at a time, {len(seeds)} seeds of {first['model']}",
    ))  # fmt: skip


def compare(
    model: Any,
    sample: Sample,
    schedules: Mapping[str, Any],
    study: Mapping[str, Any],
    *,
    seeds: Iterable[int],
    per: str = "step",
    errors: str = "independent",
    adapter: Adapter | None = None,
    grid: Sequence[int] | None = None,
    guidance: str | None = None,
    state: str | os.PathLike[str] | None = None,
    threads: int = 0,
    progress: bool | None = None,
) -> Study:
    """Runs schedules end to end and holds the drift that the study predicts against it.

    schedules: name -> as for attach(). study: of sensitivities(); seeds should be others than its.
    per, errors: as for predicted().
    Returns the study with the whole runs among its `runs`, `schedules` with predicted and measured
    drift of the last latent (root mean square over seeds), and their rank correlation `spearman`
    (None for fewer than three schedules).
    """
    seeds = [int(seed) for seed in seeds]
    if not schedules or not seeds:
        raise UsageError("schedules and seeds: each needs at least one; name them")
    steps = study["steps"]
    common = {
        "steps": steps, "grid": grid or study["grid"], "sigma": study["sigma"], "threads": threads,
        "model_name": study["model"],
    }  # fmt: skip
    known: list[Recipe] = [Recipe(fields) for fields in study["recipes"]]
    listed, choices = [], {}
    layers = study["layers"]
    for name, what in schedules.items():
        choice = choices[name] = choose(what, steps, layers, sigma=study["sigma"])
        as_known = places(choice.recipes, known)
        listed.append({
            "name": name,
            "recipes": [[None if p is None else as_known[p] for p in row] for row in choice.places],
            "predicted": predicted(study, choice, per=per, errors=errors), "measured": None,
        })  # fmt: skip
    names = {"experiment": "compare", "schedules": listed, "recipes": study["recipes"]}
    runs = _runs_of(model, sample, adapter, guidance, state, common, names)
    if len(runs.fitted.layers) != layers:
        raise UsageError(
            f"study: is of {layers} layers, the model has {len(runs.fitted.layers)}; measure this "
            "model's own"
        )
    bar = Progress("compare", len(seeds) * (len(schedules) + 1), progress)
    made = []
    for number, seed in enumerate(seeds):
        plain = runs.unmodified(seed, [], keep=False)
        bar.step(f"seed {number + 1} of {len(seeds)}")
        for place, name in enumerate(schedules):
            choice = choices[name]
            found = runs.drifts(seed, f"schedule-{place}", choice.recipe, plain)
            made += [_entry(seed + b, name, "whole", drift) for b, drift in enumerate(found)]
            bar.step(f"seed {number + 1} of {len(seeds)}, {name}")
    bar.end()
    for one in listed:
        last = [run["drift"][-1] ** 2 for run in made if run["name"] == one["name"]]
        one["measured"] = (sum(last) / len(last)) ** 0.5
    rho = None
    if len(listed) >= 3:
        rho = spearman([one["predicted"] for one in listed], [one["measured"] for one in listed])
    runs_before = [run for run in study["runs"] if run["kind"] != "whole"]
    return dict(study) | {"runs": runs_before + made, "schedules": listed, "spearman": rho}
