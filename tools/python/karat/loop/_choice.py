"""Which recipe each step and layer of a run has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from .._errors import FileError, UsageError
from .._recipe import Recipe, as_recipe, schedule

Table = list[list["int | None"]]  # [step][layer] -> place among the recipes; None: PyTorch's own


class Choice(NamedTuple):
    recipes: list[Recipe]
    places: Table

    def recipe(self, step: int, layer: int) -> Recipe | None:
        place = self.places[step][layer]
        return None if place is None else self.recipes[place]


def is_schedule(what: Any) -> bool:
    return isinstance(what, Mapping) and ("phases" in what or "alpha" in what)


def _by_layer(what: Any) -> bool:
    return isinstance(what, Mapping) and bool(what) and all(isinstance(k, int) for k in what)


def _file(path: str) -> Any:
    """A .json as schedules and recipes are told apart: by what it holds."""
    try:
        read = json.loads(Path(path).read_text())
    except (OSError, ValueError) as problem:
        raise FileError(f"{path}: cannot be read as JSON ({problem})") from None
    return path if is_schedule(read) else as_recipe(path)


def _of_layer(what: Any, layer: int, steps: int, sigma: Sequence[float] | None) -> list[Any]:
    """Recipe or None of every step."""
    if isinstance(what, (str, os.PathLike)) and os.fspath(what).endswith(".json"):
        what = _file(os.fspath(what))
        if isinstance(what, str):
            return list(schedule(what, steps, sigma=sigma))
    if what is None:
        return [None] * steps
    if is_schedule(what):
        return list(schedule(what, steps, sigma=sigma))
    if callable(what):
        chosen = [what(step, layer) for step in range(steps)]
        return [None if one is None else as_recipe(one) for one in chosen]
    return [as_recipe(what)] * steps


def places(recipes: Iterable[Any], known: list[Recipe]) -> list[int]:
    """Adds the recipes that are new. Raises UsageError for two of one name."""
    found = []
    for given in recipes:
        recipe = as_recipe(given)
        for place, other in enumerate(known):
            if recipe == other:
                break
            if recipe.name == other.name:
                raise UsageError(
                    f'recipe: two are called {recipe.name}; give one of them another "name"'
                )
        else:
            place = len(known)
            known.append(recipe)
        found.append(place)
    return found


def selected(numbers: Iterable[int] | None, count: int, what: str) -> set[int]:
    """Those numbers, or all. Raises UsageError for one that does not exist."""
    chosen = set(range(count)) if numbers is None else {int(n) for n in numbers}
    for number in sorted(chosen):
        if not 0 <= number < count:
            raise UsageError(
                f"{what}: {number} is none of 0 to {count - 1}; give those of this run"
            )
    return chosen


def choose(
    what: Any,
    steps: int,
    layers: int,
    *,
    only_layers: Iterable[int] | None = None,
    only_steps: Iterable[int] | None = None,
    sigma: Sequence[float] | None = None,
) -> Choice:
    """what: None, a recipe, a schedule, a callable (step, layer) -> recipe or None, or a dict of
    these by layer, where layers that it does not name keep PyTorch's attention.

    Raises UsageError, FileError as recipes and schedules do, for steps and layers that do not
    exist, and for two recipes of one name.
    """
    in_layers = selected(only_layers, layers, "layers")
    in_steps = selected(only_steps, steps, "at")
    if _by_layer(what):
        selected(what, layers, "layers")
    recipes: list[Recipe] = []
    table: Table = [[None] * layers for _ in range(steps)]
    whole: list[Any] | None = None
    for layer in sorted(in_layers):
        if _by_layer(what):
            row = _of_layer(what.get(layer), layer, steps, sigma)
        elif callable(what) and not isinstance(what, Recipe):
            row = _of_layer(what, layer, steps, sigma)
        else:
            row = whole = whole or _of_layer(what, layer, steps, sigma)
        for step in sorted(in_steps):
            if row[step] is not None:
                table[step][layer] = places([row[step]], recipes)[0]
    return Choice(recipes, table)
