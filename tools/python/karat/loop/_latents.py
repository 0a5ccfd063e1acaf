"""What a sampler has after every step."""

from __future__ import annotations

import os
from typing import Any

from .._errors import UsageError
from .._golden import read_tensors, write_tensors
from .._hooks import require_torch


class Latents:
    """Latents after each step of a run, [B, ...] on the CPU, as the sampler has them."""

    def __init__(self, steps: list[Any] | None = None):
        self.steps: list[Any] = list(steps or [])

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, x: Any) -> None:
        self.steps.append(x.detach().cpu().clone())

    def save(self, path: str | os.PathLike[str]) -> None:
        """As float32 safetensors, step.0 and on."""
        tensors = {f"step.{n}": x.float().contiguous() for n, x in enumerate(self.steps)}
        write_tensors(path, tensors)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Latents:
        """Raises FileError, UsageError for a file that is no save()."""
        torch = require_torch("karat.loop")
        read = read_tensors(path)
        names = [f"step.{n}" for n in range(len(read))]
        if not read or set(names) != set(read):
            raise UsageError(f"{os.fspath(path)}: holds no latents of a run; save() writes them")
        return Latents([torch.from_numpy(read[name].copy()) for name in names])

    def drift(self, step: int, x: Any) -> list[float]:
        """|x - ours| / |ours| of every batch entry, Frobenius norms in float64.

        Raises UsageError for a step that is not there, another shape, and latents of norm 0.
        """
        if step >= len(self.steps):
            raise UsageError(
                f"reference: has {len(self.steps)} steps, step {step} came; give an unmodified run "
                "of as many steps"
            )
        ours = self.steps[step]
        if tuple(ours.shape) != tuple(x.shape):
            raise UsageError(
                f"reference: latents of {tuple(ours.shape)} where the run has {tuple(x.shape)}; "
                "give an unmodified run of this shape"
            )
        exact = ours.double().flatten(1)
        norm = exact.norm(dim=1)
        if not bool((norm > 0).all()):
            raise UsageError(f"reference: latents of step {step} are 0; give another run")
        away = x.detach().cpu().double().flatten(1) - exact
        return [float(n) for n in away.norm(dim=1) / norm]


def as_latents(reference: Any) -> Latents | None:
    """None, Latents, or the path of saved ones."""
    if reference is None or isinstance(reference, Latents):
        return reference
    if isinstance(reference, (str, os.PathLike)):
        return Latents.load(reference)
    raise UsageError(
        f"reference: {type(reference).__name__} is no run; give the .reference of an unmodified "
        "one, or the file it was saved to"
    )
