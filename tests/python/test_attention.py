"""karat.attend and its relatives against NumPy and against themselves."""

import ml_dtypes
import numpy as np
import pytest
from conftest import GRID, SMALL, f32_attention_bound

import karat


def softmax_attention(q, k, v, keep=None):
    """float64, one head after the other, as the textbook has it."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if keep is not None:
        s = np.where(keep, s, -np.inf)
    m = s.max(-1, keepdims=True)
    p = np.exp(s - m)
    l = p.sum(-1, keepdims=True)
    return p @ v / l, (m + np.log(l))[..., 0]


def f32(heads):
    return tuple(x.astype(np.float32) for x in heads)


def test_dense_f32_is_softmax_attention(heads):
    q, k, v = f32(heads)
    o, lse = karat.attend(q, k, v, recipe="dense_f32", return_lse=True)
    expected, expected_lse = softmax_attention(q, k, v)
    assert o.dtype == np.float32 and o.shape == q.shape and lse.shape == q.shape[:3]
    error = np.abs(o - expected).max()
    assert 0 < error < f32_attention_bound(q, k, v)
    assert np.abs(lse - expected_lse).max() < 1e-4


def test_truth_is_softmax_attention_in_f64(heads):
    o, lse = karat.truth(*heads)
    expected, expected_lse = softmax_attention(*heads)
    assert np.abs(o - expected).max() < 1e-12 and np.abs(lse - expected_lse).max() < 1e-11


def test_sparse_truth_keeps_the_pairs_of_the_block_mask(heads):
    mask = karat.block_mask(SMALL, GRID)
    position = mask.position_of_token
    keep = mask.keep.astype(bool)[np.ix_(position, position)]
    expected, _ = softmax_attention(*heads, keep=keep)
    o, _ = karat.truth(*heads, recipe=SMALL, grid=GRID, sparse=True)
    assert np.abs(o - expected).max() < 1e-12
    assert mask.density == pytest.approx(keep.mean())


def test_layouts_agree(heads):
    o = karat.attend(*heads, recipe=SMALL, grid=GRID)
    swapped = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in heads]
    o2 = karat.attend(*swapped, recipe=SMALL, grid=GRID, layout="BSHD")
    assert o2.shape == swapped[0].shape
    assert np.array_equal(o.view(np.uint16), o2.swapaxes(1, 2).view(np.uint16))
    swapped32 = [x.astype(np.float32) for x in swapped]
    o3 = karat.attend(*swapped32, recipe="dense_f32", layout="BSHD")
    assert np.array_equal(o3.swapaxes(1, 2), karat.attend(*f32(heads), recipe="dense_f32"))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_leading_dimensions_may_be_missing(heads, dimensions):
    parts = [x[0] if dimensions == 3 else x[0, 1] for x in heads]
    o, lse = karat.attend(*parts, recipe=SMALL, grid=GRID, return_lse=True)
    whole = karat.attend(*heads, recipe=SMALL, grid=GRID)
    assert o.shape == parts[0].shape and lse.shape == parts[0].shape[:-1]
    expected = whole[0] if dimensions == 3 else whole[0, 1]
    assert np.array_equal(o.view(np.uint16), expected.view(np.uint16))
    row = [np.ascontiguousarray(x[0, 1]) for x in heads]
    again = karat.attend(*row, recipe=SMALL, grid=GRID, layout="BSHD")
    assert np.array_equal(again.view(np.uint16), whole[0, 1].view(np.uint16))


def test_threads_decide_nothing(heads):
    results = [karat.attend(*heads, recipe=SMALL, grid=GRID, threads=n) for n in (1, 2, 5)]
    assert len({r.tobytes() for r in results}) == 1


def test_many_small_heads_at_once_decide_nothing():
    """Side by side, each on a thread; the heads of a group share k and v."""
    q, k, v = karat.generate("video", grid=GRID, heads=12, kv_heads=4, head_dim=64, seed=2)
    for recipe in (SMALL, "xdit_flash3_fp8"):
        found = [
            karat.stages(q, k, v, recipe=recipe, grid=GRID, taps=[1], threads=n) for n in (1, 2, 3, 8)
        ]
        assert all(list(f) == list(found[0]) for f in found)
        for name, expected in found[0].items():
            assert len({expected.tobytes()} | {f[name].tobytes() for f in found}) == 1, name
        outputs = [karat.attend(q, k, v, recipe=recipe, grid=GRID, threads=n) for n in (1, 2, 8)]
        assert {o.tobytes() for o in outputs} == {found[0]["o"].tobytes()}
    truths = [karat.truth(q, k, v, threads=n)[0].tobytes() for n in (1, 8)]
    assert truths[0] == truths[1]


def test_stages_recompute_the_scores(heads):
    """s of a tapped block is what codes and scales say, by the page of fpsattention."""
    found = karat.stages(*heads, recipe=SMALL, grid=GRID, taps=[0, 3])
    assert (
        found["q_codes"].dtype == ml_dtypes.float8_e4m3fn and found["o"].dtype == ml_dtypes.bfloat16
    )
    rows, columns = found["tap.0.1.3.query_token"], found["tap.0.1.3.key_token"]
    q = found["q_codes"][0, 1].astype(np.float64)[rows]
    k = found["k_codes"][0, 1].astype(np.float64)[columns]
    a = found["tap.0.1.3.a"]
    exact = q @ k.T
    # wgmma truncates to 14 bits below the largest product of each step, 64 / 32 steps
    assert np.abs(a - exact).max() <= 2 * 33 * 2.0**-13 * (np.abs(q) @ np.abs(k).T).max()
    assert found["m"].shape == (1, 2, 256) and "tap.0.0.1.s" not in found
    assert set(np.asarray(found["tap.0.1.0.key_block"]).tolist()) <= set(range(8))


def test_sdpa_takes_the_arguments_of_torch(heads):
    q, k, v = f32(heads)
    o = karat.scaled_dot_product_attention(q, k, v)
    assert np.array_equal(o, karat.attend(q, k, v, recipe="dense_f32"))
    causal = karat.scaled_dot_product_attention(q, k, v, is_causal=True)
    keep = np.tril(np.ones((256, 256), bool))
    masked = karat.scaled_dot_product_attention(q, k, v, attn_mask=keep)
    expected, _ = softmax_attention(q, k, v, keep)
    bound = f32_attention_bound(q, k, v)
    assert np.abs(causal - expected).max() < bound and np.abs(masked - expected).max() < bound
    assert np.abs(causal - o).max() > 100 * bound
    assert karat.scaled_dot_product_attention(*heads).dtype == ml_dtypes.bfloat16
    shared = [np.ascontiguousarray(x[:, :1]) for x in (k, v)]
    repeated = karat.scaled_dot_product_attention(q, *(np.repeat(x, 2, 1) for x in shared))
    grouped = karat.scaled_dot_product_attention(q, *shared, enable_gqa=True)
    assert np.array_equal(grouped, repeated) and not np.array_equal(grouped, o)
    with pytest.raises(karat.UsageError, match="enable_gqa=True"):
        karat.scaled_dot_product_attention(q, *shared)
    with pytest.raises(karat.UsageError, match="dropout"):
        karat.scaled_dot_product_attention(q, k, v, dropout_p=0.1)
    with pytest.raises(karat.UsageError, match="multiply query by 0.8"):
        karat.scaled_dot_product_attention(q, k, v, scale=0.1)
    with pytest.raises(karat.ArrayError, match="added"):
        karat.scaled_dot_product_attention(q, k, v, attn_mask=np.zeros((256, 256), np.float32))


@pytest.mark.parametrize("name", karat.names())
def test_every_preset_runs_and_says_its_output(heads, name):
    one = [x[:, :1] for x in heads]
    o = karat.attend(*one, recipe=name, grid=GRID)
    values = o.astype(np.float64)
    assert o.shape == one[0].shape and np.isfinite(values).all() and np.abs(values).max() > 0
    # a mean of rows of V; codes of P may sum to a little more than their row sum
    assert np.abs(values).max() <= 1.2 * np.abs(one[2].astype(np.float64)).max()
    assert (
        str(o.dtype)
        .replace("float", "f")
        .replace("bf", "b")
        .startswith(
            {"bf16": "b", "f16": "f16", "f32": "f32", "e4m3": "f8"}[karat.Recipe(name).output]
        )
    )


def test_recipes_are_values():
    recipe = karat.Recipe("fpsattention")
    assert karat.Recipe(recipe.to_dict()) == recipe and hash(
        karat.Recipe(recipe.to_dict())
    ) == hash(recipe)
    changed = recipe.replace(p={"format": "f32", "multiplier": 1}, output="f32")
    assert changed.to_dict()["pv"]["instruction"] != recipe.to_dict()["pv"]["instruction"]
    assert changed != recipe and changed.output == "f32"
    assert "fpsattention" in karat.names() and "torch" in karat.names("policies")


def test_cost_answers_without_tensors():
    answer = karat.cost("fpsattention", gpu="H20", model="wan2.1-14b", resolution="480p")
    assert 0 < answer["time_ms"] and answer["run"]["speedup"] > 1
    grid = karat.cost("fpsattention", grid=(21, 30, 52), heads=40)
    assert grid["shape"]["queries"] == 21 * 30 * 52
    assert karat.cost_picture("fpsattention", grid=(6, 16, 16)).startswith("<svg")
