"""Experiments made of runs: one step perturbed at a time, and whole schedules end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from .._errors import FileError, UsageError
from .._forwards import CALLS
from .._hooks import require_torch
from .._recipe import Recipe
from ._attach import OnForward, Replay, Run, setting_of, start
from ._choice import choose, places
from ._progress import Progress
from ._replace import Adapter, Fitted, fit
from ._store import Folder, Memory, claim, hash_of, read_json, weights_of, write_atomically
from ._study import PER, Study, make
from ._weights import predicted, rank_correlation, with_weights

Sample = Callable[[int, Run], Any]


class Runs(NamedTuple):
    """What all runs of an experiment share."""

    fitted: Fitted
    sample: Sample
    common: dict[str, Any]  # of setting_of()
    state: Path | None
    weights: str | None  # of the model; None without a state
    bar: Progress  # in forwards; those that are given again from the unmodified run do not count

    @property
    def calls(self) -> int:
        """Forwards a step."""
        return CALLS[self.fitted.guidance]

    def watched(self, words: str, begin: int = 0) -> OnForward:
        """Tells the bar of forwards from step `begin` on."""

        def on_forward(step: int, known: bool) -> None:
            if step < begin:
                return
            if known:
                self.bar.skip()
            else:
                self.bar.step(f"{words}, step {step + 1}")

        return on_forward

    def place(self, *parts: str) -> Path | None:
        return None if self.state is None else self.state.joinpath(*parts)

    def unmodified(self, seed: int, probe: Sequence[Recipe], keep: bool, words: str) -> Run:
        setting = setting_of(
            self.fitted, None, seed=seed, probe=probe, name="unmodified", **self.common
        )
        folder = self.place(f"seed-{seed}", "unmodified")
        keep = keep and folder is None
        run = start(
            self.fitted, setting, state=folder, keep=keep, progress=False, weights=self.weights,
            on_forward=self.watched(f"{words}, unmodified"),
        )  # fmt: skip
        self._go(seed, run)
        return run

    def drifts(
        self, seed: int, name: str, what: Any, plain: Run, words: str, replay: Replay | None = None
    ) -> list[list[float]]:
        """[batch entry][step] of a run against the unmodified one; kept in the state.

        Raises UsageError where the state's drift is from other latents than the run's now.
        """
        path = self.place(f"seed-{seed}", f"{name}.json")
        reference = "" if path is None else hash_of(plain.reference.steps, "latents")
        begin = 0 if replay is None else replay.until
        if path is not None and path.exists():
            self.bar.skip((self.common["steps"] - begin) * self.calls)
            return _drifts_of(path, reference, len(plain.reference.steps[0]), self.common["steps"])
        setting = setting_of(
            self.fitted, what, seed=seed, name=name, measure=False, **self.common
        )
        run = start(
            self.fitted, setting, reference=plain.reference, replay=replay, progress=False,
            on_forward=self.watched(words, begin),
        )  # fmt: skip
        self._go(seed, run)
        found = [list(entry) for entry in zip(*run.drift)]
        if path is not None:
            kept = {"reference": reference, "drift": found}
            write_atomically(path, json.dumps(kept) + "\n")
        return found

    def _go(self, seed: int, run: Run) -> None:
        with run:
            self.sample(seed, run)
        run.study()  # refuses a run that is not complete


def _drifts_of(path: Path, reference: str, entries: int, steps: int) -> list[list[float]]:
    kept = read_json(path)
    drift = kept.get("drift") if isinstance(kept, dict) else None
    if (
        not isinstance(drift, list)
        or [isinstance(one, list) and len(one) for one in drift] != [steps] * entries
        or not all(type(x) is float for one in drift for x in one)
    ):
        raise FileError(f"{path}: is no drift of a run; delete it")
    if kept.get("reference") != reference:
        raise UsageError(
            f"{path}: is of another unmodified run; sample the same way, or give another folder"
        )
    return drift


def _runs_of(
    model: Any,
    sample: Sample,
    adapter: Adapter | None,
    guidance: str | None,
    state: str | os.PathLike[str] | None,
    common: dict[str, Any],
    identity: dict[str, Any],
    seeds: Sequence[int],
    bar: Callable[[int], Progress],
) -> Runs:
    """bar: of the number of forwards a step. Refuses seeds that no file can name."""
    require_torch("karat.loop")
    fitted = fit(model, adapter, guidance)
    folder = None if state is None else Path(state)
    settings = [setting_of(fitted, None, seed=seed, **common) for seed in seeds]
    weights = None if folder is None else weights_of(fitted.model)
    if folder is not None:
        claim(folder, settings[0]._replace(seed=0).identity(fitted, weights or "") | identity)
    return Runs(fitted, sample, common, folder, weights, bar(CALLS[fitted.guidance]))


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
    if per not in PER:
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
    layers = len(fit(model, adapter, guidance).layers)
    plan = [_Perturbed(s, None, r) for s in range(steps) for r in chosen]
    if per == "cell":
        plan += [_Perturbed(s, n, r) for s in range(steps) for n in range(layers) for r in chosen]
    computed = len(seeds) * (steps + sum(steps - one.step for one in plan))
    runs = _runs_of(
        model, sample, adapter, guidance, state, common, names, seeds,
        lambda calls: Progress("sensitivities", computed * calls, progress),
    )  # fmt: skip
    made, local = [], []
    for number, seed in enumerate(seeds):
        words = f"seed {number + 1} of {len(seeds)}"
        plain = runs.unmodified(seed, known, keep=True, words=words)
        first = plain.study()
        local += first["local"]["rows"]
        assert isinstance(plain.kept, (Folder, Memory))
        for one in plan:
            replay = Replay(plain.kept, one.step)
            found = runs.drifts(
                seed, one.name(), one.choice(known), plain, f"{words}, {one.name()}", replay
            )
            made += [
                _entry(seed + b, one.name(), one.kind, drift, step=one.step, layer=one.layer,
                       recipe=one.recipe)
                for b, drift in enumerate(found)
            ]  # fmt: skip
    runs.bar.end()
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
    (None for fewer than three schedules, and where all have the same drift). `prediction` says
    which prediction it is.
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
    computed = len(seeds) * steps * (len(schedules) + 1)
    runs = _runs_of(
        model, sample, adapter, guidance, state, common, names, seeds,
        lambda calls: Progress("compare", computed * calls, progress),
    )  # fmt: skip
    if len(runs.fitted.layers) != layers:
        raise UsageError(
            f"study: is of {layers} layers, the model has {len(runs.fitted.layers)}; measure this "
            "model's own"
        )
    made = []
    for number, seed in enumerate(seeds):
        words = f"seed {number + 1} of {len(seeds)}"
        plain = runs.unmodified(seed, [], keep=False, words=words)
        for place, name in enumerate(schedules):
            choice = choices[name]
            found = runs.drifts(seed, f"schedule-{place}", choice.recipe, plain, f"{words}, {name}")
            made += [_entry(seed + b, name, "whole", drift) for b, drift in enumerate(found)]
    runs.bar.end()
    for one in listed:
        last = [run["drift"][-1] ** 2 for run in made if run["name"] == one["name"]]
        one["measured"] = (sum(last) / len(last)) ** 0.5
    rho = rank_correlation(
        [one["predicted"] for one in listed], [one["measured"] for one in listed]
    )
    runs_before = [run for run in study["runs"] if run["kind"] != "whole"]
    return dict(study) | {
        "runs": runs_before + made, "schedules": listed,
        "prediction": {"per": per, "errors": errors}, "spearman": rho,
    }  # fmt: skip
