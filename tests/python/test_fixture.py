"""The pytest fixture: what it takes, what its golden files give, what a failure shows."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from conftest import GRID, SMALL

import karat
import karat.testing


def test_batches_masks_and_edits(karat_golden):
    causal = np.tri(256, dtype=bool)
    one = karat_golden(SMALL, grid=GRID, head_dim=64, batch=2, seed=3)
    masked = karat_golden(SMALL, grid=GRID, head_dim=64, batch=2, seed=3, mask=causal)
    edits = {"softmax": {"row_sum": "quantized"}}
    edited = karat_golden(SMALL, grid=GRID, head_dim=64, batch=2, seed=3, edits=edits)
    assert len({one.path, masked.path, edited.path}) == 3
    assert one["o"].shape == (2, 1, 256, 64)
    q, k, v = one.inputs
    assert masked.check(karat.attend(q, k, v, recipe=SMALL, grid=GRID, mask=causal))
    other = karat.Recipe(SMALL).replace(**edits)
    assert edited.recipe == other and edited.check(karat.attend(q, k, v, recipe=other, grid=GRID))
    assert not one.check(edited["o"]) and not one.check(masked["o"])
    flipped = causal.copy()
    flipped[200, 7] = False
    masks = (flipped, karat.BlockMatrix(np.ones((2, 4), bool)), karat.block_mask(SMALL, GRID))
    paths = {
        karat_golden(SMALL, grid=GRID, head_dim=64, batch=2, seed=3, mask=m).path for m in masks
    }
    assert len(paths | {one.path, masked.path}) == 5


FAILING = """
import karat, karat.testing
CASE = dict(grid=(4, 8, 8), head_dim=64)

def test_a_mistake(karat_golden):
    golden = karat_golden("sta_bf16", edits={"mask": {"tile": [2, 4, 4], "window": [1, 1, 1]}}, **CASE)
    dense = golden.recipe.replace(mask={"kind": "none"})
    o = karat.attend(*golden.inputs, recipe=dense, grid=(4, 8, 8))
    karat.testing.assert_matches(golden, o, diagnose=True)

def test_a_refusal():
    karat.attend(1, 2, 3)
"""


def test_a_failure_shows_the_verdict_the_mistake_and_no_frame_of_karat(tmp_path):
    (tmp_path / "test_it.py").write_text(FAILING)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    for words in ("candidate does not match", "error against FP64", "o by query tile",
                  'recipe: mask.kind "window" -> "none"', "ArrayError: q: int is no tensor"):  # fmt: skip
        assert words in run.stdout
    frames = [line for line in run.stdout.splitlines() if line.endswith(("Error", "AssertionError"))]
    assert all("test_it.py" in line for line in frames if ".py:" in line), frames
    assert "_arrays.py" not in run.stdout and "karat/testing.py" not in run.stdout


def test_a_golden_file_gives_torch_tensors(tmp_path, karat_golden):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")
    made = karat_golden(SMALL, grid=GRID, head_dim=64, torch=True)
    assert all(x.dtype == torch.bfloat16 for x in made.inputs)
    assert made["q_codes"].dtype == torch.float8_e4m3fn and made["lse"].dtype == torch.float32
    same = karat_golden(SMALL, grid=GRID, head_dim=64)
    assert same.path == made.path and same["o"].dtype == ml_dtypes.bfloat16
    assert np.array_equal(made["o"].view(torch.int16).numpy(), same["o"].view(np.int16))
    assert isinstance(made.numpy()["o"], np.ndarray) and made.check(made["o"])
    saved = karat.save(tmp_path / "g.h5", *made.inputs, recipe=SMALL, grid=GRID)
    assert isinstance(saved["o"], torch.Tensor)  # as what went in
    assert isinstance(karat.load(saved.path)["o"], np.ndarray)
    assert isinstance(karat.load(saved.path, torch=True)["q_scale"], torch.Tensor)
