"""The exceptions of karat. Each is also the built-in type one expects for its case."""

from typing import Any


class KaratError(Exception):
    """Anything karat refuses; the message is one line: subject, problem, what to do next."""


class UsageError(KaratError, ValueError):
    """A recipe, grid, shape or value that cannot be used."""


class ArrayError(KaratError, TypeError):
    """A tensor of the wrong kind: on a GPU, of a type karat does not take, no tensor at all."""


class FileError(KaratError, OSError):
    """The content of a file, or reading and writing it."""


class InternalError(KaratError, RuntimeError):
    """A defect of karat itself; please report it."""


class MissingPackage(KaratError, ImportError):
    """An optional package that this function needs."""


def require_torch(what: str) -> Any:
    """The module. Raises MissingPackage, saying what needs it."""
    try:
        import torch
    except ImportError:
        raise MissingPackage(f"torch: {what} needs PyTorch; pip install torch") from None
    return torch
