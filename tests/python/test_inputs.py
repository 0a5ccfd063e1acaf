"""What an input means is said, or asked for: grids, views, codes with scales, gradients."""

import json

import numpy as np
import pytest
from conftest import GRID, SMALL

import karat

NEED_NONE = ["dense_f32", "fa3_fp8", "sage2_sm90", "deepseek_fp8", "sparge_sm90"]


def same(a, b):
    return a.dtype == b.dtype and np.array_equal(a.view(np.uint8), b.view(np.uint8))


# ---- grids ----


@pytest.mark.parametrize("recipe", NEED_NONE)
def test_recipes_without_tiles_need_no_grid(heads, recipe):
    assert karat.Recipe(recipe).grid_reason is None
    ours = karat.attend(*heads, recipe=recipe)
    for grid in (GRID, (1, 1, 256)):
        assert same(ours, karat.attend(*heads, recipe=recipe, grid=grid))


@pytest.mark.parametrize("recipe", sorted(set(karat.names()) - set(NEED_NONE)))
def test_every_other_preset_says_whether(heads, tmp_path, recipe):
    reason = karat.Recipe(recipe).grid_reason
    if reason is None:
        return
    q, k, v = heads
    for call in (
        lambda: karat.attend(q, k, v, recipe=recipe),
        lambda: karat.stages(q, k, v, recipe=recipe),
        lambda: karat.truth(q, k, v, recipe=recipe, sparse=True),
        lambda: karat.save(tmp_path / "none.h5", q, k, v, recipe=recipe),
        lambda: karat.quantize(q, recipe=recipe),
        lambda: karat.scaled_dot_product_attention(q, k, v, recipe=recipe),
        lambda: karat.scaled_dot_product_attention(q, k, v, recipe=recipe, is_causal=True),
        lambda: karat.attend(q, k, v, recipe=recipe, text=16),
    ):
        with pytest.raises(karat.UsageError) as caught:
            call()
        said = str(caught.value)
        # A given mask stands beside few predictions: that may be said first.
        if "predict.rule: does not go with this mask.kind" not in said:
            assert "grid: is missing, but " in said
            assert "give T,H,W" in said or "give (T, H, W)" in said
    assert not (tmp_path / "none.h5").exists()


def test_the_row_must_be_said(heads):
    """1,1,256 of a window of 3 x 3 x 3 tiles keeps few of the pairs; nobody gets it unasked."""
    said = karat.attend(*heads, recipe="sta_bf16", grid=(1, 1, 256))
    assert not same(said, karat.attend(*heads, recipe="sta_bf16", grid=GRID))


def test_causal_windows_over_tokens_need_one_too(heads):
    """The causal pairs take the window's place; without a grid the window would be lost."""
    recipe = {"base": "dense_f64", "mask": {"kind": "window", "tile": [1, 1, 1], "window": [3, 3, 3]}}
    with pytest.raises(karat.UsageError, match="mask.window 3,3,3 lies in it"):
        karat.scaled_dot_product_attention(*heads, recipe=recipe, is_causal=True)


def test_command_line_asks_for_a_grid(command_line, heads, small_json, tmp_path):
    karat.write_tensors(tmp_path / "qkv.safetensors", dict(zip("qkv", heads)))
    line = ["--in", tmp_path / "qkv.safetensors", "-o", tmp_path / "out"]
    for command in ("attend", "make"):
        result = command_line(command, "--recipe", small_json, *line)
        assert result.returncode == 2
        assert "grid: is missing, but mask.tile 2,4,4 orders the tokens by it" in result.stderr
        assert not (tmp_path / "out").exists()
    assert command_line("attend", "--recipe", "fa3_fp8", *line).returncode == 0
    assert command_line("attend", "--recipe", small_json, "--grid", "1,1,256", *line).returncode == 0


def test_a_golden_file_without_a_grid_says_none(command_line, heads, small_json, tmp_path):
    """The 1,1,256 in it stood in for none: another recipe asks again."""
    golden = karat.save(tmp_path / "dense.h5", *heads, recipe="dense_f32", taps="none")
    line = ["attend", "--in", golden.path, "-o", tmp_path / "o.safetensors", "--recipe", small_json]
    assert command_line(*line).returncode == 2
    assert command_line(*line, "--grid", "4,8,8").returncode == 0
    told = karat.save(tmp_path / "told.h5", *heads, recipe="dense_f32", taps="none", grid=GRID)
    line[2] = told.path
    assert command_line(*line).returncode == 0


# ---- views ----


def views_of(x):
    """The same values in other memory."""
    x = np.asarray(x)
    yield np.stack([x, x], -1)[..., 1]
    yield np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    yield np.asfortranarray(x)


def test_views_are_copied_everywhere(tmp_path, heads, golden):
    q, k, v = heads
    o = karat.attend(*heads, recipe=SMALL, grid=GRID)
    codes, scale = karat.quantize(q, recipe=SMALL, grid=GRID)
    rows = np.asarray(q[0, 0], np.float32)
    for n, (qv, kv, vv, ov, cv) in enumerate(zip(*map(views_of, (q, k, v, o, codes)))):
        assert not any(x.flags.c_contiguous for x in (qv, kv, vv, ov, cv))
        assert same(karat.attend(qv, kv, vv, recipe=SMALL, grid=GRID), o)
        saved = karat.save(tmp_path / f"{n}.h5", qv, kv, vv, recipe=SMALL, grid=GRID, seed=5)
        assert all(same(saved[name], golden[name]) for name in ("q", "q_codes", "o"))
        assert golden.check(ov) and golden.check({"o": ov, "q_codes": cv})
        karat.write_tensors(tmp_path / f"{n}.safetensors", {"o": ov})
        assert same(karat.read_tensors(tmp_path / f"{n}.safetensors")["o"], o)
        assert same(karat.decode(cv), karat.decode(codes))
        assert same(karat.quantize(qv, recipe=SMALL, grid=GRID)[0], codes)
    for rv, cv in zip(views_of(rows), views_of(codes[0, 0])):
        assert same(karat.encode(rv, "e4m3"), karat.encode(rows, "e4m3"))
        product = karat.scaled_mm(codes[0, 0], codes[0, 1].T, scale[0, 0, :1])
        assert same(karat.scaled_mm(cv, codes[0, 1].T, scale[0, 0, :1]), product)
        columns = np.ascontiguousarray(codes[0, 1].T)  # [K, N] row by row
        assert same(karat.scaled_mm(cv, columns, scale[0, 0, :1]), product)


def test_views_of_masks(heads):
    keep = np.random.default_rng(1).random((256, 256)) < 0.5
    o = karat.attend(*heads, recipe="dense_f32", mask=keep)
    for view in views_of(keep):
        assert same(karat.attend(*heads, recipe="dense_f32", mask=view), o)
    assert not same(karat.attend(*heads, recipe="dense_f32", mask=keep.T), o)


# ---- codes with scales ----

CODED = {
    "small": SMALL,
    "fa3_fp8": "fa3_fp8",
    "deepseek_fp8": "deepseek_fp8",
    "int8": {"base": "sage2_sm90", "k": {"smooth": "none"}},
}


def coded(q, k, v, recipe, layout="BHSD"):
    """Codes of the three, and their scales by argument."""
    made = [
        karat.quantize(x, recipe=recipe, operand=name, grid=GRID, layout=layout)
        for name, x in zip("qkv", (q, k, v))
    ]
    return [codes for codes, _ in made], {f"{n}_scale": s for n, (_, s) in zip("qkv", made)}


@pytest.mark.parametrize("name", CODED)
def test_codes_give_the_bits_of_their_values(heads, tmp_path, command_line, name):
    recipe = CODED[name]
    q, k, v = heads
    k, v = k[:, :1].copy(), v[:, :1].copy()  # shared by both heads of q
    options = dict(recipe=recipe, grid=GRID)
    o, lse = karat.attend(q, k, v, **options, return_lse=True)
    codes, scales = coded(q, k, v, recipe)
    of_codes = karat.attend(*codes, **scales, **options, return_lse=True)
    assert same(of_codes[0], o) and same(of_codes[1], lse)
    raw = karat.attend(*(x.view(np.uint8) for x in codes), **scales, **options)
    assert same(raw, o)
    doubled = scales | {"q_scale": scales["q_scale"] * 2}
    assert not same(karat.attend(*codes, **doubled, **options), o)

    swapped = [x.swapaxes(1, 2).copy() for x in (q, k, v)]
    codes_bshd, scales_bshd = coded(*swapped, recipe, "BSHD")
    o_bshd = karat.attend(*codes_bshd, **scales_bshd, **options, layout="BSHD")
    assert same(o_bshd.swapaxes(1, 2).copy(), o)

    (tmp_path / "recipe.json").write_text(
        json.dumps(recipe if isinstance(recipe, dict) else {"base": recipe})
    )
    named = {f"{n}_codes": x for n, x in zip("qkv", codes)} | scales
    karat.write_tensors(tmp_path / "codes.safetensors", named)
    result = command_line(
        "attend", "--in", tmp_path / "codes.safetensors", "--recipe", tmp_path / "recipe.json",
        "--grid", "4,8,8", "-o", tmp_path / "o.safetensors",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert same(karat.read_tensors(tmp_path / "o.safetensors")["o"], o)
    golden = karat.save(tmp_path / "codes.h5", *codes, **scales, **options)
    assert same(golden["o"], o) and golden.check(o)
    found = karat.stages(*codes, **scales, **options)
    assert same(found["k_codes"], codes[1]) and same(found["v_scale"], scales["v_scale"])


def test_truth_of_codes_is_that_of_scale_times_code(heads):
    codes, scales = coded(*heads, "fa3_fp8")
    values = [karat.decode(x) * scales[f"{n}_scale"][..., None] for n, x in zip("qkv", codes)]
    for ours, theirs in zip(karat.truth(*codes, **scales, recipe="fa3_fp8"), karat.truth(*values)):
        assert same(ours, theirs)


@pytest.mark.parametrize(
    "change, error, action",
    [
        (lambda c, s: s.clear(), TypeError, "codes without their scales; give q_scale, k_scale"),
        (lambda c, s: s.pop("v_scale"), ValueError, "v_scale: is missing beside other scales"),
        (lambda c, s: s.update(k_scale=s["k_scale"][..., :-1]), ValueError, "scales where the recipe"),
        (lambda c, s: s.update(k_scale=s["k_scale"].astype(float)), TypeError, "float32"),
        (lambda c, s: s.update(q_scale=s["q_scale"] * np.nan), ValueError, "q_scale: NaN at batch 0"),
        (lambda c, s: c.__setitem__(0, c[0].astype(np.float32)), TypeError, "q: is f32 beside q_scale"),
        (lambda c, s: c.__setitem__(0, c[0].view(np.int8)), ValueError, "q_codes: are int8 where"),
        (
            lambda c, s: c.__setitem__(1, karat.view_as(c[1].view(np.uint8), "e5m2")),
            ValueError,
            "k_codes: are e5m2 where the recipe's k.format is e4m3",
        ),
    ],
)
def test_codes_that_do_not_fit(heads, change, error, action):
    codes, scales = coded(*heads, SMALL)
    change(codes, scales)
    with pytest.raises(error, match=action) as caught:
        karat.attend(*codes, **scales, recipe=SMALL, grid=GRID)
    assert "karat.save" not in str(caught.value)


def test_codes_for_recipes_that_take_values(heads):
    codes, scales = coded(*heads, SMALL)
    for recipe, action in (("sage2_sm90", "q_codes: are e4m3"), ("dense_f32", "reads values")):
        with pytest.raises(karat.UsageError, match=action):
            karat.attend(*codes, **scales, recipe=recipe)


# ---- gradients ----


class Trained(np.ndarray):
    """What a PyTorch tensor says about itself."""

    requires_grad = True

    def detach(self):
        return self.view(np.ndarray)


def test_inputs_that_want_gradients(heads, golden):
    """karat.attend has no backward: the layer would silently stop training. tests/python/test_torch.py says
    it of PyTorch's own tensors."""
    q, k, v = heads
    for call in (
        lambda x: karat.attend(x, k, v, recipe="dense_f32"),
        lambda x: karat.attend(q, x, v, recipe="dense_f32"),
        lambda x: karat.stages(q, k, x, recipe="dense_f32"),
        lambda x: karat.scaled_dot_product_attention(x, k, v),
        lambda x: karat.quantize(x, rule={"format": "e4m3"}),
    ):
        with pytest.raises(karat.UsageError, match="no backward; call it under torch.no_grad"):
            call(q.view(Trained))
        call(q.view(Trained).detach())
    assert golden.check(golden["o"].view(Trained))  # a judgement has no gradient
