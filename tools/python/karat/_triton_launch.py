"""A launch of a kernel that Triton compiled, as karat.ptx.run takes it.

Triton hands a launcher the bound arguments in the order of the kernel's signature. Here each tensor
becomes the memory it lies in, whole, so that strides, offsets and tensors that share memory stay as
they are.
"""

from __future__ import annotations

import ctypes
import math
import re
from typing import Any, Mapping, NamedTuple, Sequence

import numpy as np

from ._errors import ArrayError, KaratError, UsageError

# Triton's name of an argument's type -> a launch file's.
_SCALARS = {
    "i1": "u8", "u1": "u8", "i8": "i8", "u8": "u8", "i16": "i16", "u16": "u16", "i32": "i32",
    "u32": "u32", "i64": "i64", "u64": "u64", "fp32": "f32", "f32": "f32", "fp64": "f64",
}  # fmt: skip
# Element types in the order of tensormap.replace's numbers (PTX ISA), by a launch file's names.
_ELEMENTS = (
    "u8", "u16", "u32", "i32", "u64", "i64", "f16", "f32", "f32_ftz", "f64", "bf16", "tf32",
)  # fmt: skip
_SWIZZLES = ("none", "32B", "64B", "128B")


class Memory(NamedTuple):
    """Bytes that tensors of a launch lie in."""

    begin: int
    end: int
    name: str

    def bytes(self) -> np.ndarray:
        size = self.end - self.begin
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.begin))


class Arguments:
    """The parameters of one launch and the memory behind them."""

    def __init__(
        self, signature: Mapping[str, Any], tensor_maps: Sequence[dict], arguments: Sequence
    ):
        self._maps = iter(tensor_maps or ())
        self._decomposed = not tensor_maps
        self._pending: list[tuple[str, Any]] = []
        self._extents: list[tuple[int, int, str]] = []
        for (self._name, type), value in zip(signature.items(), arguments):
            try:
                self._add(type, value)
            except KaratError as problem:
                raise problem.__class__(f"{self._name}: {problem}") from None
        self.memories = _merged(self._extents)
        self.parameters = [self._placed(kind, value) for kind, value in self._pending]

    def _add(self, type: Any, value: Any) -> None:
        if type == "constexpr":
            return
        if isinstance(type, (tuple, list)):
            for inner, element in zip(type, value):
                self._add(inner, element)
        elif type.startswith("tensordesc"):
            self._add_descriptor(value)
        elif type.startswith("*"):
            self._add_pointer(value)
        else:
            self._pending.append(("scalar", _scalar(type, value)))

    def _add_pointer(self, value: Any) -> None:
        if hasattr(value, "data_ptr"):
            self._reach(value)
            self._pending.append(("pointer", value.data_ptr()))
        elif value is None or value == 0:
            self._pending.append(("scalar", {"pointer": ""}))
        else:
            raise ArrayError(
                f"a pointer is given as {value!r}; pass the tensor, karat cannot see whose memory "
                "an address is"
            )

    def _add_descriptor(self, value: Any) -> None:
        shape, strides = [int(n) for n in value.shape], [int(n) for n in value.strides]
        nan = getattr(value, "padding", "zero") == "nan"
        tf32 = bool(getattr(value, "round_f32_to_tf32", False))
        self._reach(value.base)
        if self._decomposed:  # base, shape, strides, how to fill and to round
            self._pending.append(("pointer", value.base.data_ptr()))
            self._pending += [("scalar", {"i64": n}) for n in shape + strides]
            self._pending += [("scalar", {"u8": int(flag)}) for flag in (nan, tf32)]
        else:
            meta = next(self._maps)
            if meta.get("is_im2col") or meta.get("fp4_padded"):
                raise UsageError("im2col and padded FP4 tensor descriptors are not supported")
            size = meta["elem_size"]
            element = "tf32" if tf32 else _ELEMENTS[meta["elem_type"]]
            described = {
                "element": element, "shape": shape, "strides": [n * size for n in strides[:-1]],
                "box": list(meta["block_size"]), "swizzle": _SWIZZLES[meta["swizzle"]],
                "fill": "nan" if nan else "zero",
            }  # fmt: skip
            self._pending.append(("tensor_map", (value.base.data_ptr(), described)))
        self._pending += [("scalar", {"i32": n}) for n in shape]
        self._pending += [("scalar", {"i64": n}) for n in strides]

    def _reach(self, tensor: Any) -> None:
        while not hasattr(tensor, "untyped_storage") and hasattr(tensor, "base"):
            tensor = tensor.base  # triton.reinterpret()
        if not hasattr(tensor, "untyped_storage"):
            raise ArrayError(f"{type(tensor).__name__} is no PyTorch tensor; karat runs on those")
        if tensor.device.type != "cpu":
            raise ArrayError(
                f"a tensor lies on {tensor.device}; karat runs on the CPU, pass .cpu()"
            )
        storage = tensor.untyped_storage()
        if storage.nbytes() > 0:
            begin = storage.data_ptr()
            self._extents.append((begin, begin + storage.nbytes(), str(self._name)))

    def _placed(self, kind: str, value: Any) -> dict[str, Any]:
        if kind == "scalar":
            return value
        address, described = (value, None) if kind == "pointer" else value
        for memory in self.memories:
            if memory.begin <= address < memory.end:
                offset = address - memory.begin
                if described is None:
                    return {"pointer": memory.name, "offset": offset}
                return {"tensor_map": {"tensor": memory.name, "offset": offset, **described}}
        return {"pointer": ""}  # of an empty tensor


def _merged(extents: list[tuple[int, int, str]]) -> list[Memory]:
    """Ranges of addresses that overlap become one, called after its first argument."""
    joined: list[Memory] = []
    for begin, end, name in sorted(extents, key=lambda each: each[0]):
        if joined and begin < joined[-1].end:
            joined[-1] = joined[-1]._replace(end=max(joined[-1].end, end))
        else:
            joined.append(Memory(begin, end, name))
    return joined


def _scalar(type: str, value: Any) -> dict[str, Any]:
    if type in ("fp16", "bf16"):
        import torch

        half = torch.tensor(float(value), dtype=torch.float16 if type == "fp16" else torch.bfloat16)
        return {"u16": int(half.view(torch.int16)) & 0xFFFF}
    if type not in _SCALARS:
        raise UsageError(f"an argument of type {type} is not supported")
    known = _SCALARS[type]
    if known[0] == "f":
        x = float(value)
        return {known: x if math.isfinite(x) else str(x)}
    bits = int(known[1:])
    whole = int(value) & ((1 << bits) - 1)
    if known[0] == "i" and whole >> (bits - 1):
        whole -= 1 << bits
    return {known: whole}


def parameters_of(ptx: str, kernel: str) -> int:
    """How many parameters the kernel's entry takes."""
    head = re.search(r"\.entry\s+" + re.escape(kernel) + r"\s*\((.*?)\)\s*[.{]", ptx, re.DOTALL)
    return len(re.findall(r"\.param\b", head.group(1))) if head else 0
