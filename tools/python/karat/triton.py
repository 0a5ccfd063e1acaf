"""A Triton driver that runs kernels here: ``kernel[grid](cpu_tensors)`` with no GPU and no ptxas
(docs/run.md).

    import karat.triton                       # from now on Triton compiles for sm_90 and runs here
    kernel[grid](q, k, v, out, BLOCK=128)     # PyTorch CPU tensors, written in place
    karat.triton.last_run().ground            # what the bits rest on

    with karat.triton.configured(hazards=True, schedule="late"):
        kernel[grid](q, k, v, out, BLOCK=128)
    karat.triton.last_run().hazards

Triton's NVIDIA backend compiles as far as PTX, karat.ptx runs that. ``@triton.autotune`` takes its
first configuration: nothing is timed here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import warnings
from typing import Any, Iterator

import numpy as np

from . import ptx as _ptx
from ._errors import MissingPackage, UsageError
from ._triton_launch import Arguments, parameters_of

try:
    import triton
    from triton.backends import Backend, backends
    from triton.backends.compiler import GPUTarget
    from triton.backends.driver import DriverBase
    from triton.backends.nvidia.compiler import CUDABackend
except ImportError as problem:
    raise MissingPackage(
        f"karat.triton: Triton with its NVIDIA backend is missing ({problem}); pip install triton"
    ) from None

__all__ = [
    "LastRun", "Settings", "activate", "configure", "configured", "deactivate", "last_run",
    "settings",
]  # fmt: skip

_OLDEST = (3, 4)
_TARGET = GPUTarget("cuda", 90, 32)
_DEVICE = -1  # no number of a GPU's: Triton keeps compiled kernels by device
_PTX_WITHOUT_ASSEMBLER = 86  # .version 8.6, known to the LLVM of all these versions


@dataclasses.dataclass(frozen=True)
class Settings:
    """How kernels run. All but ``fuse`` as in karat.ptx.run()."""

    hazards: bool = False
    schedule: str = "eager"
    seed: int = 0
    fuse: str = "auto"  # as Triton would tell ptxas: "ptxas" with enable_fp_fusion, else "none"
    threads: int = 0
    limit: int | None = None


@dataclasses.dataclass(frozen=True)
class LastRun:
    """The kernel that ran last."""

    kernel: str
    grid: tuple[int, int, int]
    settings: Settings
    ptx: str
    report: dict[str, Any]  # the fields of ``karat run --json``

    @property
    def hazards(self) -> list[str]:
        """One line each; empty without ``hazards=True``."""
        return self.report["hazards"]

    @property
    def not_looked_at(self) -> dict[str, Any] | None:
        """With ``hazards=True``, what the search left out of global memory, as karat.ptx.Run has
        it; None without."""
        return self.report.get("not_looked_at")

    @property
    def ground(self) -> str:
        """What the bits rest on: the weakest ground of all instructions that ran."""
        return self.report["ground"]


_settings = Settings()
_last_run: LastRun | None = None
_replaced: Backend | None = None
_told_of_autotune = False


def settings() -> Settings:
    return _settings


def configure(**changes: Any) -> Settings:
    """Changes fields of the settings from now on; returns what was in force before."""
    global _settings
    before = _settings
    _settings = dataclasses.replace(before, **changes)
    return before


@contextlib.contextmanager
def configured(**changes: Any) -> Iterator[Settings]:
    """The same for a ``with`` block."""
    global _settings
    before = configure(**changes)
    try:
        yield _settings
    finally:
        _settings = before


def last_run() -> LastRun:
    """The kernel that ran last, and its report."""
    if _last_run is None:
        raise UsageError("karat.triton.last_run: no kernel has run to its end yet")
    return _last_run


class _Backend(CUDABackend):
    """Triton's NVIDIA backend as far as PTX: its text stands where machine code would."""

    def __init__(self, target: GPUTarget) -> None:
        super().__init__(target)
        self.binary_ext = "karat"

    def _has_assembler(self) -> bool:
        try:
            super().hash()  # asks ptxas for its version, which PTX's version follows
        except Exception:
            return False
        return True

    def parse_options(self, opts: dict) -> Any:
        if opts.get("ptx_version") is None and not self._has_assembler():
            opts = {**opts, "ptx_version": _PTX_WITHOUT_ASSEMBLER}
        return super().parse_options(opts)

    def add_stages(self, stages: dict, options: Any, *language: Any) -> None:
        super().add_stages(stages, options, *language)
        stages.pop("cubin", None)
        stages["karat"] = lambda text, metadata: text.encode()

    def hash(self) -> str:
        assembler = super().hash() if self._has_assembler() else _PTX_WITHOUT_ASSEMBLER
        return f"karat-{assembler}-{self.target.arch}"


class _Utils:
    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        """Of an H100, as far as Triton asks: bytes of shared memory a CTA may have, SMs."""
        return {"max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32,
                "max_num_regs": 65536}  # fmt: skip

    @staticmethod
    def load_binary(name: str, binary: bytes, shared: int, device: int) -> tuple:
        """Module, function, registers, spills, threads a CTA may have."""
        return None, (name, binary.decode()), 0, 0, 1024

    @staticmethod
    def unload_module(module: Any) -> None:
        pass


class _Launcher:
    """Runs a compiled kernel, as Triton's launchers do: one a kernel, called for each grid."""

    def __init__(self, src: Any, metadata: Any) -> None:
        self._signature = dict(src.signature)
        self._metadata = metadata

    def __call__(
        self, x, y, z, stream, function, packed, launch_metadata, enter, leave, *arguments
    ) -> None:
        if enter is not None:
            enter(launch_metadata)
        if x * y * z > 0:
            self._run((int(x), int(y), int(z)), *function, arguments)
        if leave is not None:
            leave(launch_metadata)

    def _run(self, grid: tuple[int, int, int], name: str, text: str, arguments: tuple) -> None:
        global _last_run
        _last_run = None
        meta = self._metadata
        given = Arguments(self._signature, getattr(meta, "tensordesc_meta", None), arguments)
        ctas = int(getattr(meta, "num_ctas", 1) or 1)
        tensors = {memory.name: memory.bytes() for memory in given.memories}
        parameters = list(given.parameters)
        missing = parameters_of(text, name) - len(parameters)
        for kind in ("global", "profile")[: max(0, missing)]:
            size = int(getattr(meta, f"{kind}_scratch_size", 0) or 0)
            scratch = f"{kind} scratch" if size else ""
            if size:
                tensors[scratch] = np.zeros(grid[0] * grid[1] * grid[2] * ctas * size, np.uint8)
            parameters.append({"pointer": scratch})
        chosen = _settings
        fuse = chosen.fuse
        if fuse == "auto":
            fuse = "ptxas" if getattr(meta, "enable_fp_fusion", True) else "none"
        try:
            done = _ptx.run(
                text, kernel=name, grid=(grid[0] * ctas, *grid[1:]),
                block=(32 * _warps(text, name, meta),), cluster=(ctas,), dynamic_shared=meta.shared,
                tensors=tensors, outputs=[memory.name for memory in given.memories],
                parameters=parameters, fuse=fuse, hazards=chosen.hazards, schedule=chosen.schedule,
                seed=chosen.seed, limit=chosen.limit, threads=chosen.threads,
            )  # fmt: skip
        except _ptx.KernelFault as fault:
            raise _ptx.KernelFault(f"{name}: {fault}") from None
        for memory in given.memories:
            there, written = memory.bytes(), done.outputs[memory.name]
            if not np.array_equal(there, written):  # memory that is only read may be read-only
                np.copyto(there, written)
        _last_run = LastRun(name, grid, chosen, text, done.report)
        if done.hazards:
            warnings.warn(
                f"{name}: {len(done.hazards)} hazards, the first: {done.hazards[0]}", stacklevel=4
            )


def _warps(text: str, name: str, meta: Any) -> int:
    """Warps of a CTA: those of warp-specialised kernels, more than num_warps, stand in the PTX."""
    required = re.search(
        r"\.entry\s+" + re.escape(name) + r"\b[^{]*?\.reqntid\s+(\d+)", text, re.DOTALL
    )
    return int(required.group(1)) // 32 if required else int(meta.num_warps)


_NO_CLOCK = (
    "karat.triton: kernels run on the CPU here, their time says nothing of a GPU; karat cost "
    "estimates that"
)


class _Interface:
    """What stands in for torch.cuda: everything is done when it returns, and nothing is timed."""

    @staticmethod
    def synchronize(*_: Any) -> None:
        pass

    @staticmethod
    def current_device() -> int:
        return _DEVICE

    @staticmethod
    def Event(*_: Any, **__: Any) -> Any:
        raise UsageError(_NO_CLOCK)


def _first_configuration(kernel_call: Any, quantiles: Any = None, **_: Any) -> Any:
    """What @triton.autotune asks for times: all alike, so that the first one wins. Runs nothing."""
    global _told_of_autotune
    if not _told_of_autotune:
        _told_of_autotune = True
        warnings.warn(
            "karat.triton: @triton.autotune takes its first configuration, nothing is timed",
            stacklevel=2,
        )
    return [0.0] * len(quantiles) if quantiles else 0.0


class _Driver(DriverBase):
    def __init__(self) -> None:
        self.utils = _Utils()
        self.launcher_cls = _Launcher

    @classmethod
    def is_active(cls) -> bool:
        return True

    def get_current_target(self) -> GPUTarget:
        return _TARGET

    def get_current_device(self) -> int:
        return _DEVICE

    def set_current_device(self, device: int) -> None:
        pass

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_device_capability(self, device: int = _DEVICE) -> tuple[int, int]:
        return divmod(_TARGET.arch, 10)

    def get_active_torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def get_device_interface(self) -> Any:
        return _Interface

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def assemble_tensormap_to_arg(self, tensormaps_info: Any, args: Any) -> Any:
        return args

    def get_benchmarker(self) -> Any:
        return _first_configuration

    def get_empty_cache_for_benchmark(self) -> Any:
        raise UsageError(_NO_CLOCK)

    def clear_cache(self, cache: Any) -> None:
        raise UsageError(_NO_CLOCK)


def _version() -> tuple[int, int]:
    major, minor = triton.__version__.split(".")[:2]
    return int(major), int(minor)


def activate() -> None:
    """Makes this Triton's driver; importing the module has done it."""
    global _replaced
    if _version() < _OLDEST:
        raise UsageError(
            f"karat.triton: Triton {triton.__version__} is too old; 3.4 to 3.9 have been tried"
        )
    if os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "on", "true", "yes", "y"):
        raise UsageError(
            "karat.triton: TRITON_INTERPRET is set, and interpreted kernels have no PTX; unset it"
        )
    if _replaced is None:
        _replaced = backends["nvidia"]
        backends["nvidia"] = Backend(compiler=_Backend, driver=_Driver)
    triton.runtime.driver.set_active(_Driver())


def deactivate() -> None:
    """Gives Triton back its own driver, found anew at the next launch."""
    global _replaced
    if _replaced is not None:
        backends["nvidia"], _replaced = _replaced, None
    triton.runtime.driver._active = None


activate()
