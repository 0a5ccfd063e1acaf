"""Checkpoints: weights as safetensors with the model's shape, and the state of a training run."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from model import Shape, VideoDiT
from safetensors import safe_open
from safetensors.torch import save_file


def save_weights(path: str | Path, model: VideoDiT, *, about: dict[str, str]) -> None:
    """Weights in BF16. `about` goes into the file's metadata: one entry, since the format's own
    order of several changes from run to run."""
    tensors = {name: x.detach().to(torch.bfloat16) for name, x in model.state_dict().items()}
    notes = json.dumps({"shape": model.shape.as_dict(), **about}, sort_keys=True)
    _whole(path, lambda to: save_file(tensors, to, metadata={"about": notes}))


def load_weights(path: str | Path) -> tuple[VideoDiT, dict[str, str]]:
    """The model in FP32, and what the file says about itself."""
    with safe_open(str(path), framework="pt") as file:
        notes = json.loads(file.metadata()["about"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    model = VideoDiT(Shape.from_dict(notes.pop("shape")))
    model.load_state_dict(tensors)
    return model.eval(), notes


def digest(path: str | Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_state(path: str | Path, state: dict) -> None:
    _whole(path, lambda to: torch.save(state, to))


def load_state(path: str | Path) -> dict:
    return torch.load(path, weights_only=True)


def _whole(path: str | Path, write) -> None:
    """Writes beside the path, then renames: a file is old or new, never half."""
    part = f"{path}.part"
    write(part)
    os.replace(part, path)
