"""karat.capture on real model classes with small random weights, and on pipelines that say which
step and branch each call is."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")

from small_models import GRID, TOKENS, Transformer, cogvideox, hunyuan, plain_model, wan  # noqa: E402

import karat  # noqa: E402
import karat.capture as capturing  # noqa: E402

TILE = (2, 2, 4)


def plan(cells, steps=2, **options):
    return capturing.make_plan(
        grid=GRID,
        steps=steps,
        tile=TILE,
        cells=[dict(c, query_tiles=[0, 5]) for c in cells],
        **options,
    )


CELLS = [dict(step=0, layer=0, head=1), dict(step=1, layer=1, head=0)]


def tensors_of(folder):
    read = {}
    for path in sorted(folder.glob("*.safetensors")):
        read |= karat.read_tensors(path)
    return read


def test_plain_pytorch(tmp_path):
    model = plain_model()
    before = torch.nn.functional.scaled_dot_product_attention
    x = torch.randn(1, TOKENS, 32)
    kept = []
    with (
        torch.no_grad(),
        capturing.Capture(model, plan(CELLS), tmp_path, layers=list(model)) as capture,
    ):
        for _ in range(2):
            model(x)
            kept.append([layer.last for layer in model])
            x = x + 1
    assert torch.nn.functional.scaled_dot_product_attention is before
    read = tensors_of(tmp_path)
    assert set(n.rsplit(".", 1)[0] for n in read) == {"p0.s0.l0.h1.cond", "p0.s1.l1.h0.cond"}
    q, k, v = (x[0, 0].numpy() for x in kept[1][1])
    name = "p0.s1.l1.h0.cond"
    tiles = capturing.tile_ids(GRID, TILE)
    rows = np.flatnonzero(np.isin(tiles, [0, 5]))
    assert np.array_equal(read[f"{name}.q_tokens"], rows.astype(np.int32))
    assert np.array_equal(read[f"{name}.q"], q[rows])
    assert np.array_equal(read[f"{name}.k"], k) and np.array_equal(read[f"{name}.v"], v)
    amax = np.stack([np.abs(q[tiles == i]).max(0) for i in range(tiles.max() + 1)])
    assert np.array_equal(read[f"{name}.q_tile_amax"], amax)
    # entropy and kept mass once more in float64
    s = q[rows].astype(float) @ k.astype(float).T / 4
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    facts = capture.statistics[1]
    assert facts["entropy"] == pytest.approx(-(p * np.log(p)).sum(-1).mean(), rel=1e-5)
    near = capturing.kept_tiles(GRID, TILE, (3, 3, 3))[tiles[rows]][:, tiles]
    assert facts["window_mass"] == pytest.approx((p * near).sum(-1).mean(), rel=1e-5)
    assert facts["k_amax"] == pytest.approx(np.abs(k).max())
    summary = json.loads((tmp_path / "statistics.json").read_text())
    assert summary["cells"] == capture.statistics
    safetensors = pytest.importorskip("safetensors")
    with safetensors.safe_open(tmp_path / f"{name}.safetensors", "pt") as file:
        assert file.metadata()["grid"] == "3,4,6" and file.metadata()["steps"] == "2"
        assert file.metadata()["tile"] == "2,2,4"


def test_tiles_are_those_of_the_study():
    tiles = capturing.tile_ids(GRID, TILE)
    t, h, w = 2, 3, 5
    assert tiles[(t * 4 + h) * 6 + w] == (t // 2 * 2 + h // 2) * 2 + w // 4
    kept = capturing.kept_tiles((6, 6, 6), (2, 2, 2), (1, 1, 3))
    assert kept.sum(1).tolist() == [3] * 27 and kept[0, :3].all()


def test_what_goes_wrong_says_so(tmp_path):
    model = plain_model()
    x = torch.randn(1, TOKENS, 32)
    with pytest.raises(karat.UsageError, match="layers="):
        capturing.Capture(model, plan(CELLS), tmp_path)
    with pytest.raises(karat.UsageError, match="layer 1, the model has 1"):
        capturing.Capture(model, plan(CELLS), tmp_path, layers=[model[0]])
    with pytest.raises(karat.UsageError, match="never came"):
        with torch.no_grad(), capturing.Capture(model, plan(CELLS), tmp_path, layers=list(model)):
            model(x)
    with pytest.raises(karat.UsageError, match="tokens"):
        with torch.no_grad(), capturing.Capture(model, plan(CELLS), tmp_path, layers=list(model)):
            model(x[:, 1:])
    with pytest.raises(karat.UsageError, match="head 9"):
        far = plan([dict(step=0, layer=0, head=9)])
        with torch.no_grad(), capturing.Capture(model, far, tmp_path, layers=list(model)):
            model(x)
    with pytest.raises(karat.UsageError, match="did not call"):
        linear = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 32))
        with capturing.Capture(linear, plan(CELLS), tmp_path, layers=list(linear)):
            linear(x)
    with pytest.raises(karat.UsageError, match="study_plan"):
        capturing.read_plan({"schema": "other"})
    with pytest.raises(karat.FileError, match="none.json"):
        capturing.read_plan(tmp_path / "none.json")
    with pytest.raises(karat.UsageError, match="cell 0 lacks query_tiles"):
        capturing.read_plan(plan([]) | {"cells": [dict(step=0, layer=0, head=0)]})
    with pytest.raises(RuntimeError, match="mine"):
        with capturing.Capture(model, plan(CELLS), tmp_path, layers=list(model)):
            raise RuntimeError("mine")


BOTH = dict(branches=["cond", "uncond"])


def two_calls(model, guided):
    """A pipeline as Wan's: the prompt's forward, then the one without. Gives (step, branch, layer)
    -> q, k, v of one prompt."""
    seen = {}
    for step in range(2):
        for branch in ("cond", "uncond") if guided else ("cond",):
            torch.manual_seed(100 * step + len(branch))
            model(torch.randn(1, TOKENS, 32), timestep=torch.tensor([900 - 100 * step]))
            for layer, block in enumerate(model.blocks):
                seen[step, branch, layer] = [x[0] for x in block.last]
    return seen


def one_batch(model, guided):
    """A pipeline as CogVideoX's: one forward, the batch without the prompt first."""
    seen = {}
    for step in range(2):
        branches = ("uncond", "cond") if guided else ("cond",)
        torch.manual_seed(100 * step)
        model(torch.randn(len(branches), TOKENS, 32), timestep=torch.tensor([900 - 100 * step]))
        for layer, block in enumerate(model.blocks):
            for entry, branch in enumerate(branches):
                seen[step, branch, layer] = [x[entry] for x in block.last]
    return seen


@pytest.mark.parametrize("branches", [["cond"], ["cond", "uncond"]], ids=["one", "both"])
@pytest.mark.parametrize("run, guidance", [(two_calls, "calls"), (one_batch, "batch")])
def test_a_plan_of_one_branch_on_a_guided_run(tmp_path, run, guidance, branches):
    """What the pipeline says of each call is what the files say."""
    model = Transformer()
    cells = [dict(step=s, layer=layer, head=1) for s in range(2) for layer in range(2)]
    with torch.no_grad():
        with capturing.Capture(
            model, plan(cells, branches=branches), tmp_path, layers=list(model.blocks),
            guidance=guidance,
        ):  # fmt: skip
            seen = run(model, True)
    read = tensors_of(tmp_path)
    names = {name.rsplit(".", 1)[0] for name in read}
    assert names == {f"p0.s{s}.l{n}.h1.{b}" for s in range(2) for n in range(2) for b in branches}
    for (step, branch, layer), (_, k, v) in seen.items():
        name = f"p0.s{step}.l{layer}.h1.{branch}"
        if branch in branches:
            assert np.array_equal(read[f"{name}.k"], k[1].numpy()), name
            assert np.array_equal(read[f"{name}.v"], v[1].numpy()), name


@pytest.mark.parametrize("run", [two_calls, one_batch])
def test_an_unguided_run(tmp_path, run):
    model, layers = Transformer(), dict(folder=tmp_path / "a", layers=None)
    layers["layers"] = list(model.blocks)
    with torch.no_grad():
        with capturing.Capture(model, plan(CELLS), guidance="none", **layers):
            seen = run(model, False)
        read = tensors_of(tmp_path / "a")
        assert np.array_equal(read["p0.s1.l1.h0.cond.k"], seen[1, "cond", 1][1][0].numpy())
        wrong = "calls" if run is two_calls else "batch"
        with pytest.raises(karat.UsageError, match='pass guidance="none"'):
            with capturing.Capture(model, plan(CELLS), guidance=wrong, **layers):
                run(model, False)


def test_a_guided_run_taken_for_an_unguided_one_leaves_no_files(tmp_path):
    model = Transformer()
    with pytest.raises(karat.UsageError, match="4 forwards, where 2 steps"):
        with torch.no_grad(), capturing.Capture(
            model, plan(CELLS), tmp_path, layers=list(model.blocks), guidance="none"
        ):
            two_calls(model, True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(karat.UsageError, match="asks for uncond, which a run without guidance"):
        capturing.Capture(
            model, plan(CELLS, **BOTH), tmp_path, layers=list(model.blocks), guidance="none"
        )


@pytest.mark.parametrize(
    "make, branches",
    [(wan, BOTH), (cogvideox, BOTH), (hunyuan, {})],
    ids=["wan", "cogvideox", "hunyuan"],
)
def test_diffusers_models(tmp_path, monkeypatch, make, branches):
    """The captured rows are those of the model's own attention calls, text left out."""
    model, forward = make()
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def record(q, k, v, *args, **kwargs):
        calls.append((q, k, v))
        return original(q, k, v, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", record)
    with torch.no_grad():
        with capturing.Capture(model, plan(CELLS, **branches), tmp_path) as capture:
            for step in range(2):
                forward(step)
    read = tensors_of(tmp_path)
    wanted = len(CELLS) * len(branches.get("branches", ["cond"]))
    assert len(capture.statistics) == wanted and len(read) == 5 * wanted
    joint = [call for call in calls if call[0].shape[-2] >= TOKENS and call[1].shape[-2] >= TOKENS]
    text = joint[0][0].shape[-2] - TOKENS
    assert text == {"wan": 0, "cogvideox": 5, "hunyuan": 5}[make.__name__]
    video = slice(text, None) if make is cogvideox else slice(0, TOKENS)
    rows = np.flatnonzero(np.isin(capturing.tile_ids(GRID, TILE), [0, 5]))
    per_step = len(joint) // 2
    for facts in capture.statistics:
        step, layer, head, branch = (facts[n] for n in ("step", "layer", "head", "branch"))
        call, entry = step * per_step + layer, 0
        if make is wan:
            call = step * 4 + (branch == "uncond") * 2 + layer
        elif make is cogvideox:
            entry = int(branch == "cond")
        name = f"p0.s{step}.l{layer}.h{head}.{branch}"
        for tensor, x in zip("qkv", joint[call]):
            x = x[entry, head, video].numpy()
            assert np.array_equal(read[f"{name}.{tensor}"], x[rows] if tensor == "q" else x), name
        assert 0 < facts["entropy"] < np.log(TOKENS) + 1e-5 and 0 < facts["window_mass"] < 1.00001
    if make is wan:
        assert not np.array_equal(read["p0.s0.l0.h1.cond.q"], read["p0.s1.l1.h0.cond.q"])


def test_karat_attends_what_was_captured(tmp_path):
    """From the model to the kernel's bits: all rows of one head."""
    model = plain_model()
    x = torch.randn(1, TOKENS, 32)
    everything = capturing.make_plan(
        grid=GRID, steps=1, tile=TILE,
        cells=[dict(step=0, layer=0, head=0, query_tiles=list(range(8)))],
    )  # fmt: skip
    with torch.no_grad(), capturing.Capture(model, everything, tmp_path, layers=list(model)):
        model(x)
    read = karat.read_tensors(tmp_path / "p0.s0.l0.h0.cond.safetensors")
    q, k, v = (read[f"p0.s0.l0.h0.cond.{n}"] for n in "qkv")
    o = karat.attend(q, k, v, recipe="dense_f32")
    ours = torch.nn.functional.scaled_dot_product_attention(*(y[0, 0] for y in model[0].last))
    assert np.abs(o - ours.numpy()).max() < 1e-5


def test_karat_study_reads_what_was_captured(tmp_path):
    """From hooks to the sensitivity table, with query tiles sampled and both branches."""
    binary = Path(__file__).parent.parent.parent / "build/release/karat"
    if not binary.exists():
        pytest.skip("build/release/karat is not built")
    torch.manual_seed(5)
    model = plain_model()
    cells = [dict(step=s, layer=layer, head=0) for s in range(2) for layer in range(2)]
    made = plan(cells, sigma=[0.9, 0.5], **BOTH)
    x = torch.randn(1, TOKENS, 32)
    with torch.no_grad():
        with capturing.Capture(
            model, made, tmp_path / "capture", layers=list(model), guidance="calls"
        ):
            for _ in range(4):
                model(x)
                x = x + 0.5
    recipe = {"base": "fpsattention", "name": "small", "mask": {"tile": TILE, "window": [1, 1, 1]},
              "q": {"tile": TILE}, "k": {"tile": TILE}}  # fmt: skip
    (tmp_path / "small.json").write_text(json.dumps(recipe))
    command = [binary, "study", "--capture", "capture", "--recipes", "small.json", "--ladder", "none",
               "--quiet", "-o", "study.h5", "--csv", "table.csv"]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    measured = [dict(zip(rows[0], row)) for row in rows[1:]]
    assert len(measured) == len(cells) * 2
    assert all(0 < float(row["error"]) < 2 for row in measured)
