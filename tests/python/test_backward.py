"""Gradients without PyTorch: the golden file's bits, FP64 by differences, and what is refused."""

import json

import numpy as np
import pytest
from conftest import GRID

import karat

SMALL = {
    "base": "fps_qat_fp8",
    "mask": {"tile": [2, 4, 4], "window": [1, 1, 1]},
    "q": {"tile": [2, 4, 4]},
    "k": {"tile": [2, 4, 4]},
}
EXACT = {
    "base": "dense_f32",
    "backward": {"loop": "two_kernels", "output": "f32"},
}


@pytest.fixture(scope="module")
def case():
    """q, k, v, do: bfloat16 [1, 4, 256, 32], two heads of k and v"""
    return karat.generate("video", grid=GRID, heads=4, kv_heads=2, head_dim=32, seed=2, do=True)


@pytest.fixture(scope="module")
def golden_backward(tmp_path_factory, case):
    q, k, v, do = case
    path = tmp_path_factory.mktemp("golden") / "backward.h5"
    return karat.save(path, q, k, v, recipe=SMALL, grid=GRID, do=do)


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8))


def test_gradients_are_the_golden_file_s(case, golden_backward):
    q, k, v, do = case
    assert golden_backward.has_backward
    made, delta = karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, return_delta=True)
    assert made.dq.shape == q.shape and made.dk.shape == made.dv.shape == k.shape
    for name, array in (*made._asdict().items(), ("delta", delta)):
        assert same(array, golden_backward[name]), name
    assert same(do, golden_backward["do"])


def test_the_forward_need_not_run_again(case, golden_backward):
    q, k, v, do = case
    o, lse = karat.attend(q, k, v, recipe=SMALL, grid=GRID, return_lse=True)
    made = karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, o=o, lse=lse)
    assert same(made.dq, golden_backward["dq"])
    other = karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, o=o, lse=lse + np.float32(1))
    assert not same(made.dv, other.dv)


def test_layouts_give_the_same_bits(case, golden_backward):
    turned = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in case]
    made = karat.backward(*turned, recipe=SMALL, grid=GRID, layout="BSHD")
    for name, array in made._asdict().items():
        assert same(np.ascontiguousarray(array.swapaxes(1, 2)), golden_backward[name]), name


def test_stages_are_those_of_the_file(case, golden_backward):
    q, k, v, do = case
    stages = karat.backward_stages(q, k, v, do, recipe=SMALL, grid=GRID, taps="all")
    taps = [name for name in golden_backward if "dq_tap/" in name or "dkv_tap/" in name]
    assert len(taps) > 30
    for name in taps:
        assert same(stages[name.removeprefix("stages/").replace("/", ".")], golden_backward[name])


def test_the_fixture_has_gradients(karat_golden):
    golden = karat_golden("fps_ste_bf16", grid=(2, 8, 8), head_dim=32, backward=True)
    q, k, v = golden.inputs
    made = karat.backward(q, k, v, golden["do"], recipe="fps_ste_bf16", grid=(2, 8, 8))
    report = golden.check(made._asdict())
    assert report and report.verdict == "matches"
    wrong = golden.check(made._asdict() | {"dq": made.dk})
    assert not wrong and wrong.verdict == "differs"
    assert not karat_golden("fps_ste_bf16", grid=(2, 8, 8), head_dim=32).has_backward


def test_f32_gradients_are_the_derivative(case):
    """Central differences of the FP64 attention in random directions; F32 sums of 256 terms."""
    q, k, v, do = (x[:, :1].astype(np.float64) for x in case)
    random = np.random.default_rng(0)
    made = karat.backward(*(x.astype(np.float32) for x in (q, k, v, do)), recipe=EXACT)

    def loss(q, k, v):
        s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        p = np.exp(s - s.max(-1, keepdims=True))
        return float((p / p.sum(-1, keepdims=True) @ v * do).sum())

    for at, gradient in enumerate(made):
        tensors = [q, k, v]
        direction = random.standard_normal(q.shape)
        step = 1e-5
        ends = []
        for sign in (1, -1):
            moved = list(tensors)
            moved[at] = tensors[at] + sign * step * direction
            ends.append(loss(*moved))
        difference = (ends[0] - ends[1]) / (2 * step)
        product = float((gradient.astype(np.float64) * direction).sum())
        size = np.linalg.norm(gradient.astype(np.float64)) * np.linalg.norm(direction)
        assert abs(difference - product) < 1e-6 * size


def test_masks_reach_the_backward(case):
    q, k, v, do = (x[:, :1] for x in case)
    keep = np.tril(np.ones((256, 256), bool))
    recipe = EXACT | {"mask": {"kind": "none"}}
    made = karat.backward(q, k, v, do, recipe=recipe, mask=keep)
    dense = karat.backward(q, k, v, do, recipe=recipe)
    assert not same(made.dk, dense.dk)
    last = np.zeros_like(do)
    last[:, :, 0] = do[:, :, 0]  # the first query sees the first key alone
    first = karat.backward(q, k, v, last, recipe=recipe, mask=keep)
    assert (np.asarray(first.dk, np.float32)[:, :, 1:] == 0).all()
    assert (np.asarray(first.dv, np.float32)[:, :, 0] != 0).any()


@pytest.mark.parametrize("recipe", ["cudnn_fp8_hopper", "te_delayed"])
def test_an_fp8_output_goes_back_in(recipe):
    q, k, v, do = karat.generate("video", grid=(2, 8, 8), head_dim=128, seed=4, do=True)
    o, lse = karat.attend(q, k, v, recipe=recipe, return_lse=True)
    assert o.dtype.name == "float8_e4m3fn"
    whole = karat.backward(q, k, v, do, recipe=recipe)
    for given in (o, o.view(np.uint8), o.astype(np.float32)):
        made = karat.backward(q, k, v, do, recipe=recipe, o=given, lse=lse)
        assert all(same(a, b) for a, b in zip(made, whole))
    spoiled = o.astype(np.float32)
    spoiled[0, 0, 3, 5] = 1.03
    with pytest.raises(karat.UsageError, match="token 3, channel 5 is none of e4m3"):
        karat.backward(q, k, v, do, recipe=recipe, o=spoiled, lse=lse)
    with pytest.raises(karat.UsageError, match="o: e5m2 of shape .*e4m3 in the shape of q"):
        karat.backward(q, k, v, do, recipe=recipe, lse=lse, o=karat.view_as(o.view(np.uint8), "e5m2"))


def test_gradients_that_overflow_are_told(case):
    q, k, v, do = (x[:, :1] for x in case)
    huge = np.full_like(do, np.finfo(np.float32).max * 0.99)
    for output in ("bf16", "f32"):
        recipe = SMALL | {"backward": {"output": output}}
        with pytest.warns(RuntimeWarning, match=r"Inf or NaN in \d+ values of dq, \d+ values of dk"):
            made = karat.backward(q, k, v, huge, recipe=recipe, grid=GRID)
        assert not all(np.isfinite(x.astype(np.float32)).all() for x in made)


def test_key_blocks_have_taps_of_their_own(tmp_path, case):
    q, k, v, do = (x[:, :1] for x in case)
    options = {"recipe": SMALL, "grid": GRID}
    stages = karat.backward_stages(q, k, v, do, taps=[1], key_taps=[0, 2], **options)
    found = {name.rsplit(".", 1)[0] for name in stages if "tap" in name}
    assert found == {"dq_tap.0.0.1", "dkv_tap.0.0.0", "dkv_tap.0.0.2"}
    golden = karat.save(
        tmp_path / "g.h5", q, k, v, do=do, taps="none", dq_taps=[1], dkv_taps=[0, 2], **options
    )
    taps = {name.rsplit("/", 1)[0].removeprefix("stages/") for name in golden if "tap/" in name}
    assert {name.replace("/", ".") for name in taps} == found


def test_what_is_refused(tmp_path, case):
    q, k, v, do = case
    with pytest.raises(karat.UsageError, match="fpsattention has no backward.*fps_qat_fp8"):
        karat.backward(q, k, v, do, recipe="fpsattention", grid=GRID)
    with pytest.raises(karat.UsageError, match="do: shape"):
        karat.backward(q, k, v, do[:, :, :-1], recipe=SMALL, grid=GRID)
    with pytest.raises(karat.ArrayError, match="do: i32 is not taken"):
        karat.backward(q, k, v, np.zeros(q.shape, np.int32), recipe=SMALL, grid=GRID)
    with pytest.raises(karat.UsageError, match="dq_taps: names blocks of a backward"):
        karat.save(tmp_path / "g.h5", q, k, v, dq_taps=[1], recipe=SMALL, grid=GRID)
    o, lse = karat.attend(q, k, v, recipe=SMALL, grid=GRID, return_lse=True)
    with pytest.raises(karat.UsageError, match="lse: is missing beside o"):
        karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, o=o)
    with pytest.raises(karat.UsageError, match="lse: f32 of shape"):
        karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, o=o, lse=lse[..., :-1])
    for bad, word in ((np.nan, "NaN"), (np.inf, "Inf")):
        spoiled = do.copy()
        spoiled[0, 3, 17, 5] = bad
        with pytest.raises(karat.UsageError, match=f"{word} at batch 0, head 3, token 17, channel 5"):
            karat.backward(q, k, v, spoiled, recipe=SMALL, grid=GRID)
        with pytest.raises(karat.UsageError, match=f"{word} at batch 0, head 3, token 17, channel 5"):
            karat.save(tmp_path / "never.h5", q, k, v, recipe=SMALL, grid=GRID, do=spoiled)
    with pytest.raises(karat.UsageError, match="o: is missing beside lse"):
        karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, lse=lse)
    bad = lse.copy()
    bad[0, 2, 9] = np.nan
    with pytest.raises(karat.UsageError, match="lse: NaN at batch 0, head 2, token 9"):
        karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, o=o, lse=bad)
    with pytest.raises(karat.UsageError, match="o: f32 of shape"):
        karat.backward(q, k, v, do, recipe=SMALL, grid=GRID, lse=lse, o=np.zeros(3, np.float32))
    with pytest.raises(karat.UsageError, match="do: shape"):
        karat.save(tmp_path / "never.h5", q, k, v, recipe=SMALL, grid=GRID, do=do[:, :2])
    with pytest.raises(karat.UsageError, match="no backward"):
        karat.save(tmp_path / "never.h5", q, k, v, recipe="fpsattention", grid=GRID, do=do)
    with pytest.raises(karat.UsageError, match="no backward"):
        karat.backward_stages(q, k, v, do, recipe="fpsattention", grid=GRID)
    assert not (tmp_path / "never.h5").exists()


def test_the_command_line_writes_the_same_gradients(tmp_path, case, command_line):
    q, k, v, do = case
    karat.write_tensors(tmp_path / "in.safetensors", {"q": q, "k": k, "v": v, "do": do})
    (tmp_path / "r.json").write_text(json.dumps(karat.Recipe(SMALL).to_dict()))
    done = command_line(
        "attend", "--backward", "--recipe", tmp_path / "r.json", "--grid", "4,8,8", "--in",
        tmp_path / "in.safetensors", "-o", tmp_path / "out.safetensors",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = karat.read_tensors(tmp_path / "out.safetensors")
    made = karat.backward(q, k, v, do, recipe=SMALL, grid=GRID)
    for name, array in made._asdict().items():
        assert same(array, out[name]), name


def test_replacing_formats_replaces_instructions():
    coarse = karat.Recipe("fps_ste_bf16").replace(backward={"ds_format": "f16"}, output="f32")
    assert coarse.gradient == "bf16"
    assert karat.Recipe("fpsattention").gradient is None
