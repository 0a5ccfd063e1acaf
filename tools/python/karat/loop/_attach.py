"""A recorded run: recipes by step and layer, local errors, drift, resumable."""

from __future__ import annotations

import os
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from .. import _core
from .._errors import UsageError
from .._forwards import CALLS, Forwards, timestep_of
from .._hooks import AttentionHooks, Call, require_torch
from .._recipe import Recipe
from ._choice import Choice, choose, places
from ._latents import Latents, as_latents
from ._local import exact_rows, head_errors, rows_of
from ._progress import Progress
from ._replace import (
    Adapter,
    Fitted,
    ForwardWrap,
    Grid,
    arguments_of,
    as_grid,
    fit,
    refuse_silence,
    replaced,
)
from ._store import Folder, Kept, Memory, Row, cloned, hash_of, weights_of
from ._study import BRANCHES, MOST_STEPS, Study, make


MOST_SEED = 2_000_000_000  # a file holds 2^31 - 2; entries of a batch count on from the seed

OnForward = Callable[[int, bool], None]  # step; whether the output was known already


class Replay(NamedTuple):
    """Forwards of another run that this one begins with."""

    kept: Memory | Folder
    until: int  # step, exclusive


class Setting(NamedTuple):
    """What a run is, beside its model."""

    choice: Choice
    probe: list[int]  # places among the recipes
    steps: int
    grid: Grid | None
    rows: int
    seed: int
    sigma: list[float] | None
    name: str
    model_name: str
    threads: int
    measure: bool  # local errors are recorded

    def identity(self, fitted: Fitted, weights: str) -> dict[str, Any]:
        """What a state folder must agree in; inputs are compared forward by forward.

        weights: weights_of() the model. The seed's first inputs are the same for any weights.
        """
        return {
            "schema": "karat.loop_state", "version": 2, "library": _core.version(),
            "model": self.model_name, "weights": weights, "layers": len(fitted.layers), "guidance": fitted.guidance,
            "steps": self.steps, "places": self.choice.places, "probe": self.probe,
            "recipes": [recipe.to_dict() for recipe in self.choice.recipes],
            "grid": self.grid, "rows": self.rows, "seed": self.seed, "measure": self.measure,
        }  # fmt: skip


class Run:
    """A model under attach(), until detach() or the end of a `with` block.

    reference: the latents of this run, for drifts of others. An exception in the model's forward
    detaches.
    """

    def __init__(
        self,
        fitted: Fitted,
        setting: Setting,
        *,
        reference: Latents | None,
        kept: Memory | Folder | None,
        replay: Replay | None,
        progress: Progress,
        on_forward: OnForward | None,
    ):
        self._on_forward = on_forward
        self._fitted, self._setting = fitted, setting
        self._compared, self.kept, self._replay = reference, kept, replay
        self._progress = progress
        self.reference = Latents()
        self._drift: list[list[float]] = []  # [step][batch entry]
        self._rows: list[Row] = []
        self._forward_rows: list[Row] = []
        self._forwards = Forwards(fitted.guidance, setting.steps)
        self._number = -1
        self._grid = setting.grid
        self._hooks = AttentionHooks(fitted.layers, self._call, self._leave)
        self._wrap: ForwardWrap | None = ForwardWrap(fitted.model, self._forward, self.detach)
        self._hooks.install()

    # ---- on and off ----

    def detach(self) -> None:
        """The model as it was; a second time does nothing."""
        if self._wrap is None:
            return
        self._hooks.remove()
        self._wrap.take_off()
        self._wrap = None
        self._progress.end()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: Any) -> None:
        self.detach()

    # ---- a step ----

    def latents(self, x: Any) -> None:
        """After every step of the sampler: what it has now, [B, ...].

        Raises UsageError where a step was left out or came twice.
        """
        step = len(self.reference)
        if self._forwards.step != step:
            raise UsageError(
                f"latents: of step {step} in step {self._forwards.step}; call it once after every "
                "step of the sampler"
            )
        if self._compared is not None:
            self._drift.append(self._compared.drift(step, x))
        self.reference.append(x)

    def on_step_end(
        self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """latents() as a diffusers pipeline calls it: callback_on_step_end=run.on_step_end."""
        self.latents(tensors["latents"])
        return tensors

    # ---- a forward ----

    def _forward(self, inside: Any, args: Any, named: Any) -> Any:
        arguments = arguments_of(inside, args, named)
        if self._setting.grid is None:
            self._grid = self._fitted.grid_of(arguments)
        self._forwards.begin(timestep_of(arguments))
        self._forwards.end()
        self._number += 1
        remembers = self.kept is not None or self._replay is not None
        inputs = hash_of(arguments, "forward") if remembers else ""
        again = self._again(inputs)
        if again is not None:
            self._progress.skip(self._wanted_layers())
            if self._replay is None:
                self._rows += again.rows
            self._tell(known=True)
            return cloned(again.output)
        self._forward_rows = []
        output = inside(*args, **named)
        self._rows += self._forward_rows
        if self.kept is not None:
            self.kept.put(self._number, Kept(inputs, cloned(output), self._forward_rows))
        self._tell(known=False)
        return output

    def _tell(self, known: bool) -> None:
        if self._on_forward is not None:
            self._on_forward(self._forwards.step, known)

    def _again(self, inputs: str) -> Kept | None:
        """This forward as it was before, if it is known. Raises UsageError for other inputs."""
        found, what = None, ""
        if self._replay is not None and self._forwards.step < self._replay.until:
            found, what = self._replay.kept.get(self._number), "the unmodified run"
        elif isinstance(self.kept, Folder) and self._number < len(self.kept):
            found, what = self.kept.get(self._number), "the state"
        if found is not None and found.inputs != inputs:
            raise UsageError(
                f"state: forward {self._number} has other inputs than in {what}; start from the "
                "same seed and prompt, or give another folder"
            )
        return found

    def _wanted(self, layer: int) -> list[tuple[int, bool]]:
        """(recipe's place, whether the model gets its output), each recipe once."""
        used = self._setting.choice.places[self._forwards.step][layer]
        probed = [(place, False) for place in self._setting.probe if place != used]
        return ([] if used is None else [(used, True)]) + probed

    def _wanted_layers(self) -> int:
        return sum(bool(self._wanted(layer)) for layer in range(len(self._fitted.layers)))

    def _call(self, call: Call) -> Any:
        wanted = self._wanted(call.layer)
        if not wanted:
            return call.unchanged()
        assert self._grid is not None
        setting, given, exact = self._setting, None, None
        rows = rows_of(self._grid[0] * self._grid[1] * self._grid[2], setting.rows)
        for place, used in wanted:
            made = replaced(
                call, setting.choice.recipes[place], self._grid, self._fitted.text, setting.threads
            )
            if used:
                given = made.output
            if not setting.measure:
                continue
            if exact is None:
                exact = exact_rows(call, rows, made.video)
            self._record(call.layer, place, head_errors(made.output, exact, rows, made.video))
        place = f"step {self._forwards.step + 1} of {setting.steps}, layer {call.layer}"
        self._progress.step(place)
        return call.unchanged() if given is None else given

    def _record(self, layer: int, place: int, errors: Any) -> None:
        step, seed = self._forwards.step, self._setting.seed
        for first, count, branch in self._forwards.parts(len(errors.error)):
            for b in range(count):
                for head, (error, sampling) in enumerate(
                    zip(errors.error[first + b], errors.sampling_error[first + b])
                ):
                    self._forward_rows.append(
                        [seed + b, step, layer, head, BRANCHES[branch], place, float(error),
                         float(sampling)]
                    )  # fmt: skip

    def _leave(self, layer: int, calls: int) -> None:
        if calls == 0 and self._wanted(layer):
            raise refuse_silence(layer)

    # ---- what comes out ----

    @property
    def drift(self) -> list[list[float]]:
        """[step][batch entry]; empty without a reference."""
        return self._drift

    def study(self) -> Study:
        """What docs/loop.md describes. Raises UsageError before the last step's latents()."""
        setting, done = self._setting, len(self.reference)
        if done != setting.steps or self._grid is None:
            raise UsageError(f"run: has {done} of {setting.steps} steps; run all of them first")
        runs = []
        if self._compared is not None:
            for entry in range(len(self._drift[0])):
                runs.append({
                    "seed": setting.seed + entry, "name": setting.name, "kind": "whole",
                    "step": None, "layer": None, "recipe": None,
                    "drift": [step[entry] for step in self._drift],
                })  # fmt: skip
        last = [run["drift"][-1] ** 2 for run in runs]
        return make(
            model=setting.model_name, steps=setting.steps, layers=len(self._fitted.layers),
            grid=self._grid, guidance=self._fitted.guidance, sigma=setting.sigma,
            recipes=setting.choice.recipes, rows=list(self._rows), runs=runs,
            schedules=[{
                "name": setting.name, "recipes": setting.choice.places, "predicted": None,
                "measured": (sum(last) / len(last)) ** 0.5 if last else None,
            }],
            origin=f"a run of {setting.model_name}",
        )  # fmt: skip


def start(
    fitted: Fitted,
    setting: Setting,
    *,
    reference: Latents | None = None,
    state: str | os.PathLike[str] | None = None,
    keep: bool = False,
    replay: Replay | None = None,
    progress: bool | None = None,
    weights: str | None = None,
    on_forward: OnForward | None = None,
) -> Run:
    """A run of what attach() was asked for; keep, replay: for runs that begin alike.

    weights: weights_of() the model, where it is known.
    """
    kept: Memory | Folder | None = Memory() if keep else None
    if state is not None:
        kept = Folder(state, setting.identity(fitted, weights or weights_of(fitted.model)))
    pieces = sum(
        (place is not None) or bool(setting.probe) for row in setting.choice.places for place in row
    )
    bar = Progress("loop", pieces * CALLS[fitted.guidance], progress)
    return Run(
        fitted, setting, reference=reference, kept=kept, replay=replay, progress=bar,
        on_forward=on_forward,
    )  # fmt: skip


def setting_of(
    fitted: Fitted,
    what: Any,
    *,
    steps: int,
    layers: Iterable[int] | None = None,
    at: Iterable[int] | None = None,
    grid: Sequence[int] | None = None,
    probe: Sequence[Any] = (),
    rows: int = 0,
    seed: int = 0,
    sigma: Sequence[float] | None = None,
    name: str = "run",
    model_name: str | None = None,
    threads: int = 0,
    measure: bool = True,
) -> Setting:
    """attach()'s arguments checked."""
    for number, least, most, word in (
        (steps, 1, MOST_STEPS, "steps"), (rows, 0, None, "rows"), (seed, 0, MOST_SEED, "seed"),
    ):  # fmt: skip
        if int(number) != number or number < least:
            raise UsageError(f"{word}: {number!r} is too few; give a whole number from {least}")
        if most is not None and number > most:
            raise UsageError(f"{word}: {number!r} is too large; give at most {most}")
    if rows == 1:
        raise UsageError("rows: one row has no spread; give 0 for all, or at least two")
    levels = None if sigma is None else [float(level) for level in sigma]
    if levels is not None and len(levels) != steps:
        raise UsageError(f"sigma: {len(levels)} noise levels for {steps} steps; give one a step")
    choice = choose(
        what, steps, len(fitted.layers), only_layers=layers, only_steps=at, sigma=levels
    )
    recipes: list[Recipe] = choice.recipes
    return Setting(
        choice, places(probe, recipes), int(steps), as_grid(grid), int(rows), int(seed), levels,
        name, model_name or type(fitted.model).__name__, threads, measure,
    )  # fmt: skip


def attach(
    model: Any,
    recipe_or_schedule: Any,
    *,
    steps: int,
    layers: Iterable[int] | None = None,
    at: Iterable[int] | None = None,
    reference: Latents | str | os.PathLike[str] | None = None,
    adapter: Adapter | None = None,
    grid: Sequence[int] | None = None,
    guidance: str | None = None,
    probe: Sequence[Any] = (),
    rows: int = 0,
    seed: int = 0,
    sigma: Sequence[float] | None = None,
    state: str | os.PathLike[str] | None = None,
    name: str = "run",
    model_name: str | None = None,
    threads: int = 0,
    progress: bool | None = None,
) -> Run:
    """Replaces the attention of a model for one denoising run, and records what that does.

    model: one of diffusers' classes in karat.capture.KINDS, or any with an adapter.
    recipe_or_schedule: None (everything stays PyTorch's), a recipe, a schedule (a dict with
        "phases" or "alpha", or its file), a callable (step, layer) -> recipe or None, or a dict of
        these by layer number.
    steps: of the sampler. layers, at: layers and steps that are replaced; None: all.
    reference: latents of an unmodified run of the same seed; drift is recorded against them.
    grid: (T, H, W) of the video's tokens; diffusers' classes tell it. guidance: as in Adapter,
        where the run is guided otherwise than the class usually is.
    probe: recipes whose local errors are recorded too, on the same inputs; the model does not see
        their output.
    rows: of each head that local errors look at, spread over the video; 0: all.
    seed: the run's name among others; entry b of a batch is called seed + b.
    sigma: the noise level of every step.
    state: a folder; a run that was stopped continues there with the same outcome when it is started
        again. Needs room for the output of every forward.
    name, model_name: in the study. progress: None shows it on a terminal.

    Call run.latents(x) after every step of the sampler (diffusers:
    callback_on_step_end=run.on_step_end), and run.study() at the end. What replace() refuses is
    refused here; two recipes of one name too.
    """
    require_torch("karat.loop")
    fitted = fit(model, adapter, guidance)
    setting = setting_of(
        fitted, recipe_or_schedule, steps=steps, layers=layers, at=at, grid=grid, probe=probe,
        rows=rows, seed=seed, sigma=sigma, name=name, model_name=model_name, threads=threads,
    )  # fmt: skip
    return start(fitted, setting, reference=as_latents(reference), state=state, progress=progress)
