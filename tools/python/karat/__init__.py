"""karat: reference simulator and numerics of FP8 block-sparse video attention.

    o = karat.attend(q, k, v, recipe="fpsattention", grid=(6, 16, 16))
    golden = karat.save("case.h5", q, k, v, recipe="fpsattention", grid=(6, 16, 16))
    print(karat.check(golden, my_kernel(q, k, v)))

NumPy arrays and PyTorch CPU tensors, read where they lie. Bits do not depend on threads.
"""

from . import capture, flashinfer, loop, ptx, testing
from ._arrays import Coded, view_as
from ._attention import attend, scaled_dot_product_attention, stages, truth
from ._backward import Gradients, attention, backward, backward_stages
from ._core import version as _version
from ._cost import cost, cost_picture
from ._errors import (
    ArrayError,
    FileError,
    InternalError,
    KaratError,
    MissingPackage,
    UsageError,
)
from ._golden import Golden, check, diagnose, load, read_tensors, save, write_tensors
from ._masks import BlockMask, BlockMatrix, block_mask, mask_picture
from ._numerics import decode, encode, generate, quantize, scaled_mm
from ._paths import get_include, get_library
from ._recipe import Recipe, names, schedule
from ._report import CheckReport, Diagnosis

__version__ = _version()


def __getattr__(name: str) -> object:
    """karat.torch, which imports PyTorch, when it is asked for."""
    if name == "torch":
        import importlib

        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module 'karat' has no attribute {name!r}")


__all__ = [
    "ArrayError", "BlockMask", "BlockMatrix", "CheckReport", "Coded", "Diagnosis", "FileError",
    "Golden", "Gradients", "InternalError", "KaratError", "MissingPackage", "Recipe", "UsageError",
    "attend", "attention", "backward", "backward_stages", "block_mask", "capture", "check", "cost", "cost_picture", "decode", "diagnose", "encode",
    "flashinfer", "generate", "get_include", "get_library", "load", "loop", "mask_picture", "names", "ptx", "quantize", "read_tensors", "save",
    "scaled_dot_product_attention", "scaled_mm", "schedule", "stages", "testing", "truth", "view_as",
    "write_tensors",
]  # fmt: skip
