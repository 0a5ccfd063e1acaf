"""Tensors as karat's extension reads them: where they lie, by pointer; views with gaps or another
order of dimensions are copied.

NumPy arrays, PyTorch CPU tensors and everything else that speaks DLPack from the CPU. Numbers NumPy
cannot name come as ml_dtypes types (bfloat16, float8_e4m3fn, ...), as PyTorch's own, or as unsigned
integers beside a name: ``karat.view_as(codes, "e4m3")``.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Sequence

import ml_dtypes
import numpy as np

from ._errors import ArrayError, UsageError, require_torch

# karat's name -> (the type karat._core sees, the type users see)
_TYPES: dict[str, tuple[np.dtype, np.dtype]] = {
    "f32": (np.dtype(np.float32), np.dtype(np.float32)),
    "f64": (np.dtype(np.float64), np.dtype(np.float64)),
    "f16": (np.dtype(np.uint16), np.dtype(np.float16)),
    "bf16": (np.dtype(np.uint16), np.dtype(ml_dtypes.bfloat16)),
    "e4m3": (np.dtype(np.uint8), np.dtype(ml_dtypes.float8_e4m3fn)),
    "e5m2": (np.dtype(np.uint8), np.dtype(ml_dtypes.float8_e5m2)),
    "i8": (np.dtype(np.int8), np.dtype(np.int8)),
    "u8": (np.dtype(np.uint8), np.dtype(np.uint8)),
    "i16": (np.dtype(np.int16), np.dtype(np.int16)),
    "u16": (np.dtype(np.uint16), np.dtype(np.uint16)),
    "i32": (np.dtype(np.int32), np.dtype(np.int32)),
    "u32": (np.dtype(np.uint32), np.dtype(np.uint32)),
    "i64": (np.dtype(np.int64), np.dtype(np.int64)),
    "u64": (np.dtype(np.uint64), np.dtype(np.uint64)),
    "bool": (np.dtype(np.bool_), np.dtype(np.bool_)),
}
if hasattr(ml_dtypes, "float8_e8m0fnu"):
    _TYPES["e8m0"] = (np.dtype(np.uint8), np.dtype(ml_dtypes.float8_e8m0fnu))
else:
    _TYPES["e8m0"] = (np.dtype(np.uint8), np.dtype(np.uint8))
_NAME_OF = {seen: name for name, (_, seen) in _TYPES.items()}
_NAME_OF[np.dtype(np.uint8)] = "u8"

# PyTorch's name -> karat's. Types NumPy cannot name are viewed as integers of the same width first.
_TORCH = {
    "float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16",
    "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2", "float8_e8m0fnu": "e8m0",
    "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32",
    "uint32": "u32", "int64": "i64", "uint64": "u64", "bool": "bool",
}  # fmt: skip


class View(NamedTuple):
    """A tensor's memory as the extension reads it."""

    array: np.ndarray  # of the first type of _TYPES
    type: str  # karat's name
    torch: bool  # came from PyTorch


class Coded(NamedTuple):
    """Unsigned integers that are codes of a format; made by view_as()."""

    codes: np.ndarray
    type: str


def view_as(codes: Any, type: str) -> Coded:
    """Says what format raw codes are in, without touching them.

    ``karat.view_as(x.view(np.uint16), "bf16")``. ``codes``: uint8 (e4m3, e5m2, e8m0) or uint16
    (bf16, f16), NumPy or PyTorch, any shape. Raises ArrayError when the width does not fit.
    """
    if type not in ("e4m3", "e5m2", "e8m0", "f16", "bf16"):
        raise UsageError(f"view_as: {type!r} has no codes; give e4m3, e5m2, e8m0, f16 or bf16")
    seen = view(codes, "codes")
    if seen.array.dtype.kind != "u" or seen.array.dtype != _TYPES[type][0]:
        raise ArrayError(
            f"view_as: codes are {seen.array.dtype}; give {_TYPES[type][0]} for {type}"
        )
    return Coded(seen.array, type)


def is_torch(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def view(x: Any, name: str) -> View:
    """The memory of a tensor whose gradient nobody waits for. Raises ArrayError or UsageError saying
    what to do."""
    torch = sys.modules.get("torch")
    if getattr(x, "requires_grad", False) and (torch is None or torch.is_grad_enabled()):
        raise UsageError(
            f"{name}: requires a gradient, and this has no backward; call it under "
            f"torch.no_grad(), or pass {name}.detach(), or train through karat.attention"
        )
    return values(x, name)


def values(x: Any, name: str) -> View:
    """The memory of a tensor that is recorded or judged: whether it requires a gradient or not."""
    if isinstance(x, np.ndarray):
        return _numpy_view(x, name)
    if is_torch(x):
        return _torch_view(x, name)
    if isinstance(x, Coded):
        return View(_contiguous(x.codes), x.type, False)
    if hasattr(x, "__dlpack_device__"):
        kind = int(x.__dlpack_device__()[0])
        if kind != 1:
            raise ArrayError(
                f"{name}: lies on another device (DLPack kind {kind}), karat computes on the CPU; "
                "copy it to the host first"
            )
        try:
            return _numpy_view(np.from_dlpack(x), name)
        except (BufferError, RuntimeError, TypeError) as problem:
            raise ArrayError(
                f"{name}: DLPack cannot hand it to NumPy ({problem}); give a NumPy array"
            ) from None
    raise ArrayError(
        f"{name}: {type(x).__name__} is no tensor; give a NumPy array or a PyTorch CPU tensor"
    )


def _contiguous(x: np.ndarray) -> np.ndarray:
    """Itself, or a copy of a view with gaps or another order of dimensions."""
    return x if x.flags.c_contiguous else x.copy(order="C")


def _numpy_view(x: np.ndarray, name: str) -> View:
    if isinstance(x, np.ma.MaskedArray):
        raise ArrayError(f"{name}: a masked array; fill it first, as by {name}.filled(0)")
    known = _NAME_OF.get(x.dtype)
    if known is None:
        raise ArrayError(
            f"{name}: dtype {x.dtype} is not taken; convert it, as by {name}.astype(np.float32)"
        )
    x = _contiguous(x)
    raw = _TYPES[known][0]
    return View(x if x.dtype == raw else x.view(raw), known, False)


def _torch_view(x: Any, name: str) -> View:
    import torch

    if x.device.type != "cpu":
        raise ArrayError(
            f"{name}: lies on {x.device}, karat computes on the CPU; pass {name}.cpu()"
        )
    known = _TORCH.get(str(x.dtype).removeprefix("torch."))
    if known is None or x.layout is not torch.strided:
        raise ArrayError(
            f"{name}: {x.dtype} ({x.layout}) is not taken; convert it, for example {name}.float()"
        )
    raw = _TYPES[known][0]
    x = x.detach().resolve_neg().contiguous()
    if known in ("bf16", "f16"):
        return View(x.view(torch.int16).numpy().view(raw), known, True)
    if known in ("e4m3", "e5m2", "e8m0"):
        return View(x.view(torch.uint8).numpy(), known, True)
    return View(x.numpy(), known, True)


def typed(array: np.ndarray, type: str) -> np.ndarray:
    """An array of the extension as users see it: codes under their ml_dtypes type."""
    seen = _TYPES[type][1]
    return array if array.dtype == seen else array.view(seen)


def empty(shape: tuple[int, ...], type: str) -> np.ndarray:
    """Room for a result, as the extension writes it."""
    return np.empty(shape, _TYPES[type][0])


def like(array: np.ndarray, type: str, torch_wanted: bool) -> Any:
    """A result in the user's own kind of tensor; memory is shared, not copied."""
    if not torch_wanted:
        return typed(array, type)
    torch = require_torch("a result in torch tensors")
    if type in ("bf16", "f16"):
        return torch.from_numpy(array.view(np.int16)).view(torch_type(type))
    if type in ("e4m3", "e5m2", "e8m0"):
        return torch.from_numpy(array).view(torch_type(type))
    return torch.from_numpy(array)


def torch_type(type: str) -> Any:
    """PyTorch's dtype by karat's name; codes it has no name for are uint8."""
    import torch

    name = next(name for name, known in _TORCH.items() if known == type)
    return getattr(torch, name, torch.uint8)


def blocks(taps: str | Sequence[int] | None) -> str | None:
    """Tapped blocks as the extension reads them: a word as it is, else their numbers."""
    if taps is None or isinstance(taps, str):
        return taps
    return ",".join(str(int(block)) for block in taps) or "none"


def named_views(tensors: dict[str, Any]) -> list[tuple[str, str, np.ndarray]]:
    """Tensors by name as the extension takes them, to be recorded or judged."""
    named = []
    for name, x in tensors.items():
        seen = values(x, name)
        named.append((name, seen.type, seen.array))
    return named


def typed_dict(
    handed_over: tuple[list[tuple[str, str, np.ndarray]], str], torch: bool = False
) -> dict[str, Any]:
    return {name: like(array, type, torch) for name, type, array in handed_over[0]}
