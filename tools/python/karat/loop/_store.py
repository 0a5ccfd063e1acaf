"""Outputs of a run's forwards: in memory for runs that begin alike, in a folder to resume one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple

import numpy as np

from .. import _core
from .._arrays import like
from .._errors import FileError, UsageError
from .._golden import write_tensors
from .._hooks import require_torch

Row = list[Any]  # of the study's local table


class Kept(NamedTuple):
    """One forward: what went in, what came out, what was measured."""

    inputs: str  # a hash
    output: Any
    rows: list[Row]


def _parts(x: Any, place: str) -> Iterator[bytes | np.ndarray]:
    torch = require_torch("karat.loop")
    if isinstance(x, torch.Tensor):
        if x.is_meta:
            raise UsageError(f"{place}: has no values here (device meta); load the model whole")
        yield f"{x.dtype} {tuple(x.shape)}".encode()
        flat = torch.empty(x.numel(), dtype=x.dtype)  # its own strides: x may repeat an element
        yield flat.copy_(x.detach().reshape(-1)).view(torch.uint8).numpy()
    elif isinstance(x, np.ndarray) and x.dtype != object:
        yield f"numpy {x.dtype} {x.shape}".encode()
        yield x.tobytes()
    elif isinstance(x, Mapping):
        yield f"{len(x)} by name".encode()
        for name in sorted(x):
            yield str(name).encode()
            yield from _parts(x[name], f"{place}.{name}")
    elif isinstance(x, (list, tuple)):
        yield f"{len(x)} in order".encode()
        for number, one in enumerate(x):
            yield from _parts(one, f"{place}[{number}]")
    elif x is None or isinstance(x, (bool, int, float, str, torch.dtype, torch.device)):
        yield repr(x).encode()
    else:
        raise UsageError(
            f"{place}: a change of {type(x).__name__} cannot be noticed where outputs are given "
            "again; pass tensors, arrays, numbers and words"
        )


def hash_of(values: Any, subject: str) -> str:
    """Of tensors, arrays, numbers and words, in lists or by name.

    Raises UsageError naming the subject for anything else: what is not hashed could change unseen.
    """
    digest = hashlib.sha256()
    for part in _parts(values, subject):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def weights_of(model: Any) -> str:
    """A hash of the model's parameters and buffers, those that no state_dict() holds too.

    Raises UsageError for a model that does not tell them.
    """
    if not hasattr(model, "named_parameters") or not hasattr(model, "named_buffers"):
        raise UsageError(
            f"state: the weights of {type(model).__name__} cannot be told from others; give a "
            "torch.nn.Module, or leave state= out"
        )
    return hash_of(dict(model.named_parameters()) | dict(model.named_buffers()), "weights")


def cloned(output: Any) -> Any:
    """A tensor, or tuple of tensors, that nobody else holds.

    Raises UsageError for what else a forward returns.
    """
    torch = require_torch("karat.loop")
    if isinstance(output, torch.Tensor):
        return output.detach().clone()
    if type(output) is tuple:
        return tuple(cloned(x) for x in output)
    if type(output).__name__ == "Transformer2DModelOutput":
        return type(output)(sample=cloned(output.sample))
    raise UsageError(
        f"model: a forward returns {type(output).__name__}, which cannot be given again; return a "
        "tensor or a tuple of tensors, or leave state= out"
    )


def _flat(output: Any) -> tuple[str, list[Any]]:
    if type(output) is tuple:
        if not all(hasattr(x, "detach") for x in output):
            raise UsageError("model: a forward returns tuples of tuples; return tensors")
        return "tuple", list(output)
    if hasattr(output, "detach"):
        return "tensor", [output]
    return "sample", [output.sample]


def _unflat(form: str, tensors: list[Any]) -> Any:
    if form == "tuple":
        return tuple(tensors)
    if form == "tensor":
        return tensors[0]
    from diffusers.models.modeling_outputs import Transformer2DModelOutput

    return Transformer2DModelOutput(sample=tensors[0])


class Memory:
    """Forwards of a run, kept while the process lives."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: int) -> Kept:
        return self._kept[number]

    def put(self, number: int, kept: Kept) -> None:
        assert number == len(self._kept)
        self._kept.append(kept)


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise FileError(f"{path}: cannot be read as JSON ({problem})") from None


def claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """The folder is of a run with this identity from now on.

    Raises UsageError where another run's state lies there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if not path.exists():
        write_atomically(path, json.dumps(wanted, indent=1, sort_keys=True) + "\n")
        return
    found = read_json(path)
    if found != wanted:
        known = found if isinstance(found, dict) else {}
        differ = [name for name in wanted if known.get(name) != wanted[name]]
        raise UsageError(
            f"state: {folder} holds another run ({', '.join(differ) or 'more'} differs); give a "
            "folder of its own, or delete it"
        )


class Folder:
    """Forwards of a run, one file each, whole or not there."""

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, Any]):
        self._folder = Path(folder)
        claim(self._folder, identity)
        self._count = 0
        while self._path(self._count).exists():
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def _path(self, number: int) -> Path:
        return self._folder / f"forward-{number:05d}.safetensors"

    def put(self, number: int, kept: Kept) -> None:
        form, tensors = _flat(kept.output)
        facts = {"inputs": kept.inputs, "form": form, "rows": json.dumps(kept.rows)}
        write_tensors(
            self._path(number),
            {f"output.{n}": x.detach().cpu().contiguous() for n, x in enumerate(tensors)},
            facts,
        )
        self._count = number + 1

    def get(self, number: int) -> Kept:
        path = self._path(number)
        arrays, metadata = _core.load(os.fspath(path), None)
        try:
            facts = json.loads(metadata)
            order = sorted(arrays, key=lambda named: int(named[0].split(".")[1]))
            tensors = [like(array, type, True).clone() for _, type, array in order]
            return Kept(facts["inputs"], _unflat(facts["form"], tensors), json.loads(facts["rows"]))
        except (KeyError, ValueError, IndexError, TypeError) as problem:
            raise FileError(f"{path}: is no state of a run ({problem}); delete it") from None
