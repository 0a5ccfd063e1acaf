"""A case as a flashinfer-bench trace set, with karat as its reference and its judge.

    karat.flashinfer.export(golden, "dataset")            # definition, workload, tensors
    karat.flashinfer.judge(golden, "dataset", o, solution="mine", latency_ms=3.1)

Layout and field names are flashinfer-bench 0.1's: definitions/, workloads/, traces/,
blob/workloads/. The definition's reference runs karat, so that `flashinfer-bench run` compares
solutions with the kernel's own bits instead of an FP32 formula; judge() records the verdict of
karat.check, within derived bounds.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import typed
from ._errors import UsageError
from ._golden import Golden, candidate_arguments, check, write_tensors

_TYPES = {
    "bf16": "bfloat16", "f16": "float16", "f32": "float32", "e4m3": "float8_e4m3fn",
    "bfloat16": "bfloat16", "float16": "float16", "float32": "float32",
}  # fmt: skip
_OP_TYPE = "sparse_attention"

_REFERENCE = '''\
# The kernel's own bits: karat computes this recipe on the CPU.
import json

import karat

RECIPE = json.loads(r"""{recipe}""")
GRID, TEXT = {grid}, {text}


def run(q, k, v):
    o, lse = karat.attend(
        q.cpu(), k.cpu(), v.cpu(), recipe=RECIPE, grid=GRID, text=TEXT, return_lse=True
    )
    return o.to(q.device), lse.to(q.device)
'''


def _name(golden: Golden) -> str:
    heads, channels = golden["o"].shape[1], golden["o"].shape[3]
    kv_heads = golden["k_codes"].shape[1]
    shared = f"kv{kv_heads}_" if kv_heads < heads else ""
    grid = "x".join(str(n) for n in golden.grid) + (f"t{golden.text}" if golden.text else "")
    return f"karat_{golden.recipe.name}_h{heads}_{shared}d{channels}_g{grid}"


def definition(golden: Golden) -> dict[str, Any]:
    """The Definition: axes, inputs q, k, v and outputs o, lse, and karat as reference."""
    golden = golden.numpy()
    o, q = golden["o"], golden["q"]
    batch, heads, tokens, channels = o.shape
    four = ["batch", "heads", "tokens", "head_dim"]
    given = _TYPES[str(q.dtype)]
    kv_heads = golden["k_codes"].shape[1]
    shared = ["batch", "kv_heads", "tokens", "head_dim"] if kv_heads < heads else four
    return {
        "name": _name(golden),
        "op_type": _OP_TYPE,
        "description": f"Attention by the karat recipe {golden.recipe.name} on a video grid of "
        f"{golden.grid} tokens: "
        + golden.recipe.to_dict()["about"],
        "tags": ["karat", f"recipe:{golden.recipe.name}"],
        "axes": {
            "batch": {"type": "var"},
            "heads": {"type": "const", "value": heads},
            "tokens": {"type": "const", "value": tokens},
            "head_dim": {"type": "const", "value": channels},
        }
        | ({"kv_heads": {"type": "const", "value": kv_heads}} if kv_heads < heads else {}),
        "inputs": {
            name: {"shape": four if name == "q" else shared, "dtype": given} for name in "qkv"
        },
        "outputs": {
            "o": {"shape": four, "dtype": _TYPES[golden.recipe.output]},
            "lse": {"shape": four[:3], "dtype": "float32"},
        },
        "reference": _REFERENCE.format(
            recipe=json.dumps(golden.recipe.to_dict(), indent=1), grid=golden.grid, text=golden.text
        ),
    }  # fmt: skip


def workload(golden: Golden) -> dict[str, Any]:
    """The Workload: the case's own tensors, in a safetensors file of the trace set."""
    with open(golden.path, "rb") as file:
        seal = file.read(512).decode("ascii", "replace")
    uuid = next(line[8:40] for line in seal.splitlines() if line.startswith("sha256: "))
    path = f"blob/workloads/{_OP_TYPE}/{_name(golden)}/{uuid}.safetensors"
    return {
        "uuid": uuid,
        "axes": {"batch": int(golden["o"].shape[0])},
        "inputs": {
            name: {"type": "safetensors", "path": path, "tensor_key": name} for name in "qkv"
        },
    }


def export(golden: Golden, root: str | os.PathLike[str]) -> Path:
    """Writes definition, workload and tensors into a trace set's folder; returns the definition's
    file.

    A workload that is there already is not added twice. Raises UsageError for cases that hold codes
    instead of q, k, v.
    """
    golden = golden.numpy()
    if "inputs/q" not in golden:
        raise UsageError(f"{golden.path}: holds codes, not q, k and v; export a case of values")
    if any(name.startswith("mask/given/") for name in golden):
        raise UsageError(
            f"{golden.path}: has a mask of its own; export a case whose recipe says the mask"
        )
    made, case = definition(golden), workload(golden)
    folder = Path(root)
    q, k, v = golden.inputs
    blob = folder / case["inputs"]["q"]["path"]
    blob.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(blob, {"q": q, "k": k, "v": v})
    file = folder / "definitions" / _OP_TYPE / f"{made['name']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(made, indent=2) + "\n")
    _append(
        folder / "workloads" / _OP_TYPE / f"{made['name']}.jsonl",
        {"definition": made["name"], "workload": case},
    )
    return file


def judge(
    golden: Golden,
    root: str | os.PathLike[str],
    candidate: Any,
    *,
    solution: str,
    latency_ms: float | None = None,
    reference_latency_ms: float | None = None,
    hardware: str | None = None,
) -> dict[str, Any]:
    """karat.check's verdict on a solution's output as a Trace, appended to the trace set and
    returned.

    candidate: o, or stages by name, as for karat.check. A trace that passed records its times; 0
        where not
    measured. The stage table is the trace's log, the stages its correctness.extra.
    """
    golden = golden.numpy()
    report = check(golden, candidate)
    _, named = candidate_arguments(candidate)
    absolute = relative = 0.0
    for name, type_, array in named:
        if name == "o":
            ours = golden["o"].astype(np.float64)
            theirs = typed(array, type_).reshape(ours.shape).astype(np.float64)
            error = np.abs(theirs - ours)
            absolute = float(error.max())
            relative = float((error / np.maximum(np.abs(ours), np.finfo(np.float32).tiny)).max())
    evaluation: dict[str, Any] = {
        "status": "PASSED" if report.passed else "INCORRECT_NUMERICAL",
        "environment": {
            "hardware": hardware or platform.processor() or platform.machine(),
            "libs": {},
        },
        "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "log": report.table(),
        "correctness": {
            "max_absolute_error": absolute,
            "max_relative_error": relative,
            "extra": {"judge": "karat", "stages": report.stages},
        },
    }
    if report.passed:
        latency, reference = latency_ms or 0.0, reference_latency_ms or 0.0
        evaluation["performance"] = {
            "latency_ms": latency,
            "reference_latency_ms": reference,
            "speedup_factor": reference / latency if latency else 0.0,
        }
    trace = {
        "definition": _name(golden),
        "workload": workload(golden),
        "solution": solution,
        "evaluation": evaluation,
    }
    _append(Path(root) / "traces" / _OP_TYPE / f"{_name(golden)}.jsonl", trace)
    return trace


def _append(path: Path, line: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line)
    lines = path.read_text().splitlines() if path.exists() else []
    if text in lines:
        return
    path.write_text("\n".join([*lines, text]) + "\n")
