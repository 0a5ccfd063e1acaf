"""Recipes: a kernel as plain data."""

from __future__ import annotations

import functools
import json
import os
from typing import Any, Mapping, Sequence

from . import _core
from ._errors import ArrayError, UsageError


class Recipe:
    """A kernel's recipe, read and valid. Immutable; share it between threads.

    ``Recipe("fpsattention")``, ``Recipe("mine.json")``, ``Recipe({"base": "fpsattention",
    "p": {"format": "f32"}})``. Raises UsageError naming the field that is wrong.
    """

    __slots__ = ("_core", "_fields")

    def __init__(self, recipe: str | os.PathLike[str] | Mapping[str, Any]):
        self._core = _core.Recipe(_text(recipe))
        self._fields: dict[str, Any] = json.loads(self._core.json())

    @property
    def name(self) -> str:
        return self._fields["name"]

    @property
    def output(self) -> str:
        """Number format of the output: "bf16", "f16", "f32", "e4m3".

        BF16 where the kernel's cast comes before V's scale (finish.cast "before_scale").
        """
        before_scale = self._fields["finish"]["cast"] == "before_scale"
        return "bf16" if before_scale else self._fields["output"]

    @property
    def gradient(self) -> str | None:
        """Number format of dq, dk and dv; None where the recipe has no backward."""
        section = self._fields.get("backward", {"loop": "none"})
        return section["output"] if section["loop"] != "none" else None

    @property
    def grid_reason(self) -> str | None:
        """Why a grid must be said: "mask.tile 6,8,8 orders the tokens by it"; None where it need not.
        """
        return self._core.grid_reason()

    def to_dict(self) -> dict[str, Any]:
        """Every field, resolved; ``Recipe(r.to_dict())`` is the same recipe."""
        return json.loads(self._core.json())

    def replace(self, **sections: Any) -> Recipe:
        """The recipe with some fields changed: ``r.replace(p={"format": "f32"}, output="f32")``.

        Instructions follow operand formats unless given.
        """
        fields = self.to_dict()
        implied = {"qk": ("q", "k"), "pv": ("p", "v")}
        changed_operands = False
        for section, value in sections.items():
            if isinstance(value, Mapping) and isinstance(fields.get(section), dict):
                fields[section].update(value)
            else:
                fields[section] = value
        for section, operands in implied.items():
            changed = any("format" in dict(sections.get(o) or {}) for o in operands)
            changed_operands = changed_operands or changed
            if changed and "instruction" not in dict(sections.get(section) or {}):
                fields[section].pop("instruction")
        if "backward" in sections or changed_operands:
            given = dict(sections.get("backward") or {})
            for product in ("s", "dp", "dv", "dq", "dk"):
                if product not in given:
                    fields.get("backward", {}).pop(product, None)
        return Recipe(fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._core.json())

    def __repr__(self) -> str:
        return f"karat.Recipe({self.name!r})"


RecipeLike = Any  # str, path, mapping or Recipe


def _text(recipe: Any) -> str:
    if isinstance(recipe, Mapping):
        return json.dumps(recipe)
    if isinstance(recipe, (str, os.PathLike)):
        return os.fspath(recipe)
    raise ArrayError(
        f"recipe: {type(recipe).__name__} is no recipe; give a preset's name, a path to a .json, a "
        "dict or a karat.Recipe"
    )


@functools.lru_cache(maxsize=256)
def _named(text: str) -> Recipe:
    return Recipe(text)


def as_recipe(recipe: RecipeLike) -> Recipe:
    """Any way to say which recipe; presets and JSON texts are read once."""
    if isinstance(recipe, Recipe):
        return recipe
    text = _text(recipe)
    return Recipe(text) if text.endswith(".json") else _named(text)


def names(what: str = "recipes") -> list[str]:
    """What can be named: "recipes", "instructions", "policies", "formats", "gpus", "models" or
    "workloads"."""
    return json.loads(_core.names(what))


def schedule(
    schedule: str | os.PathLike[str] | Mapping[str, Any],
    steps: int,
    *,
    sigma: Sequence[float] | None = None,
) -> list[Recipe]:
    """The recipe of each of the sampler's steps (docs/schedules.md), from a file or a dict.

    sigma: the noise level of every step, where a phase asks for it. Raises UsageError, FileError.
    """
    levels = None if sigma is None else [float(level) for level in sigma]
    if levels is not None and len(levels) != steps:
        raise UsageError(f"sigma: {len(levels)} noise levels for {steps} steps; give one a step")
    read = json.loads(_core.schedule(_text(schedule), int(steps), levels))
    recipes = [Recipe(fields) for fields in read["recipes"]]
    return [recipes[phase] for phase in read["steps"]]
