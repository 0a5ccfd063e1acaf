"""What the tests share: small cases, and FP32 bounds derived from the arithmetic."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import karat

SMALL = {
    "base": "fpsattention",
    "mask": {"tile": [2, 4, 4], "window": [1, 1, 1]},
    "q": {"tile": [2, 4, 4]},
    "k": {"tile": [2, 4, 4]},
}
GRID = (4, 8, 8)
U32 = 2.0**-24


@pytest.fixture(scope="session")
def heads():
    """bfloat16 [1, 2, 256, 64]"""
    return karat.generate("video", grid=GRID, heads=2, head_dim=64, seed=11)


@pytest.fixture(scope="session")
def golden(tmp_path_factory, heads):
    path = tmp_path_factory.mktemp("golden") / "small.h5"
    return karat.save(path, *heads, recipe=SMALL, grid=GRID, seed=5)


@pytest.fixture(scope="session")
def command_line():
    """karat of build/release: command_line("attend", ...) gives exit status and both outputs;
    command_line.start() the running process, command_line.program the file."""
    program = Path(__file__).parents[2] / "build/release/karat"
    if not program.exists():
        pytest.skip(f"{program} is not built")

    def start(*arguments):
        line = [program, *map(str, arguments)]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(*arguments):
        process = start(*arguments)
        out, error = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    run.start = start
    run.program = program
    return run


@pytest.fixture(scope="session")
def small_json(tmp_path_factory):
    """SMALL as a file for the command line."""
    path = tmp_path_factory.mktemp("recipe") / "small.json"
    path.write_text(json.dumps(SMALL))
    return path


def f32_attention_bound(q, k, v):
    """How far any FP32 attention may be from the truth, per element of o.

    A score is a sum of d products and one scaling: |ds| <= (d + 2) u sum|q||k| / sqrt(d), times
    e^2ds in a weight, twice (numerator and sum); exp within 4 ulp, n additions in each of the sums
    of p and p v, and a few single roundings; all relative to sum w|v| <= max|v|.
    """
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    d, n = q.shape[-1], k.shape[-2]
    score = (d + 2) * U32 * (np.abs(q) @ np.swapaxes(np.abs(k), -1, -2)).max() / np.sqrt(d)
    largest = np.abs(q @ np.swapaxes(k, -1, -2)).max() / np.sqrt(d)
    score += 4 * U32 * largest  # log2 e and the subtraction of the maximum
    return (2 * np.expm1(score) + (2 * n + 16) * U32) * np.abs(v).max()


@pytest.fixture(scope="session")
def long_run():
    """KARAT_LONG=1 asks for whole sweeps."""
    import os

    return os.environ.get("KARAT_LONG") == "1"
