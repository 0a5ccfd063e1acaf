"""Propagation weights from runs that had one step, or one layer of one step, perturbed."""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np

from .._errors import UsageError
from ._choice import Choice, choose
from ._study import ERRORS, PER, Study

Squares = dict[tuple[int, ...], float]


def _mean_squares(study: Mapping[str, Any], seed: int | None, by: Sequence[int]) -> Squares:
    """Means of error^2 over the local rows that agree in the columns `by`."""
    sums: dict[tuple[int, ...], list[float]] = {}
    for row in study["local"]["rows"]:
        if seed is None or row[0] == seed:
            sums.setdefault(tuple(row[n] for n in by), []).append(row[6] ** 2)
    return {key: math.fsum(values) / len(values) for key, values in sums.items()}


STEP, CELL = (0, 1, 5), (0, 1, 2, 5)  # seed, step, (layer,) recipe among the local columns


def _ratios(study: Mapping[str, Any], kind: str, seeds: Sequence[int]) -> Squares:
    """sum D^2 / sum e^2 of every (step,) or (step, layer), over seeds and recipes."""
    by = STEP if kind == "step" else CELL
    squares = _mean_squares(study, None, by)
    drift: dict[tuple[int, ...], list[float]] = {}
    local: dict[tuple[int, ...], list[float]] = {}
    for run in study["runs"]:
        if run["kind"] != kind or run["seed"] not in seeds:
            continue
        place = (run["step"],) if kind == "step" else (run["step"], run["layer"])
        key = (run["seed"], *place, run["recipe"])
        if key not in squares:
            raise UsageError(
                f"study: run {run['name']} of seed {run['seed']} has no local errors beside it; "
                "measure them in the unmodified run (probe=)"
            )
        drift.setdefault(place, []).append(run["drift"][-1] ** 2)
        local.setdefault(place, []).append(squares[key])
    return {
        place: math.fsum(drift[place]) / total if (total := math.fsum(local[place])) > 0 else 0.0
        for place in drift
    }


def measured_weights(study: Mapping[str, Any]) -> dict[str, Any]:
    """The field `weights` of a study: what a squared local error counts in the squared drift.

    step[s] = sum D^2 / sum e^2 over seeds and recipes of the runs perturbed in step s alone, D the
    drift of the last latent, e^2 the mean over layers, heads and branches of squared relative
    errors of attention's output. cell[s][l] likewise for one layer of one step; None unless every
    one was run. seeds: step of every seed by itself. A squared drift of several perturbed steps is
    then predicted as the sum of weight * e^2: errors of different steps and layers as independent.

    Raises UsageError unless every step was perturbed for every seed, and where nothing drifted.
    """
    steps, layers = study["steps"], study["layers"]
    seeds = sorted({run["seed"] for run in study["runs"] if run["kind"] == "step"})

    def by_step(of: Sequence[int]) -> list[float]:
        ratios = _ratios(study, "step", of)
        for step in range(steps):
            if (step,) not in ratios:
                raise UsageError(
                    f"study: step {step} was not perturbed"
                    + (f" for seed {of[0]}" if len(of) == 1 else "")
                    + "; perturb every step (karat.loop.sensitivities)"
                )
        return [ratios[step,] for step in range(steps)]

    if not seeds:
        raise UsageError("study: no step was perturbed; make it by karat.loop.sensitivities")
    whole = by_step(seeds)
    if not sum(whole) > 0:
        raise UsageError("study: no perturbed run drifted; perturb with recipes that change something")
    cells = _ratios(study, "cell", seeds)
    every = [(step, layer) for step in range(steps) for layer in range(layers)]
    return {
        "step": whole,
        "cell": [[cells[s, n] for n in range(layers)] for s in range(steps)]
        if all(place in cells for place in every)
        else None,
        "seeds": [{"seed": seed, "step": by_step([seed])} for seed in seeds],
    }  # fmt: skip


def _choice_of(study: Mapping[str, Any], what: Any) -> Choice:
    """A schedule over the study's recipes."""
    if isinstance(what, Choice):
        return what
    return choose(what, study["steps"], study["layers"], sigma=study["sigma"])


def predicted(
    study: Mapping[str, Any], schedule: Any, *, per: str = "step", errors: str = "independent"
) -> float:
    """The drift of the last latent that the study's weights expect of a schedule.

    The squared drift of a step is weight * mean over layers of e^2 with per="step", or the sum over
    layers of weight * e^2 with per="cell"; e^2 as in measured_weights(), mean over seeds; layers
    that keep PyTorch's attention have none. Over steps squares add up where errors are
    "independent", which is what karat tune minimises, and drifts where they are "aligned": the
    largest that a first-order model allows. schedule: as for attach().
    Raises UsageError for a study without the weights, and a recipe that it did not measure.
    """
    if errors not in ERRORS:
        raise UsageError(f"errors: {errors!r} is not known; give independent or aligned")
    weights = study["weights"]
    if per not in PER:
        raise UsageError(f"per: {per!r} is not known; give step or cell")
    if weights is None or (per == "cell" and weights["cell"] is None):
        raise UsageError(
            f"study: has no weights per {per}; measure them (karat.loop.sensitivities)"
        )
    choice = _choice_of(study, schedule)
    names = [recipe["name"] for recipe in study["recipes"]]
    squares = _mean_squares(study, None, (1, 2, 5))
    steps = []
    for step, row in enumerate(choice.places):
        terms = []
        for layer, place in enumerate(row):
            if place is None:
                continue
            recipe = choice.recipes[place]
            known = names.index(recipe.name) if recipe.name in names else -1
            if known < 0 or study["recipes"][known] != recipe.to_dict():
                raise UsageError(
                    f"study: did not measure recipe {recipe.name}; it has {', '.join(names)}"
                )
            if (step, layer, known) not in squares:
                raise UsageError(
                    f"study: has no error of {recipe.name} in step {step}, layer {layer}"
                )
            weight = (
                weights["step"][step] / len(row) if per == "step" else weights["cell"][step][layer]
            )
            terms.append(weight * squares[step, layer, known])
        steps.append(math.fsum(terms))
    if errors == "aligned":
        return math.fsum(math.sqrt(square) for square in steps)
    return math.sqrt(math.fsum(steps))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation; equal values share their mean rank. Raises UsageError for fewer than three
    values, lists of different lengths, or a list of equal values.
    """
    if len(a) != len(b) or len(a) < 3:
        raise UsageError(f"spearman: {len(a)} and {len(b)} values; give as many, at least three")

    def ranks(values: Sequence[float]) -> np.ndarray:
        x = np.asarray(values, np.float64)
        return np.array([(x < one).sum() + ((x == one).sum() - 1) / 2 for one in x])

    p, q = (r - r.mean() for r in (ranks(a), ranks(b)))
    if not p.any() or not q.any():
        raise UsageError("spearman: all values of a list are equal; nothing is ranked")
    return float((p * q).sum() / math.sqrt((p**2).sum() * (q**2).sum()))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """spearman(), or None where it has no meaning."""
    try:
        return spearman(a, b)
    except UsageError:
        return None


def with_weights(study: Study) -> Study:
    """Without weights where no perturbed run drifted."""
    drifted = any(run["drift"][-1] > 0 for run in study["runs"] if run["kind"] == "step")
    return study | {"weights": measured_weights(study) if drifted else None}
