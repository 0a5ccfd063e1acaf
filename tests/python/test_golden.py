"""Golden files, checks, and the assertion for kernel tests."""

import h5py
import ml_dtypes
import numpy as np
import pytest
from conftest import GRID, SMALL

import karat
import karat.testing


def test_opened_as_data(golden, heads):
    assert golden.recipe == karat.Recipe(SMALL) and golden.grid == GRID
    assert golden["o"].dtype == ml_dtypes.bfloat16 and golden["o"].shape == (1, 2, 256, 64)
    for x, y in zip(golden.inputs, heads):
        assert np.array_equal(x.view(np.uint16), y.view(np.uint16))
    o = karat.attend(*heads, recipe=SMALL, grid=GRID)
    assert np.array_equal(golden["o"].view(np.uint16), o.view(np.uint16))
    assert np.array_equal(golden["tap.0.0.0.s"], golden["stages/tap/0/0/0/s"])
    assert "stages/lse" in list(golden) and len(golden) > 30
    with pytest.raises(KeyError, match="holds"):
        golden["nothing"]


def test_h5py_reads_the_same_beside_karat(golden):
    """Both libraries in one process, h5py's file open meanwhile."""
    with h5py.File(golden.path) as file:
        o = file["stages/o"][:].view(ml_dtypes.bfloat16)
        assert np.array_equal(o.view(np.uint16), golden["o"].view(np.uint16))
        assert file["stages/o"].attrs["format"] == "bf16"


def test_same_case_same_bytes(golden, heads, tmp_path):
    again = karat.save(tmp_path / "again.h5", *heads, recipe=SMALL, grid=GRID, seed=5)
    assert open(again.path, "rb").read() == open(golden.path, "rb").read()


def test_a_right_kernel_passes(golden, heads):
    report = golden.check(golden["o"])
    assert report and report.passed and report["o"]["result"] == "equal"
    found = karat.stages(*heads, recipe=SMALL, grid=GRID, taps="all")
    report = karat.check(golden, found)
    assert report.passed and len(report.stages) > 12
    assert karat.check(golden.path, golden.path)
    swapped = np.ascontiguousarray(golden["o"].swapaxes(1, 2))
    assert karat.check(golden, swapped, layout="BSHD")


def test_what_no_legal_kernel_does_is_undecided(tmp_path):
    grid = (4, 16, 16)
    heads = karat.generate("gaussian", grid=grid)
    golden = karat.save(tmp_path / "fa3.h5", *heads, recipe="fa3_fp8", grid=grid)
    lazy = karat.attend(*heads, recipe="fa3_fp8_lazy_rescale", grid=grid)
    report = golden.check(lazy)
    assert not report and report.verdict == "undecided"
    assert report["o"]["result"] == "undecided" and report["o"]["outside"] == 0
    assert "undecided: o, batch 0, head" in report.table()
    with pytest.raises(AssertionError, match="is undecided against"):
        karat.testing.assert_matches(golden, lazy)
    assert golden.check(golden["o"], error_ratio=1).verdict == "matches"


def wrong(golden, how):
    o = golden["o"].astype(np.float32)
    if how == "gain":
        o *= 1.05
    elif how == "sign":
        o = -o
    elif how == "zeros":
        o[:] = 0
    elif how == "nan":
        o[0, 1, 200, 3] = np.nan
    elif how == "heads":
        o = o[:, ::-1]
    elif how == "tokens":
        o = np.roll(o, 1, axis=2)
    return np.ascontiguousarray(o).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("how", ["gain", "sign", "zeros", "nan", "heads", "tokens"])
def test_sabotage_is_found(golden, how):
    with pytest.raises(AssertionError) as caught:
        karat.testing.assert_matches(golden, wrong(golden, how))
    assert "first difference: o, batch 0, head" in str(caught.value)
    if how == "nan":
        assert "head 1, token 200, channel 3" in str(caught.value)


def test_assert_matches_judges_the_stages_named(golden, heads):
    found = karat.stages(*heads, recipe=SMALL, grid=GRID)
    found["o"] = wrong(golden, "gain")
    karat.testing.assert_matches(golden, found, stages=["q_codes", "q_scale", "lse"])
    with pytest.raises(AssertionError, match="does not match"):
        karat.testing.assert_matches(golden, found, stages=["q_codes", "o"])
    with pytest.raises(karat.UsageError, match="lacks v_codes"):
        karat.testing.assert_matches(golden, {"o": golden["o"]}, stages=["o", "v_codes"])
    q_codes = found["q_codes"].copy()
    q_codes.view(np.uint8)[0, 0, 17, 5] ^= 1
    with pytest.raises(AssertionError, match="q_codes, batch 0, head 0, token 17, channel 5"):
        karat.testing.assert_matches(golden, {"q_codes": q_codes})


def test_the_fixture_caches(karat_golden, monkeypatch):
    first = karat_golden(SMALL, grid=GRID, head_dim=64, kind="gaussian", seed=9)
    monkeypatch.setattr(karat, "save", lambda *a, **k: pytest.fail("made twice"))
    second = karat_golden(SMALL, grid=GRID, head_dim=64, kind="gaussian", seed=9)
    assert first.path == second.path and first.check(second)


def test_the_fixture_replaces_a_damaged_file(karat_golden):
    first = karat_golden(SMALL, grid=GRID, head_dim=64, kind="gaussian", seed=10)
    with open(first.path, "r+b") as file:
        file.seek(4000)
        file.write(b"damage")
    with pytest.raises(karat.FileError):
        karat.load(first.path)
    again = karat_golden(SMALL, grid=GRID, head_dim=64, kind="gaussian", seed=10)
    assert again.check(again["o"])


def test_diagnose_names_the_edit(golden, heads):
    """A kernel that codes P at another place, and one that forgot the mask."""
    other = karat.Recipe(SMALL).replace(p={"multiplier": 256})
    found = karat.diagnose(golden, karat.attend(*heads, recipe=other, grid=GRID))
    assert found.explained and any("p.multiplier" in name for name in found.names()), str(found)
    dense = SMALL | {"mask": {"tile": [2, 4, 4], "kind": "none"}}
    found = golden.diagnose(karat.attend(*heads, recipe=dense, grid=GRID))
    assert found.explained and "mask" in found.names()[0] and "look at" in str(found)
    assert golden.diagnose(golden["o"]).matches


@pytest.mark.parametrize("name", ["x.safetensors", "x.npy"])
@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int32, bool]
)
def test_files_both_ways(tmp_path, name, dtype):
    x = np.arange(-6, 6).reshape(3, 4).astype(dtype)
    karat.write_tensors(tmp_path / name, {"x": x})
    read = karat.read_tensors(tmp_path / name)
    assert list(read) == ["x"] and read["x"].dtype == x.dtype
    assert np.array_equal(read["x"].view(np.uint8), x.view(np.uint8))


def test_other_libraries_read_what_karat_writes(tmp_path, golden):
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "x.safetensors"
    karat.write_tensors(path, {"lse": golden["lse"]}, {"made_by": "test"})
    assert np.array_equal(safetensors.load_file(path)["lse"], golden["lse"])
    safetensors.save_file({"lse": golden["lse"] * 2}, path)
    assert np.array_equal(karat.read_tensors(path)["lse"], golden["lse"] * 2)
    karat.write_tensors(tmp_path / "x.npy", golden["lse"])
    assert np.array_equal(np.load(tmp_path / "x.npy"), golden["lse"])
    np.save(tmp_path / "o.npy", golden["lse"])
    assert np.array_equal(karat.read_tensors(tmp_path / "o.npy")["o"], golden["lse"])
