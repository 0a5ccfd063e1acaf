"""The small video model: its data set, training and shipped weights are what they were."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import f32_attention_bound

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")
for module, package in (("safetensors", "safetensors"), ("PIL", "Pillow")):
    pytest.importorskip(module, reason=f"{package} is not installed (tools/test.sh --long)")
if not hasattr(torch.nn, "RMSNorm"):
    pytest.skip("PyTorch is older than 2.4: it has no RMSNorm", allow_module_level=True)

ROOT = Path(__file__).parents[2]
COMMAND = os.environ.get("KARAT", ROOT / "build/release/karat")
EXAMPLE = ROOT / "tools/python/examples/tiny_video_dit"
sys.path.insert(0, str(EXAMPLE))

import checkpoint  # noqa: E402
import data  # noqa: E402
import flow  # noqa: E402
import kernels  # noqa: E402
import sample  # noqa: E402
import train  # noqa: E402
from model import Shape, VideoDiT  # noqa: E402

import karat  # noqa: E402

SMALL = Shape(frames=12, height=24, width=24, heads=2, head_dim=24, layers=1)
PLAN = train.Plan(
    phases=(train.Phase(steps=2, batch=2, coarser=2), train.Phase(steps=2, batch=1, coarser=2)),
    rate=1e-3, warm_up=2, cool_down=0.5, mean_decay=0.9, no_class=0.5, clip=1.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_data_set_is_what_it_was():
    """Pixels are rounded to bytes, so that the last bit of a sine does not show."""
    seen = hashlib.sha256()
    for split in data.SPLITS:
        for index in (*range(16), 10**9):
            seen.update(data.video(split, index)[0].tobytes())
    assert seen.hexdigest() == json.loads((EXAMPLE / "results/fixed.json").read_text())["data"]


def trained(folder, *, stop=None):
    torch.manual_seed(3)
    run = train.Run(PLAN, 5, VideoDiT(SMALL), {})
    if stop is not None:
        for _ in range(stop):
            run.advance()
        folder.mkdir()
        checkpoint.save_state(folder / "state.pt", run.state())
        run = train.Run(PLAN, 5, VideoDiT(SMALL), {})
    train.train(run, folder, every=60)
    return (folder / "weights.safetensors").read_bytes()


def test_training_gives_the_same_bytes_stopped_or_not(tmp_path):
    whole = trained(tmp_path / "whole")
    assert trained(tmp_path / "again") == whole
    for stop in (1, 3):  # inside the first phase, and inside the second
        assert trained(tmp_path / f"stopped-{stop}", stop=stop) == whole
    plan = train.Plan(**{**vars(PLAN), "rate": 2e-3})
    torch.manual_seed(3)
    other = train.Run(plan, 5, VideoDiT(SMALL), {})
    train.train(other, tmp_path / "other", every=60)
    assert (tmp_path / "other/weights.safetensors").read_bytes() != whole


def test_a_state_of_another_training_is_refused(tmp_path):
    """Other plan, seed, kernel or weights to go on from."""
    run = train.Run(PLAN, 5, VideoDiT(SMALL), {"kernel": "fine_qat"})
    checkpoint.save_state(tmp_path / "state.pt", run.state())
    plan = train.Plan(**{**vars(PLAN), "rate": 2e-3})
    for others, word in (((plan, 5, {"kernel": "fine_qat"}), "plan"),
                         ((PLAN, 6, {"kernel": "fine_qat"}), "seed"),
                         ((PLAN, 5, {"kernel": "coarse_qat"}), "about"),
                         ((PLAN, 5, {"kernel": "fine_qat", "from": "base-1"}), "about")):  # fmt: skip
        other = train.Run(others[0], others[1], VideoDiT(SMALL), others[2])
        with pytest.raises(ValueError, match=f"another run: {word} differs"):
            train.train(other, tmp_path, every=60)
    train.Run(PLAN, 5, VideoDiT(SMALL), {"kernel": "fine_qat"}).restore(
        checkpoint.load_state(tmp_path / "state.pt")
    )


def test_samples_and_cells_of_other_weights_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    import table_a

    for name, seed in (("base-0", 1), ("base-1", 2)):
        torch.manual_seed(seed)
        checkpoint.save_weights(tmp_path / f"{name}.safetensors", VideoDiT(SMALL), about={})
    digests = {
        table_a.made_of(tmp_path, weights, kernel)
        for weights in ("base-0", "base-1")
        for kernel in ("dense", "window", "window_coarse", "fine", "coarse")
    }
    assert len(digests) == 10
    before = table_a.made_of(tmp_path, "base-0", "fine")
    monkeypatch.setitem(sample.SETTINGS, "steps", 7)
    assert table_a.made_of(tmp_path, "base-0", "fine") != before
    monkeypatch.setattr(sample, "one", lambda model, seed: torch.full((3, 1, 2, 2), float(seed)))
    kept = tmp_path / "x.npz"
    first = table_a.samples(None, kept, [4, 5], lambda: None, "one")
    assert (first[:, 0, 0, 0, 0] == [4, 5]).all()
    again = table_a.samples(None, kept, [4, 5], lambda: 1 / 0, "one")  # none is sampled again
    assert (first == again).all()
    with pytest.raises(SystemExit, match="x.npz: is of other weights"):
        table_a.samples(None, kept, [4], lambda: None, "two")


def test_the_script_keeps_weights_apart_and_says_what_it_lacks(tmp_path):
    def go(*arguments, **changes):
        return subprocess.run(
            [ROOT / "tools/training.sh", *arguments], capture_output=True, text=True,
            env=os.environ | {"PYTHON": sys.executable} | changes,
        )  # fmt: skip

    for arguments, status in ((("--quick", tmp_path), 0), ((tmp_path,), 1), (("--page", tmp_path), 1)):
        done = go(*arguments, PYTHON="/bin/false")
        assert done.returncode == status and "karat cannot be imported" in done.stdout + done.stderr
    for module in ("skimage", "scipy"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    (tmp_path / "mode").write_text("default\n")
    done = go("--all", tmp_path)
    assert done.returncode == 2 and "holds a run of other weights (default)" in done.stderr
    done = go(tmp_path, KARAT="/nowhere/karat")
    assert done.returncode == 1 and "/nowhere/karat cannot be run" in done.stderr


def test_a_coarse_grid_keeps_places():
    """Two coarse tokens' centres lie between the fine ones that they cover."""
    from rope import angles

    fine = angles((1, 1, 8), (1, 1, 8), 24, 100.0)
    coarse = angles((1, 1, 4), (1, 1, 8), 24, 100.0)
    assert torch.allclose(coarse, fine.view(4, 2, -1).mean(1), atol=1e-6)


def test_sigmas_are_those_of_a_shifted_schedule():
    assert flow.sigmas(4, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert flow.sigmas(2, 3.0) == [1.0, 0.75, 0.0]


KEPT = {"fine": 9 / 16, "intermediate": 4 / 16, "coarse": 3 / 16}  # of the pairs, on 3x4x4 tiles


@pytest.mark.parametrize("name", kernels.names())
def test_every_kernel_is_a_recipe_for_the_grid(name):
    row, fields = kernels.TABLE["kernels"][name], kernels.recipe(name)
    if fields is None:
        assert set(row) <= {"about", "pairs_of"} and row.get("pairs_of", "fine") in KEPT
        return
    made = karat.Recipe(fields)
    if "geometry" in row:
        dense = row.get("edits", {}).get("mask", {}).get("kind") == "none"
        blocks = karat.block_mask(made, Shape().grid)
        assert np.mean(blocks.keep) == (1 if dense else KEPT[row["geometry"]])


def test_the_window_alone_is_the_recipe_s_in_exact_arithmetic():
    grid = Shape().grid
    values = [x.astype(np.float32) for x in karat.generate("video", grid=grid, head_dim=64)]
    o = kernels.over_pairs("coarse", grid)(*(torch.from_numpy(x) for x in values)).numpy()
    exact, _ = karat.truth(*values, sparse=True, recipe=kernels.recipe("coarse"), grid=grid)
    assert np.abs(o - exact).max() <= f32_attention_bound(*values)


def test_gradients_pass_through_a_recipe():
    model = VideoDiT(Shape(layers=1))
    torch.manual_seed(0)
    for layer in (model.condition, model.patch_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    video, label = torch.randn(1, 3, 12, 24, 24), torch.tensor([0])
    found = {}
    for name in ("dense", "fine_qat"):
        with kernels.used(model, name):
            model.zero_grad()
            model(video, torch.tensor([0.5]), label).square().sum().backward()
        found[name] = model.attention_layers[0].qkv.weight.grad.clone()
    apart = torch.linalg.norm(found["fine_qat"] - found["dense"])
    assert 0 < apart < 0.5 * torch.linalg.norm(found["dense"])
    with kernels.used(model, "fine_qat"):
        with torch.no_grad():  # the forward alone is the same recipe's
            seen = model(video, torch.tensor([0.5]), label)
        assert torch.equal(seen, model(video, torch.tensor([0.5]), label).detach())
    assert not torch.equal(seen, model(video, torch.tensor([0.5]), label).detach())


def test_shipped_weights_make_the_documented_sample():
    """One seed, all steps, PyTorch's attention; what the tolerance rests on stands in the file."""
    known = json.loads((EXAMPLE / "results/fixed.json").read_text())["sample"]
    model, _ = checkpoint.load_weights(EXAMPLE / "weights" / known["weights"])
    made = sample.one(model, known["seed"]).numpy()
    kept = np.load(EXAMPLE / "results" / known["file"]).astype(np.float32)
    assert np.linalg.norm(made - kept) <= known["tolerance"] * np.linalg.norm(kept)


def test_the_quick_script_measures_what_the_results_say(tmp_path):
    """tools/training.sh --quick, one sample of two rows, against the shipped numbers."""
    for module in ("skimage", "scipy"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    done = subprocess.run(
        [ROOT / "tools/training.sh", "--quick", tmp_path],
        capture_output=True, text=True, env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, known = (
        json.loads(path.read_text())["cells"]
        for path in (tmp_path / "results/quick.json", EXAMPLE / "results/table_a.json")
    )
    assert set(found) == {"base-0.dense", "base-0.fine"}
    fine, dense = found["base-0.fine"], found["base-0.dense"]
    assert fine["drift"][0] == pytest.approx(known["base-0.fine"]["drift"][0], rel=0.05)
    assert fine["ssim"][0] == pytest.approx(known["base-0.fine"]["ssim"][0], abs=0.02)
    assert dense["right"][0] == known["base-0.dense"]["right"][0]
    assert dense["features"][0] == pytest.approx(known["base-0.dense"]["features"][0], rel=0.05, abs=0.5)


def test_the_page_s_tables_are_the_results():
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    done = subprocess.run(
        [sys.executable, EXAMPLE / "tables.py", ROOT / "docs/training.md", "--check"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def made_up_study():
    """Of three seeds: errors of candidates that every seed, step and layer changes a little, and
    weights that are largest late and least in the middle."""
    import schedules

    random, candidates = np.random.default_rng(0), schedules.TABLE["candidates"]
    error = dict(zip(candidates, (0.5, 0.4, 0.2, 0.02)))
    cells = itertools.product(range(3), range(16), range(4), range(3), range(len(candidates)))
    branches = ("conditional", "unconditional")
    rows = [
        [seed, step, layer, head, branch, r, error[candidates[r]] * random.uniform(0.9, 1.1), 0.0]
        for seed, step, layer, head, r in cells for branch in branches
    ]  # fmt: skip
    rows.sort(key=lambda row: row[:6])
    runs = [
        {"seed": seed, "name": f"step-{s}.recipe-0", "kind": "step", "step": s, "layer": None,
         "recipe": 0, "drift": [0.0] * 15 + [0.1 * (4 if s > 10 else 1 if s < 4 else 0.5)]}
        for seed in range(3) for s in range(16)
    ]  # fmt: skip
    return schedules.loop._weights.with_weights(schedules.loop._study.make(
        model="m", steps=16, layers=4, grid=(6, 12, 12), guidance="calls", sigma=None,
        recipes=[karat.Recipe(kernels.recipe(x)) for x in candidates], rows=rows, runs=runs,
        schedules=[], origin="made up",
    ))  # fmt: skip


def test_karat_tune_chooses_the_schedules(tmp_path, monkeypatch):
    """At the work of the paper's shape; three phases by trying all of them."""
    import schedules

    if not Path(COMMAND).exists():
        pytest.skip(f"{COMMAND} is not built")
    monkeypatch.setenv("KARAT", str(COMMAND))
    shares = {x: schedules.pairs(x, Shape().grid) for x in schedules.TABLE["candidates"]}
    assert shares == {"fp8": 1} | KEPT
    made = {name: schedules.unrolled(x) for name, x in schedules.TABLE["schedules"].items()}
    work = {name: schedules.cost(x, shares) for name, x in made.items()}
    budget = work.pop("paper's shape")
    assert {x for name, x in work.items() if not name.startswith("all ")} == {budget}
    with pytest.raises(ValueError, match="steps"):
        schedules.unrolled([["fine", 3]])

    study = made_up_study()
    schedules.loop.write(study, tmp_path / "sensitivities.json")
    square = {
        (kernel, step): schedules.loop.predicted(
            study, lambda s, layer: karat.Recipe(kernels.recipe(kernel)) if s == step else None
        ) ** 2
        for kernel in shares for step in range(16)
    }  # fmt: skip
    drift = {}
    for kind in ("three_phase", "general"):
        chosen, drift[kind] = schedules.tuned(tmp_path, kind, shares, budget)
        assert len(chosen) == 16 and schedules.cost(chosen, shares) <= budget + 1e-12
        total = sum(square[kernel, step] for step, kernel in enumerate(chosen))
        assert drift[kind] == pytest.approx(total**0.5, rel=1e-9)
    assert drift["general"] <= drift["three_phase"]
    for a, b in itertools.combinations_with_replacement(range(17), 2):
        for names in itertools.product(shares, repeat=3):
            other = [names[0]] * a + [names[1]] * (b - a) + [names[2]] * (16 - b)
            if schedules.cost(other, shares) <= budget + 1e-12:
                total = sum(square[kernel, step] for step, kernel in enumerate(other))
                assert drift["three_phase"] <= total**0.5 * (1 + 1e-9)
