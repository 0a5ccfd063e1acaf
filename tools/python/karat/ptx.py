"""A kernel's own PTX, run on the CPU (docs/run.md).

    result = karat.ptx.run(
        open("kernel.ptx").read(), grid=(8,), block=(256,),
        tensors={"q": q, "out": np.zeros((1024, 128), np.float32)}, outputs=["out"],
        parameters=[{"pointer": "q"}, {"pointer": "out"}, {"i32": 1024}])
    karat.check("case.h5", {"o": result.outputs["out"]})
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from . import _core
from ._arrays import named_views, typed_dict
from ._errors import KaratError

__all__ = ["KernelFault", "Run", "run"]


class KernelFault(KaratError):
    """The kernel did something wrong: a wild address, a deadlock, an endless loop."""


@dataclass(frozen=True)
class Run:
    """What a launch gave."""

    outputs: dict[str, Any]  # NumPy arrays
    report: dict[str, Any]  # the fields of ``karat run --json``

    @property
    def hazards(self) -> list[str]:
        """One line each; empty without ``hazards=True``."""
        return self.report["hazards"]

    @property
    def not_looked_at(self) -> dict | None:
        """With ``hazards=True``, what the search left out of global memory (docs/run.md); where its
        counts are not 0, an empty ``hazards`` says less."""
        return self.report.get("not_looked_at")

    @property
    def ground(self) -> str:
        """What the bits rest on: the weakest ground of all instructions that ran."""
        return self.report["ground"]


def run(
    ptx: str,
    *,
    grid: Sequence[int] = (1,),
    block: Sequence[int] = (1,),
    cluster: Sequence[int] = (1,),
    kernel: str | None = None,
    dynamic_shared: int = 0,
    tensors: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    parameters: Sequence[Mapping[str, Any]] = (),
    fuse: str = "none",
    hazards: bool = False,
    schedule: str = "eager",
    seed: int = 0,
    limit: int | None = None,
    threads: int = 0,
) -> Run:
    """Runs one launch of a kernel. The given tensors stay as they are; outputs are new arrays.

    parameters: one a parameter of the kernel, as in a launch file: ``{"pointer": "q"}``,
        ``{"i32": 5}``, ``{"f32": 0.5}``, ``{"tensor_map": {...}}``, ``{"bytes": "00ff"}``.
    fuse: "none" or "ptxas"; schedule: "eager", "late" or "random".

    Raises KernelFault for what the kernel does wrong, FileError for PTX that cannot be read or is
    not supported, UsageError for a launch the kernel cannot take.
    """
    launch = {
        "grid": list(grid), "block": list(block), "cluster": list(cluster), "kernel": kernel,
        "dynamic_shared": dynamic_shared, "parameters": list(parameters),
        "outputs": list(outputs), "fuse": fuse, "hazards": hazards, "schedule": schedule,
        "seed": seed, "limit": limit, "threads": threads,
    }  # fmt: skip
    given = {name: value for name, value in launch.items() if value is not None}
    handed_over, text = _core.run_ptx(ptx, json.dumps(given), named_views(dict(tensors or {})))
    report = json.loads(text)
    if report["fault"] is not None:
        raise KernelFault(report["fault"])
    return Run(typed_dict(handed_over), report)
