"""Which step and branch of the sampler a forward of the model is.

How diffusers' pipelines guide: Wan's calls the model twice a step, with the prompt, then without
("calls"); CogVideoX's once, the batch without before the one with ("batch"); HunyuanVideo's once,
the guidance being an input ("none"). An unguided run of any model is "none".
"""

from __future__ import annotations

from typing import Any

from ._errors import UsageError

CALLS = {"calls": 2, "batch": 1, "none": 1}  # forwards a step


class Forwards:
    """Counts the forwards of a run.

    guidance: one of CALLS. steps: of the sampler. What a plan wants of them says nothing about how
    often the model is called.
    """

    def __init__(self, guidance: str, steps: int):
        if guidance not in CALLS:
            raise UsageError(f"guidance: {guidance!r} is not known; give {', '.join(CALLS)}")
        self.guidance = guidance
        self._steps = steps
        self._count = 0
        self._timestep: float | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """Those a run has."""
        return ("cond",) if self.guidance == "none" else ("cond", "uncond")

    @property
    def step(self) -> int:
        """Of the forward at work, from 0."""
        return (self._count - 1) // CALLS[self.guidance]

    def begin(self, timestep: float | None = None) -> None:
        """A forward begins, at the sampler's timestep where the model is told one.

        Raises UsageError for a step's second call at another timestep.
        """
        before, self._timestep = self._timestep, timestep
        self._count += 1
        if self.guidance == "calls" and self._count % 2 == 0 and before != timestep:
            raise UsageError(
                f'run: guidance "calls" means two forwards a step, but forwards {self._count - 1} '
                f"and {self._count} are at timesteps {before:g} and {timestep:g}; pass "
                'guidance="none" where the model is called once a step'
            )

    def parts(self, batch: int) -> list[tuple[int, int, str]]:
        """(first batch entry, entries, branch) of the forward at work."""
        if self.guidance == "calls":
            return [(0, batch, "uncond" if self._count % 2 == 0 else "cond")]
        if self.guidance == "none":
            return [(0, batch, "cond")]
        if batch % 2:
            raise UsageError(
                f'run: guidance "batch" means as many entries without the prompt as with it, but '
                f'the batch is of {batch}; pass guidance="none" where nothing is guided'
            )
        return [(batch // 2, batch // 2, "cond"), (0, batch // 2, "uncond")]

    def end(self) -> None:
        """The run is over. Raises UsageError where it had more forwards than steps have."""
        most = self._steps * CALLS[self.guidance]
        if self._count > most:
            raise UsageError(
                f"run: {self._count} forwards, where {self._steps} steps with "
                f'guidance "{self.guidance}" have {most}; say how the model is called (guidance=), or '
                "the number of steps"
            )


def timestep_of(arguments: dict[str, Any]) -> float | None:
    """The sampler's timestep among a forward's named arguments; a tensor's largest element."""
    timestep = arguments.get("timestep")
    if timestep is None:
        return None
    return float(timestep.max()) if hasattr(timestep, "max") else float(timestep)
