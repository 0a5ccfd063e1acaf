"""The package and the command line are one library: the same options give the same bits."""

import json

import numpy as np
import pytest
from conftest import GRID, SMALL

import karat
import karat.testing

TEXT, HEADS, SHARED = 20, 4, 2
CASE = ["--grid", "4,8,8", "--text", TEXT, "--heads", HEADS, "--kv-heads", SHARED,
        "--channels", 64, "--seed", 7]  # fmt: skip


def bits(x):
    return np.asarray(x).view(np.uint8)


def ran(result, status=0):
    assert result.returncode == status, result.stderr
    return result


@pytest.fixture(scope="module")
def grouped():
    """bfloat16: q [1, 4, 276, 64], k and v [1, 2, 276, 64]"""
    return karat.generate(
        "video", grid=GRID, text=TEXT, heads=HEADS, kv_heads=SHARED, head_dim=64, seed=7
    )


@pytest.mark.parametrize("recipe", ["small", "dense_f32", "sparge_sm90", "fa3_bf16"])
@pytest.mark.parametrize("layout", ["BHSD", "BSHD"])
def test_attend(command_line, small_json, grouped, tmp_path, recipe, layout):
    file = tmp_path / "o.safetensors"
    name = small_json if recipe == "small" else recipe
    ran(command_line("attend", "--recipe", name, *CASE, "-o", file))
    expected = karat.read_tensors(file)
    given = grouped
    if layout == "BSHD":
        given = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in grouped]
    found = karat.stages(
        *given, recipe=SMALL if recipe == "small" else recipe, grid=GRID, text=TEXT, layout=layout
    )
    if layout == "BSHD":
        found["o"] = np.ascontiguousarray(found["o"].swapaxes(1, 2))
    for stage in ("o", "lse", "m", "l"):
        assert np.array_equal(bits(found[stage]), bits(expected[stage])), stage
    o = karat.attend(
        *given, recipe=SMALL if recipe == "small" else recipe, grid=GRID, text=TEXT, layout=layout
    )
    assert o.shape == given[0].shape


def test_attend_reads_the_tensors_python_writes(command_line, small_json, grouped, tmp_path):
    file, out = tmp_path / "qkv.safetensors", tmp_path / "o.safetensors"
    karat.write_tensors(file, dict(zip("qkv", grouped)))
    line = ["--in", file, "--recipe", small_json, "--grid", "4,8,8", "--text", TEXT]
    ran(command_line("attend", *line, "-o", out))
    o = karat.attend(*grouped, recipe=SMALL, grid=GRID, text=TEXT)
    assert np.array_equal(bits(o), bits(karat.read_tensors(out)["o"]))


def test_each_query_head_reads_its_groups_head(grouped):
    q, k, v = grouped
    o = karat.attend(*grouped, recipe=SMALL, grid=GRID, text=TEXT)
    repeated = [np.repeat(x, HEADS // SHARED, axis=1) for x in (k, v)]
    same = karat.attend(q, *repeated, recipe=SMALL, grid=GRID, text=TEXT)
    assert np.array_equal(bits(o), bits(same))
    swapped = karat.attend(q, *(x[:, ::-1].copy() for x in (k, v)), recipe=SMALL, grid=GRID,
                           text=TEXT)  # fmt: skip
    assert not np.array_equal(bits(o), bits(swapped))


def test_make(command_line, small_json, grouped, tmp_path):
    """Every dataset, truth and bounds too; the two files differ in where the inputs came from."""
    file = tmp_path / "case.h5"
    ran(command_line("make", "--recipe", small_json, *CASE, "--tap", "0,3", "-o", file))
    theirs = karat.load(file)
    ours = karat.save(tmp_path / "ours.h5", *grouped, recipe=SMALL, grid=GRID, text=TEXT, seed=7,
                      taps=[0, 3])  # fmt: skip
    made, expected = karat.read_tensors(ours.path), karat.read_tensors(file)
    assert set(made) == set(expected) and len(made) > 40
    for name, x in expected.items():
        assert made[name].shape == x.shape and np.array_equal(bits(made[name]), bits(x)), name
    assert (ours.grid, ours.text) == (theirs.grid, theirs.text) == (GRID, TEXT)
    assert ours["k_codes"].shape[1] == ours.inputs[1].shape[1] == SHARED
    assert json.loads(ours.metadata["case"])["source"]["kind"] == "memory"

    found = karat.stages(*grouped, recipe=SMALL, grid=GRID, text=TEXT, taps="all")
    report = ours.check(found)
    assert report and "k_codes" in [stage["stage"] for stage in report.stages]
    for sparse, name in ((False, "truth/dense"), (True, "truth/sparse")):
        o, lse = karat.truth(*grouped, recipe=SMALL, grid=GRID, text=TEXT, sparse=sparse)
        assert np.array_equal(o, ours[f"{name}_o"]) and np.array_equal(lse, ours[f"{name}_lse"])
    codes, scale = karat.quantize(grouped[1], recipe=SMALL, operand="k", grid=GRID, text=TEXT)
    assert np.array_equal(bits(codes), bits(ours["k_codes"]))
    assert np.array_equal(scale, ours["k_scale"])


def test_the_fixture_and_flashinfer_know_groups_and_text(karat_golden, tmp_path):
    golden = karat_golden(SMALL, grid=GRID, text=TEXT, heads=HEADS, kv_heads=SHARED, head_dim=64)
    made = json.loads(karat.flashinfer.export(golden, tmp_path).read_text())
    assert made["axes"]["kv_heads"]["value"] == SHARED
    assert made["inputs"]["k"]["shape"][1] == "kv_heads" and made["name"].endswith("g4x8x8t20")
    space = {}
    exec(made["reference"].replace(".cpu()", "").replace(".to(q.device)", ""), space)
    o, lse = space["run"](*golden.inputs)
    assert golden.check({"o": o, "lse": lse}).passed and np.array_equal(lse, golden["lse"])


def checked(command_line, golden, candidate, *options, status):
    """The report of `karat check --json`, without what names the call."""
    result = ran(command_line("check", golden, candidate, "--json", *options), status)
    return without_names(json.loads(result.stdout))


def without_names(report):
    return {k: v for k, v in report.items() if k not in ("schema", "version", "candidate", "text")}


@pytest.mark.parametrize(
    "allow, passes",
    [("", False), ("contraction", False), ("order", True), ("order,contraction,reciprocal", True)],
)
def test_check_allows_what_the_command_line_allows(
    command_line, golden, heads, tmp_path, allow, passes
):
    """A kernel that adds its row sums in another order."""
    other = karat.Recipe(SMALL).replace(softmax={"row_sum_order": "sequential"})
    found = karat.stages(*heads, recipe=other, grid=GRID)
    candidate = {name: found[name] for name in ("l", "lse", "o")}
    file = tmp_path / "candidate.safetensors"
    karat.write_tensors(file, candidate)
    expected = checked(command_line, golden.path, file, "--allow", allow, status=0 if passes else 1)
    for given in (allow, [name for name in allow.split(",") if name]):
        report = golden.check(candidate, allow=given)
        assert report.passed == passes and without_names(report.report) == expected
    assert report.free == ["exp2", *(name for name in allow.split(",") if name)]
    assert ("free: " in report.table()) == bool(allow)
    if passes:
        karat.testing.assert_matches(golden, candidate, allow=allow)
    else:
        with pytest.raises(AssertionError, match="first difference: l, batch 0"):
            karat.testing.assert_matches(golden, candidate, allow=allow)


def test_check_takes_v_transposed(command_line, golden, heads, tmp_path):
    found = karat.stages(*heads, recipe=SMALL, grid=GRID)
    turned = {"v_codes": np.ascontiguousarray(found["v_codes"].swapaxes(2, 3)), "o": found["o"]}
    file = tmp_path / "turned.safetensors"
    karat.write_tensors(file, turned)
    expected = checked(command_line, golden.path, file, "--v-layout", "BHDS", status=0)
    report = golden.check(turned, v_layout="BHDS")
    assert report and without_names(report.report) == expected
    assert report["v_codes"]["compared"] == turned["v_codes"].size
    karat.testing.assert_matches(golden, turned, v_layout="BHDS")
    with pytest.raises(karat.UsageError, match="BHDS"):
        golden.check(turned)


@pytest.mark.parametrize(
    "options, action",
    [
        (dict(allow="ordr"), "did you mean order"),
        (dict(allow=["order", "exp2"]), "none of order, contraction, reciprocal"),
        (dict(allow=[3]), "list of texts"),
        (dict(v_layout="DHSB"), "BHSD, BSHD, BHDS"),
        (dict(layout="BHDS"), "BHSD, BSHD"),
    ],
)
def test_check_refuses(golden, options, action):
    with pytest.raises(karat.UsageError, match=action) as caught:
        golden.check(golden["o"], **options)
    assert "\n" not in str(caught.value)


def test_the_table_says_what_is_right_given_its_own_inputs(command_line, golden, heads, tmp_path):
    """Another q gives other codes and scores, from which the rest follows; m is broken besides."""
    q = (heads[0].astype(np.float32) * 1.02).astype(heads[0].dtype)
    found = karat.stages(q, *heads[1:], recipe=SMALL, grid=GRID, taps=[0])
    found["tap.0.0.0.m"] = found["tap.0.0.0.m"].copy()
    found["tap.0.0.0.m"].flat[3] += 1
    file = tmp_path / "candidate.safetensors"
    karat.write_tensors(file, found)
    report = golden.check(found)
    text = ran(command_line("check", golden.path, file), 1).stdout
    *theirs, verdict, advice = text.splitlines()
    assert report.table().splitlines() == [*theirs, verdict.replace(str(file), "candidate")]
    assert advice.startswith("next: karat diagnose") and "error against FP64: golden" in text
    forced = [line for line in theirs if "given its own inputs" in line]
    assert len(forced) == sum("forced" in stage for stage in report.stages) >= 4
    assert report.truth["candidate"] > report.truth["golden"] and report.tiles
    assert "m by block" in report.table() and "1 of 64 wrong" in report.table()
    assert "; given its own inputs: right" in report.table()
